"""The memory of the series that workloads keep from look to look, by namespace."""

from collections.abc import Callable, Iterator

import pytest

from scaler.errors import SourceUnavailableError
from scaler.limits import Limit
from scaler.signals import Signal
from scaler.sources.catalogue import load
from scaler.sources.held_bytes import HeldBytes
from scaler.sources.reading import ObservationReader
from scaler.sources.series import Sample
from scaler.sources.series_room import SeriesRoom

VLLM = load("vllm")
MEBIBYTE = 2**20


def reader_of(held: HeldBytes, namespace: str) -> ObservationReader:
    room = SeriesRoom(held, namespace=namespace, source="pods", looks_kept=8)
    return ObservationReader(VLLM, model="m", room=room)


def page(count: int, *, at_seconds: float, kind: str = "x") -> Iterator[Sample]:
    """As many series of one pod, all of them new ones of this kind."""
    for number in range(count):
        yield Sample(
            name="vllm:num_requests_running",
            labels={"model_name": "m", "pod": "p", "engine": f"{kind}{number}"},
            value=1.0,
            at_seconds=at_seconds,
        )


def test_new_series_in_each_look_are_refused_once_they_fill_the_memory(
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    reader = reader_of(HeldBytes(MEBIBYTE), "llm")
    # A series of three short labels takes 1.4 KB and six texts of some 55 bytes: 600 fit.
    assert reader.observe(page(400, at_seconds=0), now_seconds=0).value(Signal.RUNNING) == 400

    with pytest.raises(SourceUnavailableError, match=r"'llm' .* share of 1 MiB \(limits.series"):
        reader.observe(page(400, at_seconds=15, kind="y"), now_seconds=15)
    assert Limit.KEPT_SERIES in limits_exceeded()


def test_a_series_that_is_kept_already_takes_no_more() -> None:
    reader = reader_of(HeldBytes(MEBIBYTE), "llm")

    for look in range(20):
        now = 15.0 * look
        seen = reader.observe(page(400, at_seconds=now), now_seconds=now)
        assert seen.value(Signal.RUNNING) == 400


def test_series_that_ended_make_room_for_those_of_the_same_look() -> None:
    reader = reader_of(HeldBytes(MEBIBYTE), "llm")

    for look in range(20):
        now = 121.0 * look  # a window, and what a sample may be old
        seen = reader.observe(page(400, at_seconds=now, kind=f"{look}-"), now_seconds=now)
        assert seen.value(Signal.RUNNING) == 400


def test_a_namespace_that_has_all_of_it_takes_none_from_another() -> None:
    held = HeldBytes(MEBIBYTE)
    greedy = [reader_of(held, "greedy") for _ in range(2)]
    greedy[0].observe(page(400, at_seconds=0), now_seconds=0)
    with pytest.raises(SourceUnavailableError, match="greedy"):
        greedy[1].observe(page(400, at_seconds=0), now_seconds=0)

    honest = [reader_of(held, name) for name in ("a", "a", "b")]
    for reader in honest:
        seen = reader.observe(page(100, at_seconds=0), now_seconds=0)
        assert seen.value(Signal.RUNNING) == 100
    with pytest.raises(SourceUnavailableError, match="greedy"):
        greedy[0].observe(page(400, at_seconds=15, kind="new"), now_seconds=15)


def test_what_a_workload_kept_is_free_when_it_is_forgotten() -> None:
    held = HeldBytes(MEBIBYTE)

    for _ in range(20):
        reader = reader_of(held, "llm")
        reader.observe(page(400, at_seconds=0), now_seconds=0)
        del reader


def test_a_refused_look_takes_no_more_room_each_time_it_is_tried() -> None:
    held = HeldBytes(MEBIBYTE)
    reader = reader_of(held, "llm")
    for look in range(20):
        with pytest.raises(SourceUnavailableError):
            reader.observe(page(1000, at_seconds=0, kind=f"{look}-"), now_seconds=float(look))

    seen = reader.observe(page(400, at_seconds=150), now_seconds=150)
    assert seen.value(Signal.RUNNING) == 400


def test_labels_count_by_their_length() -> None:
    reader = reader_of(HeldBytes(MEBIBYTE), "llm")
    long = "x" * 60_000

    with pytest.raises(SourceUnavailableError, match="share of 1 MiB"):
        reader.observe(page(20, at_seconds=0, kind=long), now_seconds=0)


@pytest.mark.parametrize(
    ("held", "may"),
    [
        pytest.param({"a": 60, "b": 30}, {"a": True, "b": True}, id="all-fit"),
        # b and c take 30, which leaves 70 for a: more than a third.
        pytest.param({"b": 20, "c": 10, "a": 71}, {"a": False, "b": True}, id="one-too-much"),
        # c leaves 95 for two: 47.5 each.
        pytest.param({"c": 5, "a": 60, "b": 47}, {"a": False, "b": True}, id="one-of-two"),
        pytest.param({"c": 5, "a": 48, "b": 48}, {"a": False, "c": True}, id="two-too-much"),
    ],
)
def test_a_share_is_what_those_leave_who_want_less(
    held: dict[str, int], may: dict[str, bool]
) -> None:
    memory = HeldBytes(100)
    for owner, count in held.items():
        memory.take(owner, count)

    assert {owner: memory.take(owner, 0) for owner in may} == may
