"""A clock set wrong and right again leaves the forecast as it would be otherwise."""

import math
from collections.abc import Iterator

import pytest

from scaler.decision.clock_steps import Change, ClockSteps, GapClosing, Relabelling
from scaler.decision.series import DemandSeries
from scaler.decision.tracker import DemandTracker, PollResult
from scaler.forecast.forecaster import Forecaster
from scaler.signals import Observation, Signal, Value

HOUR = 3600.0
DAY = 24 * HOUR
STEP = 1800.0

Set = tuple[float, float]
"""A time, and how far the wall clock is wrong from then on."""


def tracker() -> DemandTracker:
    def forecaster(series: DemandSeries) -> Forecaster:
        return Forecaster(
            signal=series, step_seconds=STEP, horizons_seconds=(STEP, 2 * STEP), start=0.0
        )

    return DemandTracker(forecaster, step_seconds=STEP)


def load(at: float) -> float:
    """Prompt tokens a second: a day's wave between 100 and 1900."""
    return 1000.0 - 900.0 * math.cos(2 * math.pi * at / DAY)


def poll(at: float, *, wrong_by: float) -> PollResult:
    label = at + wrong_by
    values = {
        Signal.RUNNING: 1.0,
        Signal.WAITING: 0.0,
        Signal.GENERATED_TOKENS: 0.0,
        Signal.PROMPT_TOKENS: load(at),
    }
    readings = {signal: Value(value=one, at_seconds=label) for signal, one in values.items()}
    return PollResult(
        at_seconds=label, observation=Observation(at_seconds=label, readings=readings)
    )


def medians(sets: list[Set], *, begin: float, end: float) -> Iterator[tuple[float, float]]:
    """When each forecast was made, and its median of an hour ahead, from `begin` to `end`."""
    series, wrong_by = tracker(), 0.0
    for step in range(int(end / STEP)):
        at = step * STEP
        for set_at, by in sets:
            if set_at == at:
                series.clock_moved(by - wrong_by)
                wrong_by = by
        series.take(poll(at, wrong_by=wrong_by))
        if at >= begin:
            forecast = series.forecasts[DemandSeries.PROMPT_TOKENS]
            yield forecast.made_at_seconds, forecast.at(horizon_seconds=2 * STEP, level=0.5)


NOON = 4 * DAY + 12 * HOUR


@pytest.mark.parametrize(
    "sets",
    [
        pytest.param([(NOON, 3 * HOUR), (NOON + 2 * HOUR, 0.0)], id="forward-and-right"),
        pytest.param([(NOON, -3 * HOUR), (NOON + 2 * HOUR, 0.0)], id="back-and-right"),
        pytest.param(
            [(NOON, 3 * HOUR), (NOON + HOUR, HOUR), (NOON + 2 * HOUR, 0.0)], id="right-in-parts"
        ),
        pytest.param(
            [(NOON, 2 * HOUR), (NOON + HOUR, -2 * HOUR), (NOON + 2 * HOUR, 0.0)],
            id="over-and-right",
        ),
        pytest.param([(NOON, 3 * HOUR), (NOON, 0.0)], id="right-before-a-look"),
    ],
)
def test_a_clock_set_right_again_leaves_the_days_rhythm_where_it_was(sets: list[Set]) -> None:
    span = {"begin": NOON + 6 * HOUR, "end": NOON + 26 * HOUR}
    undisturbed = list(medians([], **span))
    after = list(medians(sets, **span))

    assert [at for at, _ in after] == [at for at, _ in undisturbed]
    # An hour off, the rising day would be off by some 230 of at most 1900 tokens a second.
    assert [median for _, median in after] == pytest.approx(
        [median for _, median in undisturbed], abs=60
    )


def changes(*sets: tuple[float, int]) -> list[list[Change]]:
    """What each of these does: by how many seconds the clock is set, in which open step."""
    steps = ClockSteps(step_seconds=60.0)
    return [list(steps.changes(seconds, open_step=at)) for seconds, at in sets]


@pytest.mark.parametrize(
    ("sets", "last"),
    [
        pytest.param([(600.0, 100)], [], id="a-gap-is-left"),
        pytest.param([(-600.0, 100)], [Relabelling(steps=-10)], id="labels-move-back"),
        pytest.param([(29.0, 100), (-29.0, 101)], [], id="less-than-half-a-step-is-none"),
        pytest.param(
            [(600.0, 100), (-600.0, 115)], [GapClosing(after_step=100, steps=10)], id="gap-closed"
        ),
        pytest.param(
            [(600.0, 100), (-240.0, 115), (-360.0, 112)],
            [GapClosing(after_step=100, steps=6)],
            id="the-rest-of-a-gap",
        ),
        pytest.param(
            [(600.0, 100), (-900.0, 115)],
            [GapClosing(after_step=100, steps=10), Relabelling(steps=-5)],
            id="back-beyond-the-gap",
        ),
        pytest.param(
            [(-600.0, 100), (900.0, 95)], [Relabelling(steps=10)], id="forward-beyond-the-old-time"
        ),
        pytest.param(
            [(600.0, 100), (-600.0, 100 + 1441)],
            [Relabelling(steps=-10)],
            id="a-day-later-it-is-another-step",
        ),
    ],
)
def test_a_step_first_undoes_the_newest_in_the_other_direction(
    sets: list[tuple[float, int]], last: list[Change]
) -> None:
    assert changes(*sets)[-1] == last


def test_a_gap_keeps_its_place_in_the_series_when_labels_move() -> None:
    steps = ClockSteps(step_seconds=60.0, remembered=[(100, 10), (130, 20)])

    undone = list(steps.changes(-1500.0, open_step=160))
    assert undone == [GapClosing(after_step=130, steps=20), GapClosing(after_step=100, steps=5)]

    back = list(steps.changes(-900.0, open_step=135))
    assert back == [GapClosing(after_step=100, steps=5), Relabelling(steps=-10)]
    assert list(steps.changes(600.0, open_step=120)) == [Relabelling(steps=10)]
    assert steps.remembered == []


def test_a_machine_that_is_suspended_every_hour_leaves_no_list_without_end() -> None:
    clock = ClockSteps(step_seconds=60.0)
    for hour in range(1000):
        assert list(clock.changes(600.0, open_step=60 * hour)) == []

    assert len(clock.remembered) <= 25
