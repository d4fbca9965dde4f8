"""LangFuse and LangSmith as a server: their paths, written from their sources and SDKs.

Each call of a model is one observation with the moment at which it began, so that both APIs of
LangFuse and LangSmith's tell of the same calls.
"""

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aiohttp import web

KEY = "pk-lf-1:sk-lf-s3cret"
API_KEY = "lsv2_pt_s3cret"
PROJECT = "0190a1b2-c3d4-7ef0-a5b6-6ea3a82e9327"
DAYS_A_PAGE = 1
"""Fewer than LangFuse's, so that there are pages."""
NO_MODEL = "None"


@dataclass(frozen=True)
class Call:
    """One call of a model."""

    at_seconds: float
    model: str | None
    prompt: int
    generated: int
    usd: float = 0.0
    environment: str = "default"


@dataclass
class MeterServer:
    """Knows some calls, and keeps what it was asked."""

    calls: list[Call] = field(default_factory=list)
    has_v2: bool = True
    groups: bool = True
    row_limit: int = 1000
    delay_seconds: float = 0.0
    refusals: list[web.Response] = field(default_factory=list)
    """Given before answers, each once."""
    url: str = ""
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        await asyncio.sleep(self.delay_seconds)
        if self.refusals:
            return self.refusals.pop(0)
        match request.path:
            case "/api/public/v2/metrics" if self.has_v2:
                return self._of_langfuse(request, self._rows(request))
            case "/api/public/metrics/daily":
                return self._of_langfuse(request, self._days(request))
            case "/api/v1/runs/stats":
                return await self._stats(request)
        return web.json_response(
            {"message": "Not found", "error": "LangfuseNotFoundError"}, status=404
        )

    def _of_langfuse(self, request: web.Request, answer: object) -> web.Response:
        expected = base64.b64encode(KEY.encode()).decode()
        if request.headers.get("Authorization") != f"Basic {expected}":
            text = f"Invalid credentials {request.headers.get('Authorization')}"
            return web.json_response({"message": text}, status=401)
        return web.json_response(answer)

    def _rows(self, request: web.Request) -> object:
        query = json.loads(request.query["query"])
        wanted = {one["column"]: one["value"] for one in query["filters"]}
        begin, end = _seconds(query["fromTimestamp"]), _seconds(query["toTimestamp"])
        found: dict[str | None, list[Call]] = defaultdict(list)
        for call in self.calls:
            # Both ends are in it.
            if begin <= call.at_seconds <= end and _is(call, wanted.get("environment")):
                found[call.model].append(call)
        assert query["view"] == "observations"
        assert query["dimensions"] == [{"field": "providedModelName"}]
        assert query["config"]["row_limit"] <= 1000
        rows = [
            {
                "providedModelName": model,
                # ClickHouse writes whole numbers of 64 bits as texts.
                "sum_inputTokens": str(sum(one.prompt for one in calls)),
                "sum_outputTokens": str(sum(one.generated for one in calls)),
                "sum_totalTokens": str(sum(one.prompt + one.generated for one in calls)),
                "sum_totalCost": sum(one.usd for one in calls),
            }
            for model, calls in found.items()
        ]
        return {"data": rows[: self.row_limit]}

    def _days(self, request: web.Request) -> object:
        begin, end = (_seconds(request.query[one]) for one in ("fromTimestamp", "toTimestamp"))
        days: dict[str, dict[str | None, list[Call]]] = defaultdict(lambda: defaultdict(list))
        for call in self.calls:
            if begin <= call.at_seconds < end and _is(call, request.query.get("environment")):
                day = datetime.fromtimestamp(call.at_seconds, UTC).date().isoformat()
                days[day][call.model].append(call)
        every = [
            {
                "date": day,
                "countTraces": 1,
                "countObservations": 1,
                "totalCost": 0,
                "usage": [
                    {
                        "model": model,
                        "inputUsage": sum(one.prompt for one in calls),
                        "outputUsage": sum(one.generated for one in calls),
                        "totalUsage": sum(one.prompt + one.generated for one in calls),
                        "totalCost": sum(one.usd for one in calls),
                        "countObservations": len(calls),
                        "countTraces": 1,
                    }
                    for model, calls in models.items()
                ],
            }
            for day, models in sorted(days.items(), reverse=True)
        ]
        page = int(request.query["page"])
        return {
            "data": every[(page - 1) * DAYS_A_PAGE : page * DAYS_A_PAGE],
            "meta": {
                "page": page,
                "limit": DAYS_A_PAGE,
                "totalItems": len(every),
                "totalPages": -(-len(every) // DAYS_A_PAGE),
            },
        }

    async def _stats(self, request: web.Request) -> web.Response:
        if request.headers.get("x-api-key") != API_KEY:
            return web.json_response({"detail": "Invalid token"}, status=403)
        body = await request.json()
        assert body["session"] == [PROJECT]
        begin, end = _seconds(body["start_time"]), _seconds(body["end_time"])
        found: dict[str, list[Call]] = defaultdict(list)
        for call in self.calls:
            if begin <= call.at_seconds <= end and call.model is not None:
                found[call.model if self.groups else NO_MODEL].append(call)
        stats = {
            model: {
                "run_count": len(calls),
                "prompt_tokens": sum(one.prompt for one in calls),
                "completion_tokens": sum(one.generated for one in calls),
                "total_tokens": sum(one.prompt + one.generated for one in calls),
                "total_cost": str(sum(one.usd for one in calls)),
            }
            for model, calls in found.items()
        }
        return web.json_response(stats if self.groups else stats.get(NO_MODEL, {"run_count": 0}))


def _is(call: Call, environment: str | None) -> bool:
    return environment is None or call.environment == environment


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


@asynccontextmanager
async def serving(server: MeterServer) -> AsyncIterator[MeterServer]:
    """The server at its `url`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()
