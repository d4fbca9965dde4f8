"""Messages that do not arrive: they hold neither memory nor places without end."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import ClassVar
from weakref import ref

import grpc
import grpc.aio
import pytest

from scaler.limits import Limit
from scaler.rpc import externalscaler_pb2 as pb
from scaler.serving.bodies import Bodies, Context

pytestmark = pytest.mark.looptime(False)  # sockets need real time

METHOD = "/externalscaler.ExternalScaler/IsActive"


REFUSED = "refused"


class Question:
    """A message as the server has it; unlike one of protobuf, it can be watched."""

    asked: ClassVar[list[ref["Question"]]] = []

    def __init__(self, body: bytes) -> None:
        self.name = pb.ScaledObjectRef.FromString(body).name
        self.asked.append(ref(self))


class Service:
    """Answers at once, and streams two answers; the first of them names the caller's object."""

    async def one(self, question: Question, context: Context) -> pb.IsActiveResponse:
        if question.name == REFUSED:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such object")
        return pb.IsActiveResponse(result=question.name == "a")

    async def many(
        self, question: Question, context: Context
    ) -> AsyncIterator[pb.IsActiveResponse]:
        yield pb.IsActiveResponse(result=question.name == "a")
        if question.name == REFUSED:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such object any more")
        yield pb.IsActiveResponse(result=False)


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Nothing looks for cycles, so what a call leaves in one stays."""
    Question.asked.clear()
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
async def start() -> AsyncIterator[Callable[[Bodies], Awaitable[grpc.aio.Channel]]]:
    servers, channels = list[grpc.aio.Server](), list[grpc.aio.Channel]()

    async def started(bodies: Bodies) -> grpc.aio.Channel:
        server, service = grpc.aio.server(interceptors=[bodies]), Service()
        forms = {
            "IsActive": grpc.unary_unary_rpc_method_handler(
                service.one, Question, pb.IsActiveResponse.SerializeToString
            ),
            "StreamIsActive": grpc.unary_stream_rpc_method_handler(
                service.many, Question, pb.IsActiveResponse.SerializeToString
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


async def streamed(channel: grpc.aio.Channel, name: str) -> AsyncIterator[bool]:
    call = channel.unary_stream(
        METHOD.replace("IsActive", "StreamIsActive"),
        pb.ScaledObjectRef.SerializeToString,
        pb.IsActiveResponse.FromString,
    )
    async for one in call(pb.ScaledObjectRef(name=name)):
        yield bool(one.result)


async def test_plain_calls_and_their_streams_are_answered_as_before(
    start: Callable[[Bodies], Awaitable[grpc.aio.Channel]],
) -> None:
    channel = await start(Bodies())
    assert [await plain(channel, "a"), await plain(channel, "b")] == [True, False]
    assert [one async for one in streamed(channel, "a")] == [True, False]


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("name", ["a", REFUSED])
async def test_nothing_of_a_call_stays_when_it_ended(
    start: Callable[[Bodies], Awaitable[grpc.aio.Channel]], name: str
) -> None:
    channel = await start(Bodies())
    with suppress(grpc.aio.AioRpcError):
        await plain(channel, name)
    with suppress(grpc.aio.AioRpcError):
        _ = [one async for one in streamed(channel, name)]
    assert len(Question.asked) == 2
    async with asyncio.timeout(60):
        while any(question() for question in Question.asked):
            await asyncio.sleep(0.001)  # a client has its answer before the server lets go


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
