"""Replicas from order to end, and what they cost."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.fleet import Fleet, FleetSettings, Phase, Shortage
from replay.start_up import FIVE_MINUTES, Stage, StartUp

EXACTLY_100 = FleetSettings(
    start_up=StartUp(
        stages=(
            Stage(name="node", median_seconds=60, log_sigma=0),
            Stage(name="weights", median_seconds=40, log_sigma=0),
        )
    ),
    grace_seconds=30,
    rows=8,
)
IDLE = np.zeros(8, dtype=np.int64)
BUSY = np.ones(8, dtype=np.int64)


def phases(fleet: Fleet) -> tuple[int, int, int]:
    return (
        fleet.count(Phase.STARTING),
        fleet.count(Phase.READY),
        fleet.count(Phase.DRAINING),
    )


def test_an_order_serves_after_its_stages() -> None:
    fleet = Fleet(EXACTLY_100, ready=0, seed=1)
    fleet.scale_to(2, 10)
    assert fleet.advance(109, IDLE).opened == ()
    assert phases(fleet) == (2, 0, 0)
    assert fleet.advance(110, IDLE).opened == (0, 1)
    assert phases(fleet) == (0, 2, 0)


def test_the_first_replicas_are_ready_at_once() -> None:
    fleet = Fleet(EXACTLY_100, ready=3, seed=1)
    assert fleet.advance(0, IDLE).opened == (0, 1, 2)


def test_a_lower_wish_cancels_the_newest_order_before_it_drains_anybody() -> None:
    fleet = Fleet(EXACTLY_100, ready=2, seed=1)
    fleet.advance(0, IDLE)
    fleet.scale_to(3, 10)
    fleet.scale_to(4, 20)
    assert fleet.scale_to(3, 30) == ()
    assert [replica.ordered_seconds for replica in fleet.replicas] == [0, 0, 10]
    assert fleet.scale_to(1, 40) == (1,)
    assert phases(fleet) == (0, 1, 1)


def test_the_newest_ready_replica_drains_first() -> None:
    fleet = Fleet(EXACTLY_100, ready=1, seed=1)
    fleet.advance(0, IDLE)
    fleet.scale_to(2, 0)
    fleet.advance(100, IDLE)
    assert fleet.scale_to(1, 200) == (1,)


def test_a_drain_ends_when_the_last_stream_does() -> None:
    fleet = Fleet(EXACTLY_100, ready=1, seed=1)
    fleet.advance(0, IDLE)
    fleet.scale_to(0, 50)
    assert fleet.advance(51, BUSY).removed == ()
    assert fleet.advance(57, IDLE).removed == (0,)
    assert fleet.gpu_seconds(1000) == 57


def test_a_drain_ends_at_the_grace_limit_at_the_latest() -> None:
    fleet = Fleet(EXACTLY_100, ready=1, seed=1)
    fleet.advance(0, IDLE)
    fleet.scale_to(0, 50)
    assert fleet.advance(79, BUSY).removed == ()
    assert fleet.advance(80, BUSY).removed == (0,)


def test_draining_replicas_do_not_come_back() -> None:
    fleet = Fleet(EXACTLY_100, ready=2, seed=1)
    fleet.advance(0, IDLE)
    fleet.scale_to(1, 10)
    fleet.scale_to(2, 11)
    assert phases(fleet) == (1, 1, 1)
    assert fleet.wanted == 2


def test_cost_runs_from_order_to_end_worked_by_hand() -> None:
    settings_with_two_gpus = replace(EXACTLY_100, gpus_per_replica=2)
    fleet = Fleet(settings_with_two_gpus, ready=1, seed=1)
    fleet.advance(0, IDLE)
    fleet.scale_to(3, 100)  # two starting
    fleet.scale_to(2, 150)  # one cancelled after 50 s
    fleet.advance(200, IDLE)  # the other ready
    fleet.scale_to(1, 300)
    fleet.advance(320, IDLE)  # drained: lived 100 to 320
    assert fleet.gpu_seconds(400) == 2 * (400 + 50 + 220)


def test_who_finds_no_place_stays_starting() -> None:
    fleet = Fleet(replace(EXACTLY_100, rows=2), ready=2, seed=1)
    fleet.advance(0, IDLE[:2])
    fleet.scale_to(3, 0)
    assert fleet.advance(500, IDLE[:2]).opened == ()
    assert phases(fleet) == (1, 2, 0)


def test_the_default_start_up_is_about_five_minutes_and_varies() -> None:
    generator = np.random.default_rng(0)
    totals = [sum(FIVE_MINUTES.draw(generator)) for _ in range(4000)]
    p10, p50, p90 = np.quantile(totals, [0.1, 0.5, 0.9])
    assert p50 == pytest.approx(300, rel=0.02)
    assert 1.2 < p90 / p10 < 1.6


def test_two_rules_on_one_seed_meet_the_same_luck() -> None:
    slow = FleetSettings()
    first, second = Fleet(slow, ready=1, seed=7), Fleet(slow, ready=1, seed=7)
    first.scale_to(4, 10)
    for now in (10, 20, 30):
        second.scale_to(second.wanted + 1, now)
    ours, theirs = (
        [replica.stage_seconds for replica in fleet.replicas] for fleet in (first, second)
    )
    assert ours == theirs


@settings(max_examples=60, deadline=None)
@given(
    wishes=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 6)), max_size=12),
    busy=st.booleans(),
)
def test_gpu_seconds_are_the_replicas_counted_every_second(
    wishes: list[tuple[int, int]], *, busy: bool
) -> None:
    fleet = Fleet(EXACTLY_100, ready=2, seed=3)
    streams = BUSY if busy else IDLE
    at = dict(wishes)
    counted = 0
    for now in range(400):
        fleet.advance(now, streams)
        if now in at:
            fleet.scale_to(at[now], now)
        counted += len(fleet.replicas)
        rows = [replica.row for replica in fleet.replicas if replica.row is not None]
        assert len(rows) == len(set(rows))
    # Orders, cancels and ends fall on whole seconds here.
    assert fleet.gpu_seconds(400) == counted


def test_what_is_ordered_in_a_shortage_starts_when_it_is_over_and_is_paid_from_then() -> None:
    fleet = Fleet(
        replace(EXACTLY_100, shortages=(Shortage(begin_seconds=50, end_seconds=400),)),
        ready=1,
        seed=1,
    )
    fleet.scale_to(2, 60)
    fleet.advance(499, IDLE)
    assert fleet.count(Phase.READY) == 1
    fleet.advance(500, IDLE)
    assert fleet.count(Phase.READY) == 2
    # One from the beginning, the other from the end of the shortage.
    assert fleet.gpu_seconds(600) == pytest.approx(600 + 200)
