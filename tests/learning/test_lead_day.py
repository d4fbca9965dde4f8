"""The lead time learned while a workload is planned, in simulated time, look by look."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from scaler.decision.answers import Answer, Reference
from scaler.decision.parameters import PlanParameters
from scaler.decision.tracker import DemandTracker, PollResult
from scaler.evaluate import CycleState, WorkloadPlan, evaluate
from scaler.signals import Observation, Signal, Value
from tests.scaler.fakes import PARAMETERS, NoForecast

LOOK_SECONDS = 15
HPA_SECONDS = 15
"""From an answer to the pods that it asks for."""
BEGIN = 1_800_000_000.0


@dataclass
class Site:
    """A workload whose replicas start after `start_seconds`, planned at each look."""

    parameters: PlanParameters
    start_seconds: Callable[[int], float]
    """How long the n-th ordered replica takes."""
    ready: int = 4
    under_way: deque[float] = field(default_factory=deque)
    """When each will be ready, in the order of their orders."""
    asked: int = 0
    now: float = 0.0
    plan: WorkloadPlan | None = None

    def __post_init__(self) -> None:
        self.tracker = DemandTracker(NoForecast, step_seconds=60)
        self.cycle_state = CycleState.unread(0.0)

    def look(self, load: float) -> WorkloadPlan:
        """One look at a demand that keeps `load` replicas busy, and what KEDA makes of it."""
        arrived = [at for at in self.under_way if at <= self.now]
        self.under_way = deque(at for at in self.under_way if at > self.now)
        self.ready += len(arrived)
        at = BEGIN + self.now
        values = {
            Signal.PROMPT_TOKENS: 1000.0 * load,
            Signal.GENERATED_TOKENS: 0.0,
            Signal.RUNNING: 1.0,
            Signal.WAITING: 0.0,
            Signal.REPLICAS: float(self.ready),
        }
        readings = {signal: Value(value=one, at_seconds=at) for signal, one in values.items()}
        poll = PollResult(at_seconds=at, observation=Observation(at_seconds=at, readings=readings))
        self.tracker.take(poll)
        self.plan, self.cycle_state = evaluate(
            Reference.of("llm", "a", {}),
            poll,
            self.tracker,
            self.parameters,
            self.cycle_state,
            now_seconds=self.now,
            answer_seconds_max=300.0,
        )
        outcome = self.plan.timed.outcome
        assert isinstance(outcome, Answer)
        self.scale_to(outcome.replicas)
        self.now += LOOK_SECONDS
        return self.plan

    def scale_to(self, replicas: int) -> None:
        """As KEDA and the HPA do; of fewer replicas, those that do not serve yet go first."""
        while self.ready + len(self.under_way) < replicas:
            self.asked += 1
            ready_at = self.now + HPA_SECONDS + self.start_seconds(self.asked)
            self.under_way.append(ready_at)
        while self.ready + len(self.under_way) > replicas and self.under_way:
            self.under_way.pop()
        self.ready = min(self.ready, replicas)


def two_hours(site: Site) -> WorkloadPlan:
    """A demand of 4 to 12 replicas that rises and falls each 40 minutes, at its start flat."""
    plan = site.look(4)
    while site.now < 7200:
        minute = site.now / 60
        phase = (minute % 40) / 40
        plan = site.look(4 + 8 * (phase * 2 if phase < 0.5 else 2 - phase * 2))
    return plan


def told(seconds: float) -> PlanParameters:
    return replace(PARAMETERS, lead_seconds=seconds, hold_seconds=seconds, hold_follows_lead=True)


@pytest.mark.parametrize("told_seconds", [75, 300, 1200])
def test_a_start_up_of_300_s_is_known_after_two_hours_whatever_was_told(
    told_seconds: float,
) -> None:
    plan = two_hours(Site(told(told_seconds), lambda _: 300.0))

    assert plan.parameters.lead_seconds == pytest.approx(300 + HPA_SECONDS, rel=0.15)
    assert plan.lead is not None
    assert plan.parameters.hold_seconds == plan.parameters.lead_seconds
    rules = {step.rule: step.text for step in plan.replica_plan.steps}
    assert "starts took no longer" in rules["lead time"]
