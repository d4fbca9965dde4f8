"""What the answering process holds of its workloads, for a new planner and for a joining peer."""

import dataclasses

import pytest
from structlog.testing import capture_logs

from scaler.serving.board import SILENT_SECONDS
from scaler.serving.state_held import HeldStates
from scaler.state.workload_bytes import decode_workload, encode_workload
from tests.state.records import NOW, REFERENCE, workload


async def test_of_several_states_the_latest_reading_counts() -> None:
    old, new = workload(9, at=NOW - 60), workload(4, at=NOW)
    unread = dataclasses.replace(new, answer=None)
    held = HeldStates()

    adopted = await held.adopt(map(encode_workload, (new, old, unread)), now_seconds=NOW)

    assert adopted == [new]
    assert held.of([REFERENCE]) == (encode_workload(new),)


async def test_a_state_of_ones_own_is_not_replaced_by_anothers() -> None:
    held = HeldStates()
    held.keep(REFERENCE, encode_workload(workload(4, at=NOW - 60)))

    assert await held.adopt([encode_workload(workload(9))], now_seconds=NOW) == [workload(9)]
    assert held.of([REFERENCE]) == (encode_workload(workload(4, at=NOW - 60)),)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"\xff", id="no-state"),
        pytest.param(encode_workload(workload(at=NOW + 3600)), id="future"),
    ],
)
async def test_what_is_refused_is_said_with_its_reason_and_the_rest_is_taken(
    payload: bytes,
) -> None:
    held = HeldStates()
    with capture_logs() as said:
        adopted = await held.adopt([payload, encode_workload(workload())], now_seconds=NOW)

    assert adopted == [workload()]
    (line,) = said
    assert sum(line["reasons"].values()) == 1


async def test_an_object_that_nobody_asked_about_for_a_day_is_left_out() -> None:
    silent = workload(at=NOW - SILENT_SECONDS - 1)

    assert await HeldStates().adopt([encode_workload(silent)], now_seconds=NOW) == []


async def test_states_of_objects_that_are_not_known_any_more_are_dropped() -> None:
    held = HeldStates()
    kept, gone = workload(name="kept"), workload(name="gone")
    for state in (kept, gone):
        held.keep(state.reference, encode_workload(state))

    await held.keep_known(lambda reference: reference == kept.reference)

    assert held.of([kept.reference, gone.reference]) == (encode_workload(kept),)


async def test_a_peer_is_handed_what_keda_asked_about_lately_with_that_time() -> None:
    held = HeldStates()
    for name in ("asked", "silent", "gone"):
        state = workload(name=name)
        held.keep(state.reference, encode_workload(state))
    asked_at = {"asked": NOW + 30, "silent": NOW - 90}

    handed = list(held.asked_since(NOW - 60, lambda reference: asked_at.get(reference.name)))

    (state,) = [
        decode_workload(message.SerializeToString(deterministic=True)) for message in handed
    ]
    assert (state.reference.name, state.asked_at_seconds) == ("asked", NOW + 30)
