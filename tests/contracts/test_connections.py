"""How many connections the ports of KEDA and of the Plans API take at once."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from scaler.serving import plans_server
from scaler.serving import server as scaler_server
from tests.contracts.plan_readers import PlansSite
from tests.contracts.served import Served

pytestmark = pytest.mark.looptime(False)  # sockets need real time

BEGINS_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


async def taken(port: int, count: int) -> int:
    """How many of so many connections that stay open the server answers."""
    answered = 0
    async with AsyncExitStack() as stack, asyncio.timeout(60):
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            writer.write(BEGINS_HTTP2)
            try:
                answered += bool(await reader.read(9))  # its own settings
            except ConnectionError:
                continue
    return answered


@pytest.fixture(autouse=True)
def _three(monkeypatch: pytest.MonkeyPatch) -> None:
    for server in (scaler_server, plans_server):
        monkeypatch.setattr(server, "CONNECTIONS_MAX", 3)


async def test_the_port_of_keda_takes_connections_up_to_its_limit(served: Served) -> None:
    assert await taken(served.port, 5) == 3


async def test_so_does_that_of_the_plans_api() -> None:
    site = PlansSite()
    async with site.served():
        assert await taken(site.port, 5) == 3
