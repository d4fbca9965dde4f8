import numpy as np
import pytest

from scaler.learning.shadows.fluid import SLOTS, Fleets, served, slot_minutes_for
from scaler.learning.shadows.settings import SHADOWS


def everywhere(replicas: float) -> np.ndarray:
    return np.full(SHADOWS, replicas)


def test_an_order_serves_a_lead_time_later() -> None:
    fleets = Fleets.beginning(4, slot_minutes=1)
    ready = []
    for minute in range(1, 7):
        fleets = fleets.with_wanted(everywhere(7), minute)
        ready.append(float(fleets.ready(300)[0]))

    # Ordered at the start of minute 1, and 5 minutes on their way.
    assert ready == [4, 4, 4, 4, 4, 7]


def test_a_cancelled_order_never_serves_and_a_release_is_at_once() -> None:
    fleets = Fleets.beginning(4, slot_minutes=1)
    for minute, wanted in enumerate((7, 5, 5, 3, 5, 5, 5), start=1):
        fleets = fleets.with_wanted(everywhere(wanted), minute)

    # Of 7 the last 2 were cancelled in minute 2; down to 3 in minute 4, up again in minute 5.
    assert fleets.ready(60)[0] == 5
    assert fleets.ready(120)[0] == 5
    assert fleets.ready(180)[0] == 3


def test_what_will_wait_counts_the_replicas_on_their_way() -> None:
    fleets = Fleets.beginning(4, slot_minutes=1).with_wanted(everywhere(6), 1)

    # 4 serve for 5 minutes, then 6. Load 5: 5 × 60 s × 1 replica are left when they come.
    assert fleets.queued_after(300, 5.0)[0] == 300
    assert fleets.queued_after(300, 3.0)[0] == 0


def test_work_queues_above_the_throughput_and_its_wait_is_late() -> None:
    late, queued = served(
        np.array([10.0, 10.0]),
        np.array([0.0, 0.0]),
        21.8,
        ttft_seconds=2.0,
        objective=0.99,
    )

    # 11.8 are served, 10 wait: 600 replica-seconds after a minute; above 2 × 11.8 after 2.36 s.
    assert queued.tolist() == pytest.approx([600, 600])
    assert late[0] == pytest.approx(1.0, abs=0.001)


def test_at_its_capacity_a_replica_keeps_the_objective_and_no_more() -> None:
    late, _ = served(np.array([10.0, 12.5]), np.zeros(2), 10.0, ttft_seconds=2.0, objective=0.99)

    assert late[0] == pytest.approx(0.01)
    assert late[1] < 0.0001


def test_clients_give_up_after_a_minute() -> None:
    _, queued = served(np.array([1.0]), np.zeros(1), 100.0, ttft_seconds=2.0, objective=0.99)

    assert queued[0] <= 100 * 60


def test_the_hold_is_the_most_that_was_needed_within_it() -> None:
    fleets = Fleets.beginning(2, slot_minutes=1)
    for minute, needed in enumerate((9, 4, 3, 3), start=1):
        fleets = fleets.with_needed(everywhere(needed), minute)

    holds = everywhere(0)
    holds[:3] = 60, 180, 240
    # The plan's hold forgets what is as old as the hold itself.
    assert fleets.held(holds)[:3].tolist() == [3, 4, 9]


def test_a_long_window_is_kept_in_longer_slots_with_the_same_past() -> None:
    assert slot_minutes_for(300) == 1
    assert slot_minutes_for(7200) == 4  # 120 minutes in 31 slots and the newest
    fleets = Fleets.beginning(2, slot_minutes=1)
    for minute in range(1, 9):
        fleets = fleets.with_wanted(everywhere(6), minute)

    longer = fleets.with_slots_of(4)

    assert longer.wanted[0, :3].tolist() == [6, 6, 2]
    assert longer.wanted.shape == (SHADOWS, SLOTS)
