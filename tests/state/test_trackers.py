"""A tracker that resumes from a state forecasts as the one that was never stopped."""

import dataclasses
import random

import pytest

from scaler.decision.series import DemandSeries
from scaler.decision.tracker import DemandTracker, PollResult
from scaler.forecast.forecaster import Forecaster
from scaler.signals import Observation, Signal, Value
from scaler.state.feed_bytes import decode_feed, encode_feed
from scaler.state.records import FeedState
from tests.state.records import NOW

STEP = 60.0
LOOK = 15.0


def tracker(*beside: DemandSeries, step: float = STEP) -> DemandTracker:
    def make(series: DemandSeries) -> Forecaster:
        return Forecaster(
            signal=series, step_seconds=step, horizons_seconds=(60.0, 300.0, 1800.0), start=0.0
        )

    return DemandTracker(make, step_seconds=step, beside=beside)


def poll(number: int) -> PollResult:
    """A look at an engine whose load wanders; every ninth look brings nothing."""
    at, noise = NOW + number * LOOK, random.Random(number)  # noqa: S311 a load, no secret
    if number % 9 == 0:
        return PollResult(at_seconds=at, observation=None)
    readings = {
        signal: Value(value=noise.uniform(0.5, 1.5) * mean, at_seconds=at)
        for signal, mean in (
            (Signal.RUNNING, 30),
            (Signal.WAITING, 4),
            (Signal.PROMPT_TOKENS, 3000),
            (Signal.GENERATED_TOKENS, 900),
            (Signal.REQUESTS, 3),
        )
    }
    return PollResult(at_seconds=at, observation=Observation(at_seconds=at, readings=readings))


def through_bytes(running: DemandTracker, at: float = NOW) -> DemandTracker:
    state = FeedState(key="feed", taken_at_seconds=at, tracker=running.state())
    resumed = running.beginning()
    resumed.resume(decode_feed(encode_feed(state)).tracker)
    return resumed


@pytest.mark.parametrize("looks", [0, 1, 3, 4, 5, 250])
def test_a_track_resumed_between_any_looks_goes_on_to_the_last_digit(looks: int) -> None:
    running = tracker(DemandSeries.REQUESTS)
    for number in range(looks):
        running.take(poll(number))

    resumed = through_bytes(running)

    assert (resumed.forecasts, resumed.demand) == (running.forecasts, running.demand)
    for number in range(looks, looks + 60):
        running.take(poll(number))
        resumed.take(poll(number))
        assert resumed.demand == running.demand
    assert resumed.forecasts == running.forecasts


@pytest.mark.parametrize("seconds", [3600.0, -3600.0, 600.0])
def test_a_clock_that_is_set_right_after_a_restart_leaves_the_labels_where_they_were(
    seconds: float,
) -> None:
    """Set wrong, restarted, set right: the rhythm of the day is where it was before."""
    running, undisturbed = tracker(), tracker()
    for number in range(80):
        running.take(poll(number))
        undisturbed.take(poll(number))
    running.clock_moved(seconds)
    for number in range(80, 120):
        running.take(
            dataclasses.replace(poll(number), at_seconds=poll(number).at_seconds + seconds)
        )
        undisturbed.take(poll(number))

    resumed = through_bytes(running, at=NOW + max(seconds, 0.0) + 120 * LOOK)
    for one in (running, resumed):
        one.clock_moved(-seconds)

    for number in range(120, 180):
        for one in (running, resumed, undisturbed):
            one.take(poll(number))
    assert resumed.forecasts == running.forecasts
    assert resumed.state().open_step == undisturbed.state().open_step
    assert resumed.state().clock_steps == ()


def test_a_pause_is_a_gap_to_the_resumed_track_as_to_the_one_that_saw_nothing() -> None:
    running = tracker()
    for number in range(100):
        running.take(poll(number))
    resumed = through_bytes(running)

    for number in range(500, 540):
        running.take(poll(number))
        resumed.take(poll(number))

    assert resumed.forecasts == running.forecasts


def test_a_series_that_is_only_shown_may_be_new() -> None:
    running = tracker()
    for number in range(20):
        running.take(poll(number))
    more = tracker(DemandSeries.REQUESTS)

    more.resume(running.state())

    assert (
        more.forecasts[DemandSeries.PROMPT_TOKENS] == running.forecasts[DemandSeries.PROMPT_TOKENS]
    )
    assert DemandSeries.REQUESTS in more.forecasts


def test_a_state_of_another_step_or_without_a_planned_series_is_refused() -> None:
    state = tracker().state()

    with pytest.raises(ValueError, match="its step is 60 s, not 30 s"):
        tracker(step=30.0).resume(state)
    with pytest.raises(ValueError, match="no forecast of prompt_tokens, generated_tokens"):
        tracker().resume(dataclasses.replace(state, forecasters={}))


def test_a_snapshot_that_does_not_fit_is_refused() -> None:
    state = tracker().state()
    broken = dict.fromkeys(state.forecasters, b"\x08\x01")

    with pytest.raises(ValueError, match="another forecaster"):
        tracker().resume(dataclasses.replace(state, forecasters=broken))
