"""Late requests make a plan safer only where more replicas of ours could have helped."""

import math
from dataclasses import replace
from typing import Final

import pytest

from scaler.decision.answers import Reference
from scaler.decision.parameters import PART_OF_MODEL, PlanParameters, Tuning
from scaler.decision.tracker import DemandTracker, PollResult
from scaler.evaluate import CycleState, evaluate
from scaler.signals import LatencyCounts, Observation, Signal, Value
from tests.scaler.fakes import PARAMETERS, NoForecast

CORRECTED: Final = replace(
    PARAMETERS, late_minute_cost=15.0, tuning=Tuning(corrects=True), replicas_max=20
)


class Workload:
    """One workload at an even load, of whose requests 5 % are late."""

    def __init__(self, parameters: PlanParameters = CORRECTED, *, late_anyway: float = 0.0) -> None:
        self.parameters, self.late_anyway = parameters, late_anyway
        self.tracker = DemandTracker(NoForecast, step_seconds=60)
        self.cycle_state = CycleState.unread(0.0)
        self.at = 0.0

    def minutes(self, count: int, *, ready: float, load: float) -> float:
        """The correction after so many minutes at `load` replicas' worth of work."""
        amounts = {
            Signal.RUNNING: 1.0,
            Signal.WAITING: 0.0,
            Signal.GENERATED_TOKENS: 0.0,
            Signal.PROMPT_TOKENS: load * 1000,
            Signal.REQUESTS: load,
            Signal.REPLICAS: ready,
        }
        late = LatencyCounts(bounds_seconds=(2.0, math.inf), counts=(95, 5))
        for _ in range(count):
            self.at += 60.0
            readings = {each: Value(value=one, at_seconds=self.at) for each, one in amounts.items()}
            poll = PollResult(
                at_seconds=self.at,
                observation=Observation(
                    at_seconds=self.at, readings=readings, latencies={Signal.TTFT: late}
                ),
            )
            self.tracker.take(poll)
            _, self.cycle_state = evaluate(
                Reference.of("llm", "a", {}),
                poll,
                self.tracker,
                self.parameters,
                self.cycle_state,
                now_seconds=self.at,
                answer_seconds_max=300.0,
                late_anyway=self.late_anyway,
            )
        assert self.cycle_state.shadows is not None
        return self.cycle_state.shadows.correction


def test_late_requests_make_the_plan_safer_while_it_may_grow() -> None:
    # 20 minutes are closed, each .1 × (.05 − .01).
    assert Workload().minutes(21, ready=10, load=8) == pytest.approx(0.08)


def test_requests_that_are_late_on_an_idle_replica_too_make_no_plan_safer() -> None:
    assert Workload(late_anyway=0.05).minutes(21, ready=10, load=8) < 0
    # Of the 5 % late, 2 % are beyond the 3 % that nothing mends, and 1 % is allowed.
    assert Workload(late_anyway=0.03).minutes(21, ready=10, load=8) == pytest.approx(0.02)


def test_late_requests_of_a_full_fleet_are_not_stored_up() -> None:
    full = Workload(replace(CORRECTED, replicas_max=8))
    assert full.minutes(60, ready=8, load=9) == 0
    # While the last ones still start, the next time they can be ordered earlier.
    assert Workload(replace(CORRECTED, replicas_max=8)).minutes(21, ready=7, load=9) > 0


def test_a_variant_may_grow_though_its_part_of_the_model_is_its_maximum() -> None:
    part = replace(
        CORRECTED, replicas_min=8, replicas_max=8,
        replicas_min_name=PART_OF_MODEL, replicas_max_name=PART_OF_MODEL,
    )  # fmt: skip
    assert Workload(part).minutes(21, ready=8, load=8) > 0


def test_late_requests_while_no_order_comes_are_not_stored_up() -> None:
    stuck = Workload()
    stuck.minutes(60, ready=10, load=8)
    before = stuck.minutes(180, ready=10, load=12)
    assert before > 0
    assert stuck.minutes(60, ready=10, load=12) == pytest.approx(before)


def test_a_plan_that_is_not_corrected_stores_nothing_up() -> None:
    advised = replace(CORRECTED, tuning=Tuning(corrects=False))
    assert Workload(advised).minutes(60, ready=10, load=8) == 0
