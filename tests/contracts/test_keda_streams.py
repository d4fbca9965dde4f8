"""Push streams: what is sent when, and that each ends with OK."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import grpc
import grpc.aio
import pytest

from scaler.decision.answers import Refusal, RefusalCode
from scaler.limits import Limit
from scaler.rpc import externalscaler_pb2 as pb
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc
from scaler.serving.streams import (
    CONNECTION_AGE_SECONDS,
    CONNECTION_GRACE_SECONDS,
    OF_SUBJECT_MAX,
    StreamLifetime,
    StreamLifetimes,
    TooManyStreamsError,
)
from tests.contracts.served import Served, answer

real_time = pytest.mark.looptime(False)  # sockets need it
END = grpc.aio.EOF


async def read(call: grpc.aio.UnaryStreamCall[object, pb.IsActiveResponse]) -> bool:
    async with asyncio.timeout(60):
        message = await call.read()
    assert isinstance(message, pb.IsActiveResponse)
    return message.result


@real_time
async def test_the_state_comes_at_once_and_then_each_edge(served: Served) -> None:
    served.publish(answer(0, active=False))
    call = served.keda.StreamIsActive(served.reference())

    assert await read(call) is False
    served.publish(answer(2))
    assert await read(call) is True
    served.publish(answer(3))  # no edge
    served.publish(answer(0, active=False))
    assert await read(call) is False


@real_time
async def test_while_there_is_no_answer_a_stream_stays_open_and_silent(served: Served) -> None:
    call = served.keda.StreamIsActive(served.reference())
    served.publish(Refusal(code=RefusalCode.UNAVAILABLE, message="prometheus is down"))
    served.publish(answer(1))

    assert await read(call) is True


@real_time
async def test_in_advise_mode_a_stream_says_nothing_as_true_would_wake_a_workload(
    served: Served,
) -> None:
    served.metadata = {"model": "m", "mode": "advise"}
    call = served.keda.StreamIsActive(served.reference())
    async with asyncio.timeout(60):
        while not served.lifetimes.open():
            await asyncio.sleep(0.01)
    served.publish(answer(17))

    await served.server.drain()

    assert await call.read() == END


@real_time
@pytest.mark.parametrize(
    ("metadata", "is_sent"),
    [
        pytest.param({"mode": "advise", "minReplicas": "0"}, True, id="advise"),
        pytest.param({"mode": "act", "minReplicas": "0"}, True, id="no-answer"),
        pytest.param({"mode": "act", "minReplicas": "1"}, False, id="never-at-zero"),
    ],
)
async def test_while_no_answer_may_be_given_true_is_sent_from_the_third_call_of_an_hpa_on(
    served: Served, metadata: dict[str, str], is_sent: bool
) -> None:
    served.metadata = {"model": "m", "engine": "llm-d", **metadata}
    call = served.keda.StreamIsActive(served.reference())

    async def asked(*, after_seconds: float, timeout_seconds: float | None) -> None:
        served.now[0] += after_seconds
        with suppress(grpc.aio.AioRpcError):
            await served.keda.GetMetrics(served.question(), timeout=timeout_seconds)

    async def sent(*, within_seconds: float) -> bool:
        try:
            async with asyncio.timeout(within_seconds):
                return await asyncio.shield(reading)
        except TimeoutError:
            return False

    reading = asyncio.create_task(read(call))
    async with asyncio.timeout(60):
        while not served.lifetimes.open():
            await asyncio.sleep(0.01)
    for _ in range(2):
        await asked(after_seconds=15, timeout_seconds=None)  # KEDA's own polls
    for _ in range(2):
        await asked(after_seconds=0, timeout_seconds=60)  # somebody with kubectl, and KEDA again
    await asked(after_seconds=15, timeout_seconds=60)  # the same person once more
    await asked(after_seconds=61, timeout_seconds=60)
    await asked(after_seconds=15, timeout_seconds=60)
    assert not await sent(within_seconds=0.1)
    await asked(after_seconds=15, timeout_seconds=60)
    assert await sent(within_seconds=60 if is_sent else 0.1) is is_sent
    reading.cancel()


@real_time
async def test_a_drained_server_ends_streams_with_ok(served: Served) -> None:
    served.publish(answer(1))
    active = served.keda.StreamIsActive(served.reference())
    specs = served.keda.StreamMetricSpec(served.reference())
    assert await read(active) is True
    assert await specs.read() != END

    await served.server.drain()

    assert await active.read() == END
    assert await specs.read() == END
    assert (await active.code(), await specs.code()) == (grpc.StatusCode.OK, grpc.StatusCode.OK)


@real_time
async def test_the_spec_stream_sends_what_the_spec_call_answers(served: Served) -> None:
    first = await served.keda.StreamMetricSpec(served.reference()).read()

    assert first == await served.keda.GetMetricSpec(served.reference())


@real_time
async def test_a_cancelled_stream_is_forgotten(served: Served) -> None:
    served.publish(answer(1))
    call = served.keda.StreamIsActive(served.reference())
    await read(call)
    call.cancel()

    async with asyncio.timeout(60):
        while served.lifetimes.open():
            await asyncio.sleep(0.01)
    assert not served.entry().listeners


@real_time
async def test_one_connection_holds_only_so_many_streams(
    served: Served, limits_exceeded: Callable[[], set[Limit]]
) -> None:
    served.publish(answer(1))
    calls = [served.keda.StreamIsActive(served.reference()) for _ in range(4)]
    for call in calls:
        await read(call)

    assert await served.keda.StreamIsActive(served.reference()).code() is (
        grpc.StatusCode.RESOURCE_EXHAUSTED
    )
    assert limits_exceeded() == {Limit.STREAMS}


@real_time
async def test_of_many_streams_of_one_trigger_the_oldest_ends_with_ok(
    served: Served, limits_exceeded: Callable[[], set[Limit]]
) -> None:
    served.publish(answer(1))
    own = (("grpc.use_local_subchannel_pool", 1),)  # a connection, and so a limit, of its own
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}", options=own) as channel:
        first = served.keda.StreamIsActive(served.reference())
        spec = served.keda.StreamMetricSpec(served.reference())
        assert await read(first) is True
        assert await spec.read() != END
        later = [
            pb_grpc.ExternalScalerStub(channel).StreamIsActive(served.reference())
            for _ in range(OF_SUBJECT_MAX)
        ]
        for call in later:
            assert await read(call) is True

        assert await first.read() == END
        assert await first.code() is grpc.StatusCode.OK
        assert limits_exceeded() == {Limit.TRIGGER_STREAMS}
        assert served.lifetimes.open() == OF_SUBJECT_MAX + 1


@real_time
async def test_streams_about_objects_that_cannot_be_known_share_the_places_of_one(
    served: Served,
) -> None:
    for n in range(3):
        served.entry(f"known-{n}")  # all that the board has room for
    own = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}", options=own) as channel:
        known = pb_grpc.ExternalScalerStub(channel).StreamMetricSpec(served.reference("known-0"))
        first = served.keda.StreamMetricSpec(served.reference("new-0"))
        assert await known.read() != END
        assert await first.read() != END
        others = [
            stub.StreamMetricSpec(served.reference(name))
            for stub, name in (
                (served.keda, "new-1"),
                (served.keda, "new-2"),
                (served.keda, "x" * 300),
                (pb_grpc.ExternalScalerStub(channel), "y" * 300),
            )
        ]
        for other in others:
            assert await other.read() != END

        async with asyncio.timeout(60):
            assert await first.read() == END
        assert served.lifetimes.open() == OF_SUBJECT_MAX + 1


@real_time
async def test_an_object_is_known_from_its_stream_of_the_spec_on(served: Served) -> None:
    assert await served.keda.StreamMetricSpec(served.reference()).read() != END

    assert [entry.reference.name for entry in served.board] == ["llama"]


class Opener:
    """Opens streams about one subject without end; each that is told to end does."""

    def __init__(self, lifetimes: StreamLifetimes, subject: str) -> None:
        self._lifetimes = lifetimes
        self._subject = subject
        self.going_on: list[tuple[str, StreamLifetime]] = []

    def open(self, peer: str) -> StreamLifetime:
        opened = self._lifetimes.begin(peer, self._subject)
        for one_peer, one in self.going_on:
            if one.over():
                self._lifetimes.end(one_peer, self._subject, one)
        self.going_on = [one for one in self.going_on if not one[1].over()] + [(peer, opened)]
        return opened


async def test_streams_of_one_subject_end_none_of_another() -> None:
    lifetimes = StreamLifetimes(per_peer_max=10_000)
    other, opener = lifetimes.begin("peer", "other"), Opener(lifetimes, "one")
    opened = [opener.open("peer") for _ in range(1000)]

    assert not other.over()
    assert [one.over() for one in opened] == [True] * (1000 - OF_SUBJECT_MAX) + [False] * (
        OF_SUBJECT_MAX
    )


async def test_who_opens_many_streams_about_a_trigger_ends_its_own_and_none_of_kedas() -> None:
    opener = Opener(StreamLifetimes(per_peer_max=100), "one")
    broken, of_keda = opener.open("ipv4:10.0.0.1:4711"), opener.open("ipv4:10.0.0.1:4712")
    for port in range(1000, 1100):
        opener.open(f"ipv4:10.0.0.66:{port}")

    assert not broken.over()
    assert not of_keda.over()
    assert len(opener.going_on) == OF_SUBJECT_MAX


async def test_an_address_whose_streams_do_not_end_gets_no_more_about_the_same_trigger() -> None:
    lifetimes = StreamLifetimes(per_peer_max=100)
    opened = [lifetimes.begin("ipv4:10.0.0.66:1000", "one") for _ in range(2 * OF_SUBJECT_MAX)]
    assert [one.over() for one in opened] == [True] * OF_SUBJECT_MAX + [False] * OF_SUBJECT_MAX

    with pytest.raises(TooManyStreamsError, match="do not end") as raised:
        lifetimes.begin("ipv4:10.0.0.66:1001", "one")
    assert raised.value.limit is Limit.TRIGGER_STREAMS
    lifetimes.begin("ipv4:10.0.0.66:1001", "other")
    lifetimes.begin("ipv4:10.0.0.1:4711", "one")

    lifetimes.end("ipv4:10.0.0.66:1000", "one", opened[0])
    lifetimes.begin("ipv4:10.0.0.66:1001", "one")


async def test_a_stream_ends_after_its_connection_was_told_to_go_and_before_it_is_cut() -> None:
    lifetimes = StreamLifetimes(per_peer_max=100)
    announced_latest = 1.1 * CONNECTION_AGE_SECONDS
    cut_earliest = 0.9 * CONNECTION_AGE_SECONDS + CONNECTION_GRACE_SECONDS
    begun = asyncio.get_running_loop().time()

    deadlines = {
        lifetimes.begin("ipv4:10.0.0.1:4711", number).deadline_seconds - begun
        for number in range(50)
    }

    assert announced_latest < min(deadlines)
    assert max(deadlines) < cut_earliest
    assert len(deadlines) > 10  # spread: all streams back at once would be a burst


async def test_a_late_stream_ends_with_its_connection_not_a_full_life_later() -> None:
    lifetimes = StreamLifetimes(per_peer_max=100)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    lifetimes.begin("peer", "one")
    await asyncio.sleep(CONNECTION_AGE_SECONDS * 0.8)

    lifetime = lifetimes.begin("peer", "one")
    while not lifetime.over():
        await lifetime.wait(at_most_seconds=20)

    assert loop.time() - begun < CONNECTION_AGE_SECONDS * 0.9 + CONNECTION_GRACE_SECONDS
