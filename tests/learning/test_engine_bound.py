"""Figures that were given bound what is learned, and only far away from it."""

from dataclasses import replace

import pytest

from scaler.decision.capacity import Origin, ReplicaCapacity, Together, Work
from scaler.learning.engine import EngineLearner
from scaler.learning.engine_bound import bounded
from scaler.learning.estimates import CapacityEstimate
from scaler.learning.in_force import in_force
from tests.learning.engine_stage import OBJECTIVE, Engine, Stage, given, requests_per_second
from tests.scaler.fakes import PARAMETERS


def learned(prompt: float, generated: float) -> CapacityEstimate:
    """Tokens a second of one kind alone."""
    work = Work(
        prompt=1 / prompt, generated=1 / generated, together=Together.SUM, origin=Origin.LEARNED
    )
    return CapacityEstimate(
        capacity=ReplicaCapacity(work=work, requests=64), confidence=0.9, evidence="an hour"
    )


def together(prompt: float, generated: float) -> ReplicaCapacity:
    work = Work(
        prompt=1 / prompt, generated=1 / generated, together=Together.LARGER, origin=Origin.METADATA
    )
    return ReplicaCapacity(work=work, requests=64)


def test_more_than_four_times_the_figures_is_planned_with_four_times_and_said() -> None:
    # 100 prompt and 50 generated tokens take .15 s as given, and .015 s as learned: ten times.
    made = bounded(learned(10_000, 10_000), given(1000, 1000), (100.0, 50.0))
    assert made.capacity.work.prompt == pytest.approx(1 / 4000)
    assert made.capacity.work.generated == pytest.approx(1 / 4000)
    assert made.bound == (
        "the metrics show 10 times what replicaPromptTokensPerSecond and "
        "replicaGeneratedTokensPerSecond give a replica: planned with 4 times; if they are right, "
        "correct the keys or leave them out"
    )


def test_less_than_a_quarter_stands_and_is_said() -> None:
    found = learned(100, 100)
    made = bounded(found, given(1000, 1000), (100.0, 50.0))
    assert made.capacity == found.capacity
    assert made.bound is not None
    assert "0.1 times" in made.bound


@pytest.mark.parametrize("wrong", [0.26, 0.5, 1.0, 2.0, 3.9])
def test_figures_that_are_up_to_four_times_wrong_bound_nothing(wrong: float) -> None:
    found = learned(1000 * wrong, 1000 * wrong)
    assert bounded(found, given(1000, 1000), (100.0, 50.0)) == found


def test_a_mix_that_moved_away_from_the_measured_one_is_no_contradiction() -> None:
    # Measured at 3,000 prompt and 100 generated tokens a second; learned alike at that mix.
    found = learned(6000, 200)
    assert bounded(found, together(3000, 100), (0.1, 100.0)) == found
    assert bounded(learned(60_000, 2000), together(3000, 100), (0.1, 100.0)).bound is not None


@pytest.mark.parametrize(
    "figures",
    [
        pytest.param(given(1000, 1000, origin=Origin.PRIOR), id="preset"),
        pytest.param(
            replace(given(1, 1), work=replace(given(1000, 1000).work, generated=0.0)), id="one-rate"
        ),
    ],
)
def test_a_guess_or_one_rate_alone_bounds_nothing(figures: ReplicaCapacity) -> None:
    found = learned(50_000, 50_000)
    assert bounded(found, figures, (100.0, 50.0)) == found


def test_an_hour_of_load_that_shows_six_times_the_figures_is_bounded_in_the_plan() -> None:
    figures = given(9000 / 6, 4500 / 6)
    learner = EngineLearner(objective=OBJECTIVE, given=figures)
    Stage(learner=learner, engine=Engine()).minutes(60, 2.0, 3.5, 4.5, 3.0)

    estimate = learner.estimate(figures, OBJECTIVE)
    assert estimate is not None
    # 6.4 requests a second, a sixth of them given.
    assert requests_per_second(estimate.capacity) == pytest.approx(4 * 6.43 / 6, rel=0.01)
    _, steps = in_force(PARAMETERS, capacity=estimate)
    assert [step.rule for step in steps] == ["capacity", "bound"]
