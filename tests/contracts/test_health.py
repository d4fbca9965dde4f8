"""The health service that every client of the port may ask, whoever watches it."""

import asyncio
import struct
from collections.abc import Callable

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from scaler.limits import Limit
from scaler.serving import health
from scaler.serving import server as scaler_server
from tests.contracts.plan_readers import PlansSite
from tests.contracts.served import Served, answer

pytestmark = pytest.mark.looptime(False)  # sockets need real time

HEADERS, SETTINGS = 1, 4
ACK, END_HEADERS, END_STREAM = 1, 4, 1
INITIAL_WINDOW_SIZE = 4
"""Numbers of RFC 9113."""


def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return struct.pack("!I", len(body))[1:] + struct.pack("!BBI", kind, flags, stream) + body


def literal(text: bytes) -> bytes:
    return bytes([len(text)]) + text


async def watch_without_reading(port: int) -> asyncio.StreamWriter:
    """A client that takes no byte of any answer, once its call of `Watch` is being answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    # By HPACK's static table: POST, http, :path, :authority, content-type; then `te`.
    headers = (
        b"\x83\x86\x04" + literal(b"/grpc.health.v1.Health/Watch") + b"\x01" + literal(b"foresail")
    ) + (
        b"\x0f\x10" + literal(b"application/grpc") + b"\x00" + literal(b"te") + literal(b"trailers")
    )
    writer.write(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(SETTINGS, 0, 0, struct.pack("!HI", INITIAL_WINDOW_SIZE, 0))
        + frame(SETTINGS, ACK, 0, b"")
        + frame(HEADERS, END_HEADERS, 1, headers)
        + frame(0, END_STREAM, 1, bytes(5))  # an empty message
    )
    async with asyncio.timeout(60):
        while True:
            head = await reader.readexactly(9)
            await reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] == HEADERS:  # they need no window
                return writer


async def test_a_watcher_that_reads_nothing_keeps_no_server_from_its_drain(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaler_server, "_SHUTDOWN_SECONDS", 1.0)  # of the watcher's call
    served.server.serving(ready=True)
    served.publish(answer(3))
    stream = served.keda.StreamIsActive(served.reference())
    assert (await stream.read()).result
    watcher = await watch_without_reading(served.port)

    async with asyncio.timeout(60):
        await served.server.drain()

    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is grpc.StatusCode.OK
    watcher.close()


async def test_nor_the_server_of_plans() -> None:
    site = PlansSite()
    async with site.served() as server:
        watcher = await watch_without_reading(site.port)

        async with asyncio.timeout(60):
            await server.drain()

        watcher.close()


async def test_a_watcher_is_told_of_each_change_once(served: Served) -> None:
    stub = health_pb2_grpc.HealthStub(served.channel)
    name = "externalscaler.ExternalScaler"
    call = stub.Watch(health_pb2.HealthCheckRequest(service=name))
    told = []
    for ready in (False, False, True, True, False):
        served.server.serving(ready=ready)
        if not told or told[-1] is not ready:
            response = await call.read()
            told.append(response.status == health_pb2.HealthCheckResponse.SERVING)
    call.cancel()

    assert told == [False, True, False]


async def test_a_service_that_is_not_there_is_unknown(served: Served) -> None:
    stub = health_pb2_grpc.HealthStub(served.channel)
    request = health_pb2.HealthCheckRequest(service="another")

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.Check(request)
    call = stub.Watch(request)

    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert (await call.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    call.cancel()


async def test_watchers_without_end_are_refused_and_questions_are_not(
    served: Served, monkeypatch: pytest.MonkeyPatch, limits_exceeded: Callable[[], set[Limit]]
) -> None:
    monkeypatch.setattr(health, "WATCHERS_MAX", 2)
    stub = health_pb2_grpc.HealthStub(served.channel)
    watches = [stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(2)]
    for one in watches:
        _ = await one.read()

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        _ = await stub.Watch(health_pb2.HealthCheckRequest()).read()
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert limits_exceeded() == {Limit.STREAMS}
    assert (await stub.Check(health_pb2.HealthCheckRequest())).status

    watches[0].cancel()
    async with asyncio.timeout(60):
        while not await _is_told(stub):
            await asyncio.sleep(0.01)


async def _is_told(stub: health_pb2_grpc.HealthStub) -> bool:
    try:
        return bool(await stub.Watch(health_pb2.HealthCheckRequest()).read())
    except grpc.aio.AioRpcError:
        return False
