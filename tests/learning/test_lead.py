"""Orders and starts, look by look: what tells a lead time, and what must not."""

from dataclasses import replace

import pytest

from scaler.learning.lead import Awaited, LeadRecord, Start
from scaler.learning.lead_estimate import lead_estimate
from scaler.signals import Absent, Observation, Reading, Signal, Value

PRIOR_SECONDS = 300.0


class Orders:
    """One workload: what KEDA was given, and the replicas that were seen, in order."""

    def __init__(self, *, handed: int, ready: int) -> None:
        self.record = LeadRecord().ordered(handed, 0.0)
        self.look(0, ready)
        self.record = self.record.ordered(handed, 0.0)

    def look(self, at: float, ready: int | None) -> None:
        """A look; None = the replicas were not measured."""
        reading: Reading = (
            Absent(why="no series") if ready is None else Value(value=ready, at_seconds=at)
        )
        observation = Observation(at_seconds=at, readings={Signal.REPLICAS: reading})
        self.record = self.record.seen(observation, PRIOR_SECONDS)

    def looks(self, first: float, last: float, ready: int) -> None:
        """A look each 15 s, both ends included."""
        for at in range(int(first), int(last) + 1, 15):
            self.look(at, ready)

    def hands(self, at: float, handed: int | None) -> None:
        self.record = self.record.ordered(handed, at)

    @property
    def arrived(self) -> list[float]:
        """The seconds of the starts that were seen to their end."""
        return [start.seconds for start in self.record.starts if start.arrived]

    @property
    def outlasted(self) -> list[float]:
        """The seconds of those of which a lower bound is known."""
        return [start.seconds for start in self.record.starts if not start.arrived]


def test_an_order_takes_until_its_replica_is_seen() -> None:
    orders = Orders(handed=3, ready=3)
    orders.hands(15, 5)
    orders.looks(30, 300, ready=3)
    orders.look(315, 4)
    orders.looks(330, 390, ready=4)
    orders.look(405, 5)

    assert orders.arrived == [300, 390]
    assert orders.record.awaited == ()


def test_the_first_order_is_served_first() -> None:
    orders = Orders(handed=3, ready=3)
    orders.hands(0, 4)
    orders.looks(15, 120, ready=3)
    orders.hands(120, 6)
    orders.looks(135, 285, ready=3)
    orders.look(300, 4)
    orders.looks(315, 405, ready=4)
    orders.look(420, 6)

    assert orders.arrived == [300, 300]


def test_replicas_of_one_order_that_come_at_one_look_are_one_start() -> None:
    orders = Orders(handed=3, ready=3)
    orders.hands(0, 23)
    orders.looks(15, 285, ready=3)
    orders.look(300, 23)

    assert orders.arrived == [300]


def test_a_cancelled_order_tells_only_that_it_took_longer_and_the_newest_goes_first() -> None:
    orders = Orders(handed=3, ready=3)
    orders.hands(0, 4)
    orders.looks(15, 90, ready=3)
    orders.hands(90, 6)
    orders.looks(105, 150, ready=3)
    orders.hands(150, 4)
    orders.looks(165, 285, ready=3)
    orders.look(300, 4)

    assert orders.outlasted == [60]  # ordered at 90, cancelled at 150
    assert orders.arrived == [300]


def test_an_order_right_after_a_cancelled_one_tells_nothing() -> None:
    # KEDA may have polled neither, so that the pods are those of the first order.
    orders = Orders(handed=3, ready=3)
    orders.hands(0, 4)
    orders.looks(15, 270, ready=3)
    orders.hands(270, 3)
    orders.look(285, 3)
    orders.hands(285, 4)
    orders.look(300, 4)

    assert orders.arrived == []


def test_an_evicted_replica_that_comes_back_is_no_fast_start() -> None:
    orders = Orders(handed=5, ready=5)
    orders.look(15, 4)
    orders.looks(30, 90, ready=4)
    orders.look(105, 5)

    assert orders.record.starts == ()
    assert orders.record.awaited == ()


def test_an_order_under_way_while_a_replica_vanishes_tells_only_that_it_took_longer() -> None:
    orders = Orders(handed=5, ready=5)
    orders.hands(0, 6)
    orders.looks(15, 195, ready=5)
    orders.look(210, 4)
    orders.look(225, 5)  # the one that was not scraped, or the ordered one: nobody knows
    orders.looks(240, 285, ready=5)
    orders.look(300, 6)

    assert orders.arrived == []
    assert orders.outlasted == [210]


def test_an_order_made_while_a_replica_is_missing_tells_nothing() -> None:
    orders = Orders(handed=5, ready=5)
    orders.look(15, 4)
    orders.hands(15, 6)
    orders.look(30, 5)
    orders.look(45, 6)

    assert orders.record.starts == ()


def test_replicas_of_an_operator_are_no_starts_of_ours() -> None:
    # `kubectl scale` to 9 some minutes before our order of one, all of them seen after it.
    orders = Orders(handed=3, ready=3)
    orders.hands(0, 4)
    orders.look(15, 3)
    orders.look(30, 5)
    orders.look(45, 9)

    assert orders.arrived == []


def test_replicas_that_come_one_by_one_after_ours_take_back_its_start() -> None:
    orders = Orders(handed=3, ready=3)
    orders.hands(0, 4)
    orders.look(15, 3)
    orders.look(30, 4)
    assert orders.arrived == [30]

    orders.look(45, 5)

    assert orders.arrived == []


def test_starts_of_long_before_stay_when_somebody_else_scales_up() -> None:
    orders = Orders(handed=3, ready=3)
    orders.hands(0, 4)
    orders.looks(15, 285, ready=3)
    orders.look(300, 4)
    orders.looks(315, 900, ready=4)
    orders.look(915, 9)

    assert orders.arrived == [300]


def test_more_than_is_ready_already_is_no_order() -> None:
    # KEDA's fallback, or another trigger, holds 8.
    orders = Orders(handed=3, ready=8)
    orders.hands(0, 6)
    orders.look(15, 8)
    orders.hands(15, 9)
    orders.looks(30, 285, ready=8)
    orders.look(300, 9)

    assert orders.arrived == [285]


def test_replicas_that_go_after_a_fallback_are_not_missing() -> None:
    orders = Orders(handed=3, ready=8)
    orders.look(15, 5)
    orders.look(30, 3)

    assert orders.record.awaited == ()


def test_an_arrival_during_an_outage_of_the_metrics_has_no_time() -> None:
    orders = Orders(handed=3, ready=3)
    orders.hands(0, 4)
    orders.looks(15, 60, ready=3)
    orders.look(75, None)
    orders.look(400, 4)

    assert orders.arrived == []
    assert orders.outlasted == [60]


def test_a_short_gap_in_the_looks_changes_a_long_start_little() -> None:
    orders = Orders(handed=3, ready=3)
    orders.hands(0, 4)
    orders.looks(15, 450, ready=3)
    orders.look(555, 4)

    assert orders.arrived == [555]


def test_without_answers_for_keda_there_are_no_orders() -> None:
    orders = Orders(handed=3, ready=3)
    orders.hands(0, None)
    orders.look(15, 3)
    orders.hands(15, None)
    orders.look(30, 5)

    assert orders.record.starts == ()


def test_the_first_answer_after_a_start_is_no_order() -> None:
    # What an earlier process handed over is not known: they may have been ordered long ago.
    record = LeadRecord().seen(
        Observation(at_seconds=0, readings={Signal.REPLICAS: Value(value=3, at_seconds=0)}),
        PRIOR_SECONDS,
    )
    orders = Orders(handed=3, ready=3)
    orders.record = record.ordered(5, 0.0)
    orders.look(15, 3)
    orders.look(30, 5)

    assert orders.record.starts == ()


def test_an_order_that_never_comes_is_stuck_and_lets_younger_ones_pass() -> None:
    orders = Orders(handed=3, ready=3)
    orders.hands(0, 4)
    orders.looks(15, 2400, ready=3)
    orders.hands(2400, 5)
    orders.looks(2415, 2685, ready=3)
    orders.look(2700, 4)

    assert orders.arrived == [300]
    assert [(one.at_seconds, one.replicas) for one in orders.record.awaited] == [(0, 1)]


def test_a_stuck_order_that_comes_at_last_tells_no_lead_time() -> None:
    orders = Orders(handed=3, ready=3)
    orders.hands(0, 4)
    orders.looks(15, 7200, ready=3)
    orders.look(7215, 4)

    assert orders.record.starts == ()
    assert orders.record.awaited == ()


def test_a_set_clock_moves_all_times_and_no_age() -> None:
    orders = Orders(handed=3, ready=3)
    orders.hands(0, 4)
    orders.looks(15, 150, ready=3)
    orders.record = orders.record.moved(86_400)
    orders.look(86_400 + 165, 4)

    assert orders.arrived == [165]


def estimate(record: LeadRecord, at: float = 10_000.0) -> float:
    found = lead_estimate(record, prior_seconds=PRIOR_SECONDS, now_seconds=at)
    assert found is not None
    return found.seconds


def starts(*seconds: float, arrived: bool = True, at: float = 10_000.0) -> LeadRecord:
    return LeadRecord(
        starts=tuple(Start(at_seconds=at, seconds=one, arrived=arrived) for one in seconds)
    )


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        # With the prior of 300 as one of n: the first value that .8 of all do not exceed.
        pytest.param((900,), 900, id="one-slow-start-moves-it-up"),
        pytest.param((90, 90, 90), 300, id="three-fast-ones-do-not-move-it-down"),
        pytest.param((90, 90, 90, 90), 90, id="four-do"),
        pytest.param((100, 110, 120, 130, 140, 150, 160, 170, 180), 170, id="a-spread"),
        pytest.param((320,) * 9 + (700,), 320, id="one-outlier-of-ten-does-not"),
    ],
)
def test_the_lead_time_is_a_high_quantile_with_the_prior_as_one_start(
    seconds: tuple[float, ...], expected: float
) -> None:
    assert estimate(starts(*seconds)) == expected


def test_an_order_that_runs_longer_than_all_known_moves_it_up_while_it_runs() -> None:
    running = LeadRecord(looked_at_seconds=9_700, awaited=(Awaited(at_seconds=9_400, replicas=1),))

    assert estimate(running) == 300
    assert estimate(replace(running, looked_at_seconds=10_000)) == 600


def test_an_order_says_nothing_while_the_replicas_are_not_measured() -> None:
    orders = Orders(handed=3, ready=3)
    orders.hands(0, 4)
    orders.looks(15, 120, ready=3)
    orders.look(3000, None)

    found = lead_estimate(orders.record, prior_seconds=PRIOR_SECONDS, now_seconds=3000)

    assert found is not None
    assert (found.seconds, found.stuck) == (300, None)


def test_cancelled_orders_are_lower_bounds() -> None:
    # Kaplan–Meier of 300 (the prior) and two that were there not even after 400 s.
    assert estimate(starts(400, 400, arrived=False)) == 400
    # Cancelled young, they tell nothing against the prior.
    assert estimate(starts(60, 60, arrived=False)) == 300


def test_old_starts_count_less_than_new_ones() -> None:
    old = starts(*[600] * 8, at=0.0)
    new = starts(*[200] * 8, at=9 * 86_400.0)
    both = LeadRecord(starts=(*old.starts, *new.starts))

    assert estimate(both, at=9 * 86_400.0) == 200
    # Old starts fade against newer ones, and not against a figure that nobody measured.
    assert estimate(old, at=12 * 86_400.0) == 600


@pytest.mark.parametrize("age", [0.0, 3600.0, 2 * 86_400.0, 60 * 86_400.0, 20 * 365 * 86_400.0])
def test_four_starts_that_agreed_hold_for_as_long_as_nothing_else_is_seen(age: float) -> None:
    record = starts(90, 90, 90, 90, at=10_000.0)

    assert estimate(record, at=10_000.0 + age) == 90
    assert estimate(starts(90, 90, 90, at=10_000.0), at=10_000.0 + age) == 300


def test_four_starts_agree_however_seldom_they_are() -> None:
    record = LeadRecord()
    found = []
    for at in (week * 7 * 86_400.0 for week in range(6)):
        one = Start(at_seconds=at, seconds=90, arrived=True)
        record = replace(record, starts=(*record.starts, one))
        found.append(estimate(record, at=at))

    assert found == [300, 300, 300, 90, 90, 90]


def test_one_fast_start_after_old_slow_ones_does_not_move_it_below_the_operators() -> None:
    slow, fast = starts(*[600] * 8, at=0.0), starts(90, at=60 * 86_400.0)
    both = LeadRecord(starts=(*slow.starts, *fast.starts))

    assert estimate(both, at=60 * 86_400.0) == 300


def test_orders_cancelled_since_leave_what_four_starts_showed() -> None:
    ended = starts(90, 90, 90, 90, at=0.0)
    cancelled = starts(20, 20, 20, 20, arrived=False, at=30 * 86_400.0)
    both = LeadRecord(starts=(*ended.starts, *cancelled.starts))

    assert estimate(both, at=30 * 86_400.0) == 90


def test_nothing_ordered_is_no_estimate() -> None:
    record = Orders(handed=3, ready=3).record

    assert lead_estimate(record, prior_seconds=300, now_seconds=10) is None


def test_it_stays_within_two_hours_whatever_is_seen() -> None:
    assert estimate(starts(50_000)) == 7200


def test_stuck_orders_do_not_make_the_lead_time_and_are_named() -> None:
    orders = Orders(handed=3, ready=3)
    orders.hands(0, 5)
    orders.looks(15, 2400, ready=3)

    found = lead_estimate(orders.record, prior_seconds=PRIOR_SECONDS, now_seconds=2400)

    assert found is not None
    assert found.seconds == 300
    assert found.stuck is not None
    assert (found.stuck.replicas, found.stuck.seconds) == (2, 2400)
    assert found.given_up == 0  # nothing came since, so another order would not come either


def test_stuck_orders_are_given_up_once_others_came() -> None:
    orders = Orders(handed=3, ready=3)
    orders.hands(0, 4)
    orders.looks(15, 2400, ready=3)
    orders.hands(2400, 5)
    orders.look(2415, 4)

    found = lead_estimate(orders.record, prior_seconds=PRIOR_SECONDS, now_seconds=2415)

    assert found is not None
    assert found.given_up == 1


def test_where_starts_come_in_tiers_the_slowest_is_planned_with() -> None:
    found = lead_estimate(
        starts(*[15.0] * 20, *[320.0] * 5), prior_seconds=PRIOR_SECONDS, now_seconds=10_000
    )

    assert found is not None
    assert [(tier.median_seconds, tier.starts) for tier in found.tiers] == [(15, 20), (320, 5)]
    assert found.seconds == 320
    assert "25 starts in 2 tiers (20 about 15s, 5 about 5m20s)" in found.evidence
