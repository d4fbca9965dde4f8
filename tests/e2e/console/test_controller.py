"""The console of `foresail controller`: plans and nodes as it knows them, and who may see them."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import yaml

from fleet.cluster.kinds import SOURCES, Kind
from foresail.controller.policies_in_force import PATH as POLICIES
from tests.contracts.plan_readers import PlansSite, named
from tests.foresail.controller.writable_server import WritableServer
from tests.policies.test_node_planning import two_nodes
from tests.prometheus import free_port

pytestmark = pytest.mark.looptime(False)  # sockets live in real time


@pytest.fixture
async def server() -> AsyncIterator[WritableServer]:
    one = WritableServer()
    for kind in (*two_nodes(), Kind.SLICE, Kind.CLAIM, Kind.CLASS, Kind.SCALED_OBJECT):
        source = SOURCES[kind]
        one.serve(source.path, source.object_kind, *two_nodes().get(kind, []))
    one.serve(POLICIES, "CapacityPolicy")
    await one.start()
    yield one
    await one.stop()


@asynccontextmanager
async def controller(
    server: WritableServer, folder: Path, console: str, *more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`foresail controller` in a process of its own."""
    file = folder / "kubeconfig"
    cluster = {"server": f"http://127.0.0.1:{server.port}"}
    file.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                "clusters": [{"name": "test", "cluster": cluster}],
                "users": [{"name": "test", "user": {}}],
            }
        )
    )
    options = ("--http", "127.0.0.1:0", "--mode", "advise", "--console", console, *more)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "foresail.cli", "controller", *options),
        *("--kubeconfig", str(file), "--context", "test"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def page(url: str, *parts: str) -> str:
    """The page, once it holds all of these."""
    async with asyncio.timeout(180), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url) as answer:
                    text = await answer.text()
                    assert answer.status == 200, text
                    assert answer.headers["X-Frame-Options"] == "DENY"
                    if all(part in text for part in parts):
                        return text
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.2)


async def test_it_shows_the_plans_that_it_hears_and_the_nodes_of_its_round(
    server: WritableServer, tmp_path: Path
) -> None:
    site, port = PlansSite(), free_port()
    chat = named("chat")
    site.plan(chat)
    async with (
        site.served(),
        controller(
            server, tmp_path, f"127.0.0.1:{port}", "--plans", f"127.0.0.1:{site.port}"
        ) as process,
    ):
        url = f"http://127.0.0.1:{port}"
        first = await page(url, "1 workload", "serving", "no reason")
        assert str(chat) in first
        assert "What the GPUs are paid for" in first
        of_chat = await page(f"{url}/workload/{chat.namespace}/{chat.name}")
        assert "1,000 prompt tokens/s" in of_chat  # a step, as explain has it
        assert "queue not measured" in of_chat

        process.terminate()
        assert await asyncio.wait_for(process.wait(), 120) == 0


async def test_other_addresses_need_a_token(server: WritableServer, tmp_path: Path) -> None:
    async with controller(server, tmp_path, "0.0.0.0:0") as process:
        assert process.stderr is not None
        said = (await process.stderr.read()).decode()
        assert await process.wait() == 1
    assert "console: 0.0.0.0 is not this machine alone" in said
    assert "Traceback" not in said


async def test_without_a_plans_api_it_says_so_and_shows_the_nodes(
    server: WritableServer, tmp_path: Path
) -> None:
    port = free_port()
    async with controller(server, tmp_path, f"127.0.0.1:{port}"):
        text = await page(f"http://127.0.0.1:{port}", "no reason")
    assert "the controller asks no Plans API" in text
