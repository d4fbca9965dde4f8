"""Launchers over HTTP: a good answer, and each way in which a pod that is none may answer."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import ClientSession, web

from scheduler.launcher_client import (
    ANSWER_BYTES_MAX,
    AT_ONCE_MAX,
    LauncherClient,
    LauncherUnreachableError,
)
from scheduler.launcher_state import LauncherState
from scheduler.launchers import Launcher
from tests.scheduler.recorded_launchers import ANSWERS, PODS

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def launcher(name: str, *, node: str = "n", address: str | None = "127.0.0.1") -> Launcher:
    return Launcher(
        uid=name, namespace="llm", name=name, node=node, address=address, requests_gpus=False
    )


@asynccontextmanager
async def client_of(handler: Handler, listen: str = "127.0.0.1") -> AsyncIterator[LauncherClient]:
    """Of launchers that all answer on loopback."""
    app = web.Application()
    app.router.add_get("/v2/vllm/instances", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, listen, 0).start()
    async with ClientSession() as session:
        yield LauncherClient(session=session, port=runner.addresses[0][1])
    await runner.cleanup()


async def test_a_launcher_tells_its_instances() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(ANSWERS["10.0.0.12"])

    async with client_of(answer) as client:
        found = await client.instances(launcher("b"))

    assert [sorted(one.gpus) for one in found] == [["GPU-4"], ["GPU-5"], ["GPU-6", "GPU-7"]]


async def _not_json(_: web.Request) -> web.Response:
    return web.Response(text="<html>")


async def _an_error(_: web.Request) -> web.Response:
    return web.Response(status=500)


async def _elsewhere(_: web.Request) -> web.Response:
    raise web.HTTPFound("http://127.0.0.1:1/secret")


async def _too_much(_: web.Request) -> web.Response:
    return web.Response(body=b" " * (ANSWER_BYTES_MAX + 1))


async def _inflated(_: web.Request) -> web.Response:
    body = gzip.compress(json.dumps(ANSWERS["10.0.0.13"]).encode())
    return web.Response(body=body, headers={"Content-Encoding": "gzip"})


async def _deep(_: web.Request) -> web.Response:
    return web.Response(text="[" * 100_000)


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        pytest.param(_not_json, "Expecting value", id="no-json"),
        pytest.param(_an_error, "HTTP 500", id="error"),
        pytest.param(_elsewhere, "HTTP 302", id="redirect"),
        pytest.param(_too_much, f"more than {ANSWER_BYTES_MAX} bytes", id="too-much"),
        pytest.param(_inflated, "", id="compressed"),
        pytest.param(_deep, "", id="deep"),
    ],
)
async def test_an_answer_that_cannot_be_used_says_whose_and_why(handler: Handler, why: str) -> None:
    async with client_of(handler) as client:
        with pytest.raises(LauncherUnreachableError, match=f"launcher llm/b: .*{why}"):
            await client.instances(launcher("b"))


async def test_what_a_launcher_sends_does_not_fill_the_log() -> None:
    async def a_long_header(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 8000 + b"\0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(a_long_header, "127.0.0.1", 0)
    async with server, ClientSession() as session:
        client = LauncherClient(session=session, port=server.sockets[0].getsockname()[1])
        with pytest.raises(LauncherUnreachableError) as refused:
            await client.instances(launcher("b"))

    assert len(str(refused.value)) < 200


async def test_a_launcher_without_an_address_is_not_looked_for() -> None:
    async with client_of(_an_error) as client:
        with pytest.raises(LauncherUnreachableError, match="llm/b has no address yet"):
            await client.instances(launcher("b", address=None))


async def test_those_that_answer_are_known_and_the_others_are_named() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(ANSWERS["10.0.0.11"])

    first, second, third = launcher("a"), launcher("b", address=None), launcher("c")
    async with client_of(answer) as client:
        found, faults = await client.ask([first, second, third])

    assert found[second] is None
    assert [len(found[one] or ()) for one in (first, third)] == [2, 2]
    assert faults == ("launcher llm/b has no address yet",)


async def test_no_launchers_give_no_answers() -> None:
    async with client_of(_an_error) as client:
        assert await client.ask([]) == ({}, ())


async def test_a_followed_state_knows_what_launchers_answer_and_that_one_fell_silent() -> None:
    silent = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        if silent.is_set():
            return web.Response(status=500)
        return web.json_response(ANSWERS["10.0.0.12"])

    state = LauncherState()
    state.changed(replace(PODS[1], ip="127.0.0.1"))

    def instances() -> object:
        return state.node("h100-1", gpus=8, taken=0).instances

    async with client_of(answer) as client, asyncio.timeout(60):
        following = asyncio.create_task(client.follow(state, every_seconds=0.01))
        while instances() is None:
            await asyncio.sleep(0.01)
        silent.set()
        while instances() is not None:
            await asyncio.sleep(0.01)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_launchers_that_gave_no_answer_are_asked_after_those_that_did() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.host)
        if request.host.startswith("127.0.0.1:"):
            return web.json_response(ANSWERS["10.0.0.12"])
        return web.Response(status=500)

    state, silent = LauncherState(), 3 * AT_ONCE_MAX
    for at in range(silent):
        state.changed(replace(PODS[1], uid=f"silent-{at}", ip=f"127.0.0.{at + 2}"))
    state.changed(replace(PODS[1], ip="127.0.0.1"))

    async with client_of(answer, listen="0.0.0.0") as client, asyncio.timeout(60):
        following = asyncio.create_task(client.follow(state, every_seconds=0.01))
        while len(asked) < 2 * (silent + 1):
            await asyncio.sleep(0.01)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    again = [one.startswith("127.0.0.1:") for one in asked[silent + 1 : 2 * (silent + 1)]]
    assert again.index(True) < AT_ONCE_MAX


class Hanging:
    """A session whose launchers never answer."""

    def __init__(self) -> None:
        self.asked_at: list[float] = []

    @asynccontextmanager
    async def get(self, url: str, **_: object) -> AsyncIterator[None]:
        self.asked_at.append(asyncio.get_running_loop().time())
        await asyncio.Event().wait()
        yield


@pytest.mark.looptime(True)  # no sockets here
async def test_launchers_that_hang_are_given_up_in_time_and_few_at_once() -> None:
    loop, session = asyncio.get_running_loop(), Hanging()
    client = LauncherClient(session=session, seconds_max=0.5)  # type: ignore[arg-type]
    begun = loop.time()
    found, faults = await client.ask(launcher(f"l-{at}") for at in range(AT_ONCE_MAX + 4))

    assert set(found.values()) == {None}
    assert faults[0] == "launcher llm/l-0: no answer within 0.5 s"
    # The last four wait for a slot: two rounds.
    at = [at - begun for at in session.asked_at]
    assert at == pytest.approx([0.0] * AT_ONCE_MAX + [0.5] * 4)
    assert loop.time() - begun == pytest.approx(1.0)
