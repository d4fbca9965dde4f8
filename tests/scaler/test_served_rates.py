"""Rates that no replicas can have served are no demand; a crowd is."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from scaler.decision.answers import Reference
from scaler.decision.capacity import Origin, ReplicaCapacity, Together, Work
from scaler.decision.objective import Objective
from scaler.decision.series import DemandSeries
from scaler.decision.served_rates import ServedRates
from scaler.decision.tracker import DemandTracker, PollResult
from scaler.evaluate import CycleState
from scaler.feed_key import FeedKey
from scaler.learning.engine import EngineLearner
from scaler.serving.feeds import LiveFeed, Workload
from scaler.serving.history import PastReading
from scaler.serving.object_triggers import ObjectTriggers
from scaler.signals import Absent, Observation, Signal, Value
from tests.learning.engine_stage import OBJECTIVE
from tests.scaler.fakes import PARAMETERS, NoForecast, feed_key

GIVEN = ReplicaCapacity(
    work=Work(
        prompt=1 / 8000, generated=1 / 1600, together=Together.LARGER, origin=Origin.METADATA
    ),
    requests=64,
)
"""Four of these are believed to serve 50 × 4 × 8,000 = 1,600,000 prompt tokens a second."""
BEGIN = 1_800_000_000.0
QUIET: Mapping[Signal, float] = {
    Signal.PROMPT_TOKENS: 16_000.0,
    Signal.GENERATED_TOKENS: 2_000.0,
    Signal.RUNNING: 20.0,
    Signal.WAITING: 0.0,
    Signal.REPLICAS: 4.0,
}


def poll(at: float, **changed: float) -> PollResult:
    """A quiet look, with these signals changed."""
    amounts = {**QUIET, **{Signal(name): amount for name, amount in changed.items()}}
    readings = {
        signal: Value(value=amount, at_seconds=BEGIN + at) for signal, amount in amounts.items()
    }
    observation = Observation(at_seconds=BEGIN + at, readings=readings)
    return PollResult(at_seconds=BEGIN + at, observation=observation)


def why(taken: PollResult, signal: Signal = Signal.PROMPT_TOKENS) -> str | None:
    assert taken.observation is not None
    return taken.observation.why_not(signal, now_seconds=taken.at_seconds)


def test_a_rate_beyond_what_the_replicas_serve_is_absent_and_named() -> None:
    taken = ServedRates().take(poll(0, prompt_tokens=9_016_000.0), [GIVEN])

    assert why(taken) == (
        "9,016,000 a second, and 4 ready replicas serve at most 1,600,000 by their figures: "
        "a counter jumped, or replicaPromptTokensPerSecond is far too low"
    )
    assert why(taken, Signal.GENERATED_TOKENS) is None
    assert why(taken, Signal.RUNNING) is None


def test_the_fall_after_a_jump_is_no_restart_that_counts_all_tokens_again() -> None:
    rates = ServedRates()
    rates.take(poll(0, prompt_tokens=9_016_000.0), [GIVEN])

    # 29,000,000 tokens of a minute.
    assert "not believed yet" in (why(rates.take(poll(60, prompt_tokens=484_000.0), [GIVEN])) or "")
    assert "not believed yet" in (why(rates.take(poll(105), [GIVEN])) or "")
    assert why(rates.take(poll(120), [GIVEN])) is None


@pytest.mark.parametrize("times", [1, 3, 10])
def test_a_crowd_is_believed_whatever_waits(times: float) -> None:
    """Ten times the figures of four replicas are served, and a hundred thousand requests wait."""
    rates = ServedRates()
    for at in range(0, 600, 15):
        crowd = poll(at, prompt_tokens=times * 32_000.0, waiting=100_000.0)
        assert rates.take(crowd, [GIVEN]) is crowd


def test_replicas_that_went_a_moment_ago_served_what_the_window_counts() -> None:
    rates = ServedRates()
    rates.take(poll(0, replicas=400.0, prompt_tokens=3_200_000.0), [GIVEN])
    after = poll(15, replicas=1.0, prompt_tokens=3_200_000.0)
    assert rates.take(after, [GIVEN]) is after


def test_a_presets_figure_may_be_of_another_engine() -> None:
    prior = replace(GIVEN, work=replace(GIVEN.work, origin=Origin.PRIOR))
    fast = poll(0, prompt_tokens=4 * 99 * 8000.0)

    assert ServedRates().take(fast, [prior]) is fast
    assert why(ServedRates().take(fast, [GIVEN])) is not None


def test_one_workload_that_explains_the_rate_is_enough() -> None:
    large = replace(GIVEN, work=replace(GIVEN.work, prompt=1 / 80_000))
    fast = poll(0, prompt_tokens=9_016_000.0)
    assert ServedRates().take(fast, [GIVEN, large]) is fast


@pytest.mark.parametrize(
    "unknown",
    [
        pytest.param(replace(GIVEN, work=replace(GIVEN.work, prompt=0.0)), id="no-figure"),
        pytest.param(None, id="no-replicas-measured"),
    ],
)
def test_without_a_figure_or_replicas_nothing_is_doubted(unknown: ReplicaCapacity | None) -> None:
    fast = poll(0, prompt_tokens=9_016_000.0)
    if unknown is None:
        assert fast.observation is not None
        readings = {**fast.observation.readings, Signal.REPLICAS: Absent(why="not exported")}
        fast = replace(fast, observation=replace(fast.observation, readings=readings))
    assert ServedRates().take(fast, [unknown or GIVEN]) is fast


def test_a_failed_look_stays_one() -> None:
    failed = PollResult(at_seconds=BEGIN, observation=None)
    assert ServedRates().take(failed, [GIVEN]) is failed


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_set_clock_neither_ends_nor_lengthens_the_doubt(hours: int) -> None:
    rates = ServedRates()
    rates.take(poll(0, prompt_tokens=9_016_000.0), [GIVEN])
    rates.clock_moved(hours * 3600)

    assert why(rates.take(poll(hours * 3600 + 60), [GIVEN])) is not None
    assert why(rates.take(poll(hours * 3600 + 120), [GIVEN])) is None


class Past:
    """A source whose past has one jump."""

    async def observe(self, *, now_seconds: float) -> Observation:
        raise NotImplementedError

    async def history(
        self, *, start_seconds: float, end_seconds: float, step_seconds: float
    ) -> AsyncIterator[Observation]:
        for step in range(10):
            amount = 9_016_000.0 if step == 5 else 16_000.0
            seen = poll(60 * step, prompt_tokens=amount).observation
            assert seen is not None
            yield seen


def learner() -> EngineLearner:
    return EngineLearner(objective=OBJECTIVE, given=GIVEN)


def test_a_live_feed_keeps_a_jump_out_of_demand_and_learning() -> None:
    key: FeedKey = feed_key("m")
    tracker = DemandTracker(NoForecast, step_seconds=60)
    live = LiveFeed(key=key, source="main", feed=Past(), tracker=tracker, engine=learner())

    live.take(poll(0, prompt_tokens=9_016_000.0), 0.0)

    assert tracker.demand is not None
    assert tracker.demand.prompt_tokens is None
    assert tracker.demand.generated_tokens == 2000
    assert live.looked is not None
    assert "a counter jumped" in (why(live.looked[0]) or "")


async def test_a_jump_in_the_past_is_a_gap_in_the_forecasts_series() -> None:
    made: list[NoForecast] = []

    def forecaster(series: DemandSeries) -> NoForecast:
        made.append(NoForecast(series))
        return made[-1]

    past = PastReading(
        feed=Past(),
        tracker=DemandTracker(forecaster, step_seconds=60),
        engine=learner(),
        capacities=[GIVEN],
        step_seconds=60.0,
        next_seconds=BEGIN,
    )
    assert await past.read(BEGIN + 600, seconds_max=60)

    prompt = [value for _, value in made[0].steps]
    assert prompt == [16_000] * 5 + [None] * 2 + [16_000] * 2


@pytest.mark.parametrize(
    ("objective", "figure"),
    [(OBJECTIVE, 80_000.0), (replace(OBJECTIVE, ttft_seconds=9.0), 8000.0)],
    ids=["figures", "objective"],
)
def test_an_edited_trigger_is_what_the_engine_is_learned_for(
    objective: Objective, figure: float
) -> None:
    live = quiet_feed()
    capacity = replace(GIVEN, work=replace(GIVEN.work, prompt=1 / figure))
    join(live, "2s", asked_at_seconds=0.0, objective=objective, capacity=capacity)

    live.follow_triggers()

    assert (live.engine.objective, live.engine.given) == (objective, capacity)


def test_of_two_triggers_that_a_restart_finds_the_engine_is_learned_for_the_one_that_counts() -> (
    None
):
    live, triggers = quiet_feed(), ObjectTriggers(lambda _: None)
    asked = {3.0: 3000.0, 1.0: 60.0}  # the superseded one arrives last
    for ttft, at in asked.items():
        objective = replace(OBJECTIVE, ttft_seconds=ttft)
        workload = join(live, f"{ttft}", asked_at_seconds=at, objective=objective, capacity=GIVEN)
        triggers.add(workload)
        triggers.count(workload)

    live.follow_triggers()

    assert live.engine.objective.ttft_seconds == 3.0


def quiet_feed() -> LiveFeed:
    return LiveFeed(
        key=feed_key("m"),
        source="main",
        feed=Past(),
        tracker=DemandTracker(NoForecast, step_seconds=60),
        engine=learner(),
    )


def join(
    live: LiveFeed,
    ttft: str,
    *,
    asked_at_seconds: float,
    objective: Objective,
    capacity: ReplicaCapacity,
) -> Workload:
    """A trigger of the object `a` that reads the feed."""
    reference = Reference.of("llm", "a", {"ttft": ttft})
    workload = Workload(
        reference=reference,
        trigger_spec=None,
        asked_at_seconds=asked_at_seconds,
        cycle_state=CycleState.unread(0.0),
        parameters=replace(PARAMETERS, objective=objective, capacity=capacity),
    )
    live.workloads[reference] = workload
    return workload
