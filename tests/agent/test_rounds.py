"""The agent's loop: writes on a change, again after a refusal, and never in between."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes_asyncio import client

from bench._faults_row import Observe
from fleet.annotations import REPORT
from fleet.cluster.report import report_from
from scheduler.agent.node import ApiNode
from scheduler.agent.rounds import AGAIN_SECONDS, NodeRefusedError, Rounds, UnreadableMachineError
from tests.agent.machines import told

Json = Any


class Changing:
    """A machine whose answers a test changes."""

    def __init__(self, name: str) -> None:
        self.answers = told(name)

    def read(self) -> object:
        return self.answers


class Noting:
    """A node that keeps what was written, and refuses on demand."""

    def __init__(self) -> None:
        self.written: list[tuple[float, str]] = []
        self.refuses = False

    async def write(self, report: str) -> None:
        if self.refuses:
            raise NodeRefusedError("HTTP 403 Forbidden")
        self.written.append((asyncio.get_running_loop().time(), report))


@asynccontextmanager
async def going(machine: Changing, node: Noting) -> AsyncIterator[None]:
    rounds = Rounds(machine=machine, node=node)
    task = asyncio.create_task(rounds.go(every_seconds=60))
    await asyncio.sleep(1)  # of simulated time: the first round is over
    try:
        yield
    finally:
        task.cancel()


async def test_a_report_is_written_at_once_and_then_on_changes_only() -> None:
    machine, node = Changing("a100-4-pairs"), Noting()
    async with going(machine, node):
        await asyncio.sleep(600)
        assert len(node.written) == 1
        machine.answers["gpus"][0]["health"]["remappedRows"] = [0, 1, 1, 0]
        await asyncio.sleep(600)

    first, second = (report_from(report) for _, report in node.written)
    assert (first.gpus or ())[0].health.healthy is True
    assert (second.gpus or ())[0].health.healthy is False


async def test_a_refused_report_is_written_again_in_the_next_round(observed: Observe) -> None:
    machine, node = Changing("t4-1"), Noting()
    node.refuses = True
    async with going(machine, node):
        await asyncio.sleep(120)
        node.refuses = False
        await asyncio.sleep(60)

    assert [at for at, _ in node.written] == [180]
    observed(
        f"{len(node.written)} report, in the next round",
        lost=1 - len(node.written),
        recovered_seconds=node.written[0][0] - 121,
    )


async def test_an_unchanged_report_is_written_again_after_an_hour() -> None:
    machine, node = Changing("t4-1"), Noting()
    async with going(machine, node):
        await asyncio.sleep(AGAIN_SECONDS + 60)

    assert [at for at, _ in node.written] == [0, AGAIN_SECONDS]


async def test_a_driver_that_comes_later_is_found(observed: Observe) -> None:
    machine, node = Changing("no-driver"), Noting()
    async with going(machine, node):
        machine.answers = told("t4-1")
        await asyncio.sleep(60)

    unknown = [report_from(report).gpus is None for _, report in node.written]
    assert unknown == [True, False]
    observed(
        "GPUs unknown, never none; then found in the next round",
        recovered_seconds=node.written[1][0] - 1,
    )


async def test_what_is_no_recording_is_refused_with_its_place() -> None:
    machine = Changing("t4-1")
    machine.answers["gpus"][0]["minor"] = "first"

    with pytest.raises(UnreadableMachineError, match=r"gpus\.0.*minor"):
        await Rounds(machine=machine, node=Noting()).one()


@pytest.mark.looptime(False)  # sockets live in real time
class TestApiServer:
    """Over HTTP, as an API server is asked."""

    async def test_it_is_a_server_side_apply_of_one_annotation(self) -> None:
        async with api_server() as (node, asked):
            await node.write('{"schema":1}')

        (request,) = asked
        assert (request["method"], request["path"]) == ("PATCH", "/api/v1/nodes/gpu-7")
        assert request["query"] == {"fieldManager": "foresail-agent"}  # and no force
        assert request["type"] == "application/apply-patch+yaml"
        assert request["body"] == {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "gpu-7", "annotations": {REPORT: '{"schema":1}'}},
        }

    @pytest.mark.parametrize(
        ("status", "said"),
        [
            (403, r"HTTP 403: said no \(the account needs patch on nodes"),
            (404, "the node's name"),
            (409, "another field manager writes foresail.io/gpu-report"),
            (500, "node gpu-7: HTTP 500: said no"),
        ],
    )
    async def test_a_refusal_says_what_to_do(self, status: int, said: str) -> None:
        async with api_server(status) as (node, _):
            with pytest.raises(NodeRefusedError, match=said):
                await node.write("{}")

    @pytest.mark.parametrize("name", ["..", "../pods", "GPU-7", ""])
    async def test_a_name_that_leads_out_of_its_path_is_never_asked_for(self, name: str) -> None:
        async with api_server(name=name) as (node, asked):
            with pytest.raises(NodeRefusedError, match="a node's name is a DNS subdomain"):
                await node.write("{}")
        assert asked == []

    async def test_nobody_there_is_a_refusal_too(self) -> None:
        settings = client.Configuration()
        settings.host = "http://127.0.0.1:1"
        settings.retries = 0
        node = ApiNode("gpu-7", client.ApiClient(settings))

        with pytest.raises(NodeRefusedError, match="node gpu-7: no answer"):
            await node.write("{}")
        await node.close()


@asynccontextmanager
async def api_server(
    status: int = 200, *, name: str = "gpu-7"
) -> AsyncIterator[tuple[ApiNode, list[Json]]]:
    asked: list[Json] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(
            {
                "method": request.method,
                "path": request.path,
                "query": dict(request.query),
                "type": request.content_type,
                "body": json.loads(await request.text()),
            }
        )
        told = {"kind": "Status", "message": "said no"} if status >= 400 else {"kind": "Node"}
        return web.json_response({"apiVersion": "v1", **told}, status=status)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(application) as server:
        settings = client.Configuration()
        settings.host = str(server.make_url("")).rstrip("/")
        node = ApiNode(name, client.ApiClient(settings))
        try:
            yield node, asked
        finally:
            await node.close()
