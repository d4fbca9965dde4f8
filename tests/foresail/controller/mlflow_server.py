"""MLflow's REST API in memory, as far as Foresail uses it: a fake with runs, steps and tags."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

Json = dict[str, Any]


@dataclass
class MemoryRuns:
    """The runs of a server."""

    url: str = ""
    runs: dict[str, Json] = field(default_factory=dict)
    steps: dict[str, list[Json]] = field(default_factory=dict)
    down: bool = False
    points_a_page: int = 25_000
    """Of a history; the oldest come first."""
    histories_asked: int = 0

    def begin(self, run_id: str, at: float, max_steps: int = 1000, **tags: str) -> None:
        data = {
            "params": [{"key": "max_steps", "value": str(max_steps)}],
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
            "metrics": [],
        }
        info = {"run_id": run_id, "run_name": run_id, "status": "RUNNING", "start_time": at * 1000}
        self.runs[run_id], self.steps[run_id] = {"info": info, "data": data}, []

    def log(self, run_id: str, step: int, at: float) -> None:
        one = {"key": "loss", "value": 1.0, "step": step, "timestamp": at * 1000}
        self.steps[run_id].append(one)
        self.runs[run_id]["data"]["metrics"] = [one]

    def end(self, run_id: str, at: float) -> None:
        self.runs[run_id]["info"] |= {"status": "FINISHED", "end_time": at * 1000}

    def tags(self, run_id: str) -> dict[str, str]:
        return {one["key"]: one["value"] for one in self.runs[run_id]["data"]["tags"]}

    def answer(self, path: str, query: Mapping[str, str], body: str) -> Json | None:
        found: Json | None = None
        match path:
            case "experiments/search":
                found = {"experiments": [{"experiment_id": "0"}]}
            case "runs/search":
                running = [r for r in self.runs.values() if r["info"]["status"] == "RUNNING"]
                found = {"runs": running}
            case "runs/get" if query["run_id"] in self.runs:
                found = {"run": self.runs[query["run_id"]]}
            case "metrics/get-history":
                self.histories_asked += 1
                begin = int(query.get("page_token", "0"))
                end, every = begin + self.points_a_page, self.steps[query["run_id"]]
                found = {"metrics": every[begin:end]}
                if end < len(every):
                    found["next_page_token"] = str(end)
            case "runs/set-tag":
                wanted = json.loads(body)
                tags = self.runs[wanted["run_id"]]["data"]["tags"]
                tags[:] = [one for one in tags if one["key"] != wanted["key"]]
                tags.append({"key": wanted["key"], "value": wanted["value"]})
                found = {}
        return found


@asynccontextmanager
async def mlflow_in_memory() -> AsyncIterator[MemoryRuns]:
    held = MemoryRuns()

    async def answer(request: web.Request) -> web.Response:
        if held.down:
            return web.Response(status=503, text="no database")
        found = held.answer(request.match_info["path"], request.query, await request.text())
        if found is None:
            return web.json_response({"error_code": "RESOURCE_DOES_NOT_EXIST"}, status=404)
        return web.json_response(found)

    app = web.Application()
    app.router.add_route("*", "/api/2.0/mlflow/{path:.*}", answer)
    async with TestServer(app) as server:
        held.url = str(server.make_url(""))
        yield held
