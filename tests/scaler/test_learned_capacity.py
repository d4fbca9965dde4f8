"""What was learned of a replica, in the plan: it replaces figures that are not fixed."""

from dataclasses import replace

import pytest

from scaler.decision.answers import Reference
from scaler.decision.capacity import Origin, ReplicaCapacity, Together, Work
from scaler.decision.parameters import PlanParameters, parameters_of
from scaler.decision.tracker import DemandTracker, PollResult
from scaler.errors import MetadataError
from scaler.evaluate import CycleState, WorkloadPlan, evaluate
from scaler.learning.engine import EngineLearner
from scaler.learning.estimates import CapacityEstimate
from scaler.signals import Observation, Signal, Value
from scaler.trigger import TriggerSpec
from scaler.trigger_parsing import AllowedOptions, parse
from tests.learning.engine_stage import OBJECTIVE, Engine, Stage, given
from tests.scaler.fakes import CAPACITY, PARAMETERS, NoForecast

ALLOWED = AllowedOptions(
    engines={"vllm": False}, sources=frozenset({"main"}), default_source="main"
)
AT_ONCE = replace(PARAMETERS, hold_seconds=0, utilization=1.0)
LEARNED = CapacityEstimate(
    capacity=ReplicaCapacity(
        work=Work(prompt=1 / 2000, generated=0, together=Together.SUM, origin=Origin.LEARNED),
        requests=100,
    ),
    confidence=0.75,
    evidence="90 min of ITL",
)


def plan(capacity: CapacityEstimate | None, parameters: PlanParameters = AT_ONCE) -> WorkloadPlan:
    """A look at 6,000 prompt tokens a second."""
    tracker = DemandTracker(NoForecast, step_seconds=60)
    amounts = {
        Signal.RUNNING: 1.0,
        Signal.WAITING: 0.0,
        Signal.GENERATED_TOKENS: 0.0,
        Signal.PROMPT_TOKENS: 6000.0,
    }
    readings = {signal: Value(value=value, at_seconds=0) for signal, value in amounts.items()}
    poll = PollResult(at_seconds=0, observation=Observation(at_seconds=0, readings=readings))
    tracker.take(poll)
    made, _ = evaluate(
        Reference.of("llm", "a", {}),
        poll,
        tracker,
        parameters,
        CycleState.unread(0.0),
        now_seconds=0,
        answer_seconds_max=300,
        capacity=capacity,
    )
    return made


def steps(of: WorkloadPlan) -> dict[str, str]:
    assert of.replica_plan is not None
    return {step.rule: step.text for step in of.replica_plan.steps}


def planned(of: WorkloadPlan) -> int:
    assert of.replica_plan is not None
    return of.replica_plan.planned


def trigger(**metadata: str) -> TriggerSpec:
    return parse({"model": "m", **metadata}, ALLOWED)


def test_the_plan_is_made_with_what_was_learned() -> None:
    assert planned(plan(None)) == 6
    assert planned(plan(LEARNED)) == 3


def test_the_learned_figures_their_confidence_and_evidence_are_shown() -> None:
    text = steps(plan(LEARNED))["capacity"]
    assert text == (
        "2,000 prompt or any generated tokens/s a replica, 100 requests, 75% learned: 90 min of ITL"
    )


def test_an_objective_out_of_reach_is_said_once() -> None:
    unreachable = replace(LEARNED, unreachable="no number of replicas keeps an ITL of 1 ms")
    made = plan(unreachable)

    assert made.replica_plan is not None
    said = [step.text for step in made.replica_plan.steps if step.rule == "objective"]
    assert said == ["no number of replicas keeps an ITL of 1 ms"]


def test_an_objective_that_the_most_replicas_do_not_keep_is_said() -> None:
    made = plan(None, replace(AT_ONCE, replicas_max=4))

    assert steps(made)["objective"] == (
        "maxReplicas 4 cannot keep 99.00% within TTFT 2 s and ITL 60 ms: "
        "the present alone needs 6.0"
    )


def test_an_objective_within_the_bounds_is_not_mentioned() -> None:
    assert "objective" not in steps(plan(LEARNED))


@pytest.mark.parametrize(("capacity", "learns"), [("learned", True), ("fixed", False)])
def test_fixed_figures_are_not_learned(capacity: str, learns: bool) -> None:
    parameters = parameters_of(trigger(capacity=capacity), CAPACITY)
    watched = Stage(
        learner=EngineLearner(objective=OBJECTIVE, given=given(9000, 4500)), engine=Engine()
    )
    watched.minutes(10, 2.0, 4.0)

    assert (watched.learner.estimate_for(parameters) is not None) is learns


def test_the_objective_of_a_plan_is_the_triggers() -> None:
    made = parameters_of(trigger(ttft="1s", itl="40ms", attainment="99.5%"), CAPACITY).objective
    assert (made.ttft_seconds, made.itl_seconds) == (1.0, 0.04)
    assert made.attainment == pytest.approx(0.995)


def test_capacity_is_learned_unless_a_trigger_says_otherwise() -> None:
    parameters = parameters_of(trigger(), CAPACITY)
    assert parameters.learns_capacity
    assert parameters.objective.attainment == 0.99


@pytest.mark.parametrize("value", ["100%", "0.2", "most"])
def test_an_attainment_out_of_range_is_refused(value: str) -> None:
    with pytest.raises(MetadataError, match="'attainment' has the value"):
        trigger(attainment=value)
