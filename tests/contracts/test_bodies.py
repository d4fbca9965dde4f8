"""Messages that do not arrive: they hold neither memory nor places without end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import grpc.aio
import pytest

from scaler.limits import Limit
from scaler.rpc import externalscaler_pb2 as pb
from scaler.serving.bodies import Bodies

pytestmark = pytest.mark.looptime(False)  # sockets need real time

METHOD = "/externalscaler.ExternalScaler/IsActive"


class Service:
    """Answers at once, and streams two answers; the first of them names the caller's object."""

    async def one(self, request: pb.ScaledObjectRef, _: object) -> pb.IsActiveResponse:
        return pb.IsActiveResponse(result=request.name == "a")

    async def many(
        self, request: pb.ScaledObjectRef, _: object
    ) -> AsyncIterator[pb.IsActiveResponse]:
        yield pb.IsActiveResponse(result=request.name == "a")
        yield pb.IsActiveResponse(result=False)


@pytest.fixture
async def start() -> AsyncIterator[Callable[[Bodies], Awaitable[grpc.aio.Channel]]]:
    servers, channels = list[grpc.aio.Server](), list[grpc.aio.Channel]()

    async def started(bodies: Bodies) -> grpc.aio.Channel:
        server, service = grpc.aio.server(interceptors=[bodies]), Service()
        forms = {
            "IsActive": grpc.unary_unary_rpc_method_handler(
                service.one, pb.ScaledObjectRef.FromString, pb.IsActiveResponse.SerializeToString
            ),
            "StreamIsActive": grpc.unary_stream_rpc_method_handler(
                service.many, pb.ScaledObjectRef.FromString, pb.IsActiveResponse.SerializeToString
            ),
        }
        name = "externalscaler.ExternalScaler"
        server.add_registered_method_handlers(name, forms)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, forms)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        servers.append(server)
        channels.append(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        return channels[-1]

    yield started
    for channel in channels:
        await channel.close()
    for server in servers:
        await server.stop(None)


def half_sent(channel: grpc.aio.Channel) -> grpc.aio.StreamUnaryCall:
    """A call whose message does not come: a plain call is the same to a server."""
    return channel.stream_unary(METHOD)()


async def plain(channel: grpc.aio.Channel, name: str = "a") -> bool:
    call = channel.unary_unary(
        METHOD, pb.ScaledObjectRef.SerializeToString, pb.IsActiveResponse.FromString
    )
    return bool((await call(pb.ScaledObjectRef(name=name))).result)


async def test_plain_calls_and_their_streams_are_answered_as_before(
    start: Callable[[Bodies], Awaitable[grpc.aio.Channel]],
) -> None:
    channel = await start(Bodies())
    assert [await plain(channel, "a"), await plain(channel, "b")] == [True, False]
    stream = channel.unary_stream(
        METHOD.replace("IsActive", "StreamIsActive"),
        pb.ScaledObjectRef.SerializeToString,
        pb.IsActiveResponse.FromString,
    )(pb.ScaledObjectRef(name="a"))
    assert [one.result async for one in stream] == [True, False]


async def test_a_message_that_is_not_there_in_time_ends_its_call(
    start: Callable[[Bodies], Awaitable[grpc.aio.Channel]],
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    call = half_sent(await start(Bodies(seconds_max=0.05)))
    async with asyncio.timeout(60):
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert Limit.BODY_SECONDS in limits_exceeded()


async def test_beyond_the_limit_the_oldest_of_the_client_with_the_most_makes_room(
    start: Callable[[Bodies], Awaitable[grpc.aio.Channel]],
) -> None:
    channel = await start(Bodies(seconds_max=3600, on_their_way_max=3))
    held = []
    for _ in range(3):
        held.append(half_sent(channel))
        # After the answer the server knows the call before it. The third one is beyond the limit.
        assert await plain(channel)
    async with asyncio.timeout(60):
        assert await held[0].code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert not held[1].done()
    assert not held[2].done()
