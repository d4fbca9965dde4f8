"""A state read back is the state that was written; what is none is refused with its reason."""

import dataclasses
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.decision.answers import Answer
from scaler.decision.backlog import Order
from scaler.decision.plan import PlanState
from scaler.rpc.foresail.v1 import state_pb2 as pb
from scaler.state.feed_bytes import FEED_BYTES_MAX, decode_feed, encode_feed
from scaler.state.frames import MAGIC, Frame, frame_bytes, frames_in
from scaler.state.records import (
    CLOCK_SECONDS_MAX,
    FeedState,
    RefusalReason,
    StateRefusedError,
    WorkloadState,
)
from scaler.state.workload_bytes import WORKLOAD_BYTES_MAX, decode_workload, encode_workload
from tests.state.records import NOW, feed, feeds, workload, workloads

FIELD_OF_TOMORROW = b"\xa2\x06\x05hello"
"""Field 100, five bytes long: no program of today knows it."""


@settings(deadline=None)
@given(workloads)
def test_a_workloads_state_is_read_as_it_was_written(state: WorkloadState) -> None:
    assert decode_workload(encode_workload(state)) == state


@settings(deadline=None)
@given(feeds)
def test_a_feeds_state_is_read_as_it_was_written(state: FeedState) -> None:
    assert decode_feed(encode_feed(state)) == state


def test_fields_of_a_newer_program_survive_a_reading_and_a_writing() -> None:
    of_workload = encode_workload(workload()) + FIELD_OF_TOMORROW
    of_feed = encode_feed(feed()) + FIELD_OF_TOMORROW

    assert FIELD_OF_TOMORROW in encode_workload(decode_workload(of_workload))
    assert FIELD_OF_TOMORROW in encode_feed(decode_feed(of_feed))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_state_or_refused(payload: bytes) -> None:
    for decode in (decode_workload, decode_feed):
        with suppress(StateRefusedError):
            decode(payload)


def test_a_newer_format_is_refused_and_named() -> None:
    payload = pb.WorkloadState(format=7).SerializeToString(deterministic=True)

    with pytest.raises(StateRefusedError, match="format 7; this program reads up to 1") as raised:
        decode_workload(payload)

    assert raised.value.reason is RefusalReason.NEWER


@pytest.mark.parametrize(
    ("decode", "limit"), [(decode_workload, WORKLOAD_BYTES_MAX), (decode_feed, FEED_BYTES_MAX)]
)
def test_a_state_over_its_size_is_refused_before_it_is_parsed(decode, limit: int) -> None:
    with pytest.raises(StateRefusedError) as raised:
        decode(b"\xff" * (limit + 1))

    assert raised.value.reason is RefusalReason.LARGE


@pytest.mark.parametrize(
    "state",
    [
        pytest.param(
            {"answer": Answer(replicas=-1, active=True, made_at_seconds=NOW)}, id="answer"
        ),
        pytest.param({"memory": PlanState(handed=-3)}, id="handed"),
        pytest.param({"memory": PlanState(needs=((NOW, -1),))}, id="need"),
        pytest.param(
            {"memory": PlanState(orders=(Order(at_seconds=NOW, replicas=-1),))}, id="order"
        ),
    ],
)
def test_fewer_than_no_replicas_are_refused(state: dict[str, object]) -> None:
    payload = encode_workload(dataclasses.replace(workload(), **state))

    with pytest.raises(StateRefusedError) as raised:
        decode_workload(payload)

    assert raised.value.reason is RefusalReason.CORRUPTED


@pytest.mark.parametrize("ahead", [CLOCK_SECONDS_MAX + 1, 86_400.0, float("inf"), float("nan")])
def test_a_state_of_a_clock_that_runs_ahead_is_refused(ahead: float) -> None:
    for check in (
        lambda: workload(at=NOW + ahead).check(NOW),
        lambda: feed("k", at=NOW + ahead).check("k", NOW),
    ):
        with pytest.raises(StateRefusedError) as raised:
            check()
        assert raised.value.reason is RefusalReason.FUTURE


def test_the_clocks_of_two_nodes_may_differ_a_little() -> None:
    workload(at=NOW + CLOCK_SECONDS_MAX).check(NOW)
    feed("k", at=NOW + CLOCK_SECONDS_MAX).check("k", NOW)


def test_a_feed_of_another_key_or_of_last_week_is_refused() -> None:
    with pytest.raises(StateRefusedError, match="'b' was asked for") as raised:
        feed("a").check("b", NOW)
    assert raised.value.reason is RefusalReason.FOREIGN

    with pytest.raises(StateRefusedError, match=r"8\.0 days old") as raised:
        feed("a", at=NOW - 8 * 86_400).check("a", NOW)
    assert raised.value.reason is RefusalReason.OLD


names = st.text(st.characters(codec="utf-8"), max_size=10)
frames = st.builds(Frame, name=names, at_seconds=st.floats(0, 4e9), payload=st.binary(max_size=50))


def read(content: bytes) -> tuple[list[Frame], RefusalReason | None]:
    """The frames before a fault, and the fault."""
    found: list[Frame] = []
    try:
        for frame in frames_in(content, payload_bytes_max=100):
            found.append(frame)  # noqa: PERF402 those before a fault count
    except StateRefusedError as error:
        return found, error.reason
    return found, None


@settings(deadline=None)
@given(st.lists(frames, max_size=5))
def test_frames_are_read_as_they_were_written(written: list[Frame]) -> None:
    assert read(MAGIC + b"".join(map(frame_bytes, written))) == (written, None)


@settings(deadline=None)
@given(st.lists(frames, min_size=1, max_size=5), st.data())
def test_a_damaged_byte_costs_what_follows_it_and_nothing_before(
    written: list[Frame], data: st.DataObject
) -> None:
    content = bytearray(MAGIC + b"".join(map(frame_bytes, written)))
    at = data.draw(st.integers(len(MAGIC), len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    ends = [len(MAGIC)]
    for frame in written:
        ends.append(ends[-1] + frame.size)
    whole = sum(end <= at for end in ends[1:])

    assert read(bytes(content)) == (written[:whole], RefusalReason.CORRUPTED)


@settings(deadline=None)
@given(st.lists(frames, min_size=1, max_size=5), st.data())
def test_a_file_cut_off_keeps_the_frames_before_the_cut(
    written: list[Frame], data: st.DataObject
) -> None:
    content = MAGIC + b"".join(map(frame_bytes, written))
    cut = data.draw(st.integers(len(MAGIC), len(content)))

    found, reason = read(content[:cut])

    assert found == written[: len(found)]
    assert reason in {None, RefusalReason.CORRUPTED}


def test_a_file_of_a_newer_program_and_one_of_another_are_distinguished() -> None:
    assert read(b"foresail state 2\nwhatever") == ([], RefusalReason.NEWER)
    assert read(b"\x7fELF") == ([], RefusalReason.CORRUPTED)
    assert read(b"") == ([], RefusalReason.CORRUPTED)


def test_a_frame_that_claims_more_than_is_allowed_is_refused_before_it_is_read() -> None:
    large = Frame(name="n", at_seconds=NOW, payload=b"x" * 101)

    assert read(MAGIC + frame_bytes(large)) == ([], RefusalReason.CORRUPTED)
