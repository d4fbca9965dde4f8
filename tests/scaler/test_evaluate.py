"""The outcome for KEDA while readings come, fail, and come back."""

from dataclasses import replace

import pytest

from scaler.decision.answers import Answer, Reference, Refusal, RefusalCode
from scaler.decision.parameters import Tuning
from scaler.decision.series import DemandSeries
from scaler.decision.tracker import DemandTracker, PollResult
from scaler.errors import SourceError, SourceMisconfiguredError, SourceUnavailableError
from scaler.evaluate import CycleState, evaluate
from scaler.learning.shadows.choice import Choice, Verdict
from scaler.learning.shadows.settings import settings_of
from scaler.signals import Absent, Observation, Reading, Signal, Stale, Value
from tests.scaler.fakes import PARAMETERS, NoForecast

AT_ONCE = replace(PARAMETERS, hold_seconds=0, utilization=1.0)
ANSWER_SECONDS_MAX = 300.0


class Story:
    """One workload's looks in order, and what each led to."""

    def __init__(self) -> None:
        self.forecasters: dict[DemandSeries, NoForecast] = {}
        self.tracker = DemandTracker(self._make, step_seconds=60)
        self.cycle_state = CycleState.unread(0.0)
        self.parameters = AT_ONCE

    def _make(self, series: DemandSeries) -> NoForecast:
        return self.forecasters.setdefault(series, NoForecast(series))

    def sees(self, at: float, prompt: float) -> Answer | Refusal:
        values = {"running": 1.0, "waiting": 0.0, "generated_tokens": 0.0, "prompt_tokens": prompt}
        return self._look(at, {Signal(k): Value(value=v, at_seconds=at) for k, v in values.items()})

    def sees_only(self, at: float, reading: Reading) -> Answer | Refusal:
        names = ("running", "waiting", "generated_tokens", "prompt_tokens")
        return self._look(at, dict.fromkeys(map(Signal, names), reading))

    def fails(self, at: float, failure: SourceError) -> Answer | Refusal:
        return self._take(PollResult(at_seconds=at, observation=None, failure=failure))

    def _look(self, at: float, readings: dict[Signal, Reading]) -> Answer | Refusal:
        observation = Observation(at_seconds=at, readings=readings)
        return self._take(PollResult(at_seconds=at, observation=observation))

    def _take(self, poll: PollResult) -> Answer | Refusal:
        self.tracker.take(poll)
        plan, self.cycle_state = evaluate(
            Reference.of("llm", "a", {}),
            poll,
            self.tracker,
            self.parameters,
            self.cycle_state,
            now_seconds=poll.at_seconds,
            answer_seconds_max=ANSWER_SECONDS_MAX,
        )
        return plan.timed.current(poll.at_seconds)


def replicas(outcome: Answer | Refusal) -> int:
    assert isinstance(outcome, Answer)
    return outcome.replicas


DOWN = SourceUnavailableError("prometheus 'main' does not answer: connection refused")


@pytest.mark.parametrize(
    "blindness",
    [
        pytest.param(lambda story, at: story.fails(at, DOWN), id="source-down"),
        pytest.param(
            lambda story, at: story.sees_only(at, Absent(why="no such series")), id="renamed"
        ),
        pytest.param(lambda story, at: story.sees_only(at, Stale(at_seconds=0.0)), id="stale"),
    ],
)
def test_the_last_plan_stands_for_a_while_and_then_there_is_no_answer(blindness) -> None:
    story = Story()
    assert replicas(story.sees(0, prompt=7000)) == 7

    assert replicas(blindness(story, 15)) == 7
    assert replicas(blindness(story, 300)) == 7
    refusal = blindness(story, 315)

    assert isinstance(refusal, Refusal)
    assert refusal.code is RefusalCode.UNAVAILABLE
    assert "nothing usable for 5m15s" in refusal.message


def test_a_source_that_refuses_the_question_is_named_as_misconfigured() -> None:
    story = Story()
    story.sees(0, prompt=7000)

    refusal = story.fails(400, SourceMisconfiguredError("prometheus 'main' answers 401"))

    assert isinstance(refusal, Refusal)
    assert refusal.code is RefusalCode.MISCONFIGURED
    assert "prometheus 'main' answers 401" in refusal.message


def test_without_any_plan_a_failure_is_no_answer_at_once() -> None:
    refusal = Story().fails(0, DOWN)

    assert isinstance(refusal, Refusal)
    assert "nothing usable was ever read" in refusal.message


def test_a_first_look_that_sees_neither_all_signals_nor_the_replicas_is_no_answer() -> None:
    # As after a restart, with `running` renamed by a new version of the engine.
    story = Story()
    partly: dict[Signal, Reading] = {
        Signal.WAITING: Value(value=0, at_seconds=0),
        Signal.PROMPT_TOKENS: Value(value=1500, at_seconds=0),
        Signal.GENERATED_TOKENS: Value(value=0, at_seconds=0),
        Signal.RUNNING: Absent(why="no series vllm:num_requests_running"),
    }

    refusal = story._look(0, partly)

    assert isinstance(refusal, Refusal)
    assert refusal.code is RefusalCode.UNAVAILABLE
    assert "no series vllm:num_requests_running" in refusal.message
    assert replicas(story.sees(15, prompt=1500)) == 2


def test_sight_regained_ends_the_hold() -> None:
    story = Story()
    story.sees(0, prompt=7000)
    story.fails(15, DOWN)

    assert replicas(story.sees(120, prompt=2000)) == 2


def test_a_true_zero_shrinks_where_an_absent_reading_held() -> None:
    story = Story()
    story.sees(0, prompt=7000)
    assert replicas(story.sees_only(60, Absent(why="restarting"))) == 7

    assert replicas(story.sees(120, prompt=0)) == 1


def test_a_step_of_the_series_is_the_mean_of_its_looks_and_a_blind_step_is_a_gap() -> None:
    story = Story()
    for at, prompt in [(0, 1000), (15, 2000), (30, 3000)]:
        story.sees(at, prompt=prompt)
    story.fails(60, DOWN)
    story.sees(120, prompt=5000)
    story.sees(180, prompt=5000)

    assert story.forecasters[DemandSeries.PROMPT_TOKENS].steps == [
        (0, 2000.0),
        (60, None),
        (120, 5000.0),
    ]


def test_a_clock_that_goes_back_rewrites_no_history() -> None:
    story = Story()
    story.sees(600, prompt=1000)
    story.sees(660, prompt=1000)
    story.sees(0, prompt=9000)
    story.sees(720, prompt=1000)

    assert [at for at, _ in story.forecasters[DemandSeries.PROMPT_TOKENS].steps] == [600, 660]


def test_a_series_gets_its_leading_indicator() -> None:
    story = Story()
    for at in (600, 660):
        story.sees(at, 400)

    # Prompts run ahead of what is generated from them; arrivals are not measured here.
    assert story.forecasters[DemandSeries.GENERATED_TOKENS].leading == [400.0]
    assert story.forecasters[DemandSeries.PROMPT_TOKENS].leading == [None]


def test_series_beside_the_planned_ones_are_forecast_where_the_operator_asks() -> None:
    tracker = DemandTracker(NoForecast, step_seconds=60, beside=(DemandSeries.IN_FLIGHT,))
    readings = {
        signal: Value(value=3.0, at_seconds=at)
        for at in (600.0,)
        for signal in (Signal.RUNNING, Signal.WAITING, Signal.PROMPT_TOKENS)
    }
    for at in (600.0, 660.0):
        observation = Observation(at_seconds=at, readings=readings)
        tracker.take(PollResult(at_seconds=at, observation=observation))

    assert set(tracker.forecasts) == {
        DemandSeries.PROMPT_TOKENS, DemandSeries.GENERATED_TOKENS, DemandSeries.IN_FLIGHT,
    }  # fmt: skip
    assert set(tracker.beginning()._forecasters) == set(tracker.forecasts)


def test_a_chosen_setting_is_in_force_and_its_reason_is_a_step() -> None:
    story = Story()
    story.parameters = replace(PARAMETERS, tuning=Tuning(corrects=True, chooses=True))
    # 8 replicas' load at the given utilization of .8 need 10.
    assert replicas(story.sees(0, prompt=8000)) == 10
    shadows = story.cycle_state.shadows
    assert shadows is not None
    settings = settings_of(story.parameters).settings
    place = next(
        n for n, one in enumerate(settings) if not one.forecasts and one.utilization == 0.5
    )
    chosen = replace(shadows, choice=Choice(place=place, verdict=Verdict.CHEAPEST, days=3))
    story.cycle_state = replace(story.cycle_state, shadows=chosen)

    assert replicas(story.sees(15, prompt=8000)) == 16

    plan = story.cycle_state.plan
    assert plan is not None
    (step,) = [step for step in plan.steps if step.rule == "setting"]
    assert step.text.startswith("no forecast, utilization 0.5, hold 15m: the cheapest that kept")


def test_shadows_take_a_minute_of_usable_looks_and_no_others() -> None:
    story = Story()
    for at in range(0, 601, 15):
        story.sees(at, prompt=4000)
    for at in range(615, 1201, 15):
        story.fails(at, DOWN)

    shadows = story.cycle_state.shadows
    assert shadows is not None
    assert shadows.books.all().minutes == 10
