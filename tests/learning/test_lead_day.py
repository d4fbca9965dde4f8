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
    """Replicas that were ever ordered."""
    now: float = 0.0

    def __post_init__(self) -> None:
        self.tracker = DemandTracker(NoForecast, step_seconds=60)
        self.cycle_state = CycleState.unread(0.0)

    def blind(self) -> WorkloadPlan:
        """A look at a source that is down."""
        poll = PollResult(at_seconds=BEGIN + self.now, observation=None)
        return self._taken(poll)

    def look(self, load: float, *, waiting: float = 0.0) -> WorkloadPlan:
        """One look at a demand that keeps `load` replicas busy, and what KEDA makes of it."""
        arrived = [at for at in self.under_way if at <= self.now]
        self.under_way = deque(at for at in self.under_way if at > self.now)
        self.ready += len(arrived)
        at = BEGIN + self.now
        values = {
            Signal.PROMPT_TOKENS: 1000.0 * load,
            Signal.GENERATED_TOKENS: 0.0,
            Signal.RUNNING: 1.0,
            Signal.WAITING: waiting,
            Signal.REQUESTS: load,
            Signal.REPLICAS: float(self.ready),
        }
        readings = {signal: Value(value=one, at_seconds=at) for signal, one in values.items()}
        poll = PollResult(at_seconds=at, observation=Observation(at_seconds=at, readings=readings))
        plan = self._taken(poll)
        outcome = plan.timed.outcome
        assert isinstance(outcome, Answer)
        self.scale_to(outcome.replicas)
        self.now += LOOK_SECONDS
        return plan

    def _taken(self, poll: PollResult) -> WorkloadPlan:
        self.tracker.take(poll)
        plan, self.cycle_state = evaluate(
            Reference.of("llm", "a", {}),
            poll,
            self.tracker,
            self.parameters,
            self.cycle_state,
            now_seconds=self.now,
            answer_seconds_max=300.0,
        )
        return plan

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
    assert "starts took no longer" in rules(plan)["lead time"]


def test_a_trigger_that_fixes_the_lead_time_keeps_it_and_shows_what_orders_show() -> None:
    plan = two_hours(Site(replace(told(75), lead_fixed=True), lambda _: 300.0))

    assert plan.parameters.lead_seconds == plan.parameters.hold_seconds == 75
    assert plan.lead is not None
    assert plan.lead.seconds == pytest.approx(315, rel=0.05)
    assert "lead time" not in rules(plan)


def test_a_hold_that_the_trigger_gives_stays() -> None:
    parameters = replace(told(1200), hold_seconds=600, hold_follows_lead=False)

    plan = two_hours(Site(parameters, lambda _: 300.0))

    assert plan.parameters.lead_seconds < 400
    assert plan.parameters.hold_seconds == 600


def test_sleeping_engines_that_wake_within_seconds_make_a_short_lead_and_a_hold_of_a_minute() -> (
    None
):
    plan = two_hours(Site(told(300), lambda _: 4.0))

    assert plan.parameters.lead_seconds <= 2 * LOOK_SECONDS
    assert plan.parameters.hold_seconds == 60


def test_hot_and_cold_starts_show_as_tiers_and_the_cold_ones_are_planned_with() -> None:
    # Four of each ten replicas wake from sleep. Where a hot one overtakes a cold one, first in,
    # first out takes a little from the one and gives it to the other.
    plan = two_hours(Site(told(300), lambda number: 4.0 if number % 10 in {1, 2, 3, 4} else 600.0))

    assert plan.lead is not None
    fast, slow = plan.lead.tiers
    assert fast.median_seconds <= 2 * LOOK_SECONDS
    assert plan.parameters.lead_seconds >= 600 > slow.median_seconds > 400


def test_evictions_each_ten_minutes_move_the_lead_time_neither_way() -> None:
    site = Site(told(300), lambda _: 300.0)
    plan = site.look(4)
    while site.now < 7200:
        if site.now % 600 == 0:
            site.ready -= 1  # the ReplicaSet makes another one at once, on a warm node
            site.under_way.appendleft(site.now + 45)
        phase = (site.now / 60 % 40) / 40
        plan = site.look(4 + 8 * (phase * 2 if phase < 0.5 else 2 - phase * 2))

    assert plan.parameters.lead_seconds == pytest.approx(315, rel=0.15)


def test_while_the_source_is_down_the_learned_lead_time_stands() -> None:
    site = Site(told(75), lambda _: 300.0)
    before = two_hours(site)

    after = site.blind()

    assert after.parameters == before.parameters
    assert after.lead == before.lead


def test_after_a_fallback_held_replicas_the_lead_time_is_what_it_was() -> None:
    site = Site(told(300), lambda _: 300.0)
    before = two_hours(site).parameters.lead_seconds
    site.ready, site.under_way = 30, deque()

    plan = site.look(8)

    assert plan.parameters.lead_seconds == pytest.approx(before, rel=0.1)


@dataclass
class Quota:
    """The n-th ordered replica never comes if it is one of `never`."""

    never: frozenset[int]

    def __call__(self, number: int) -> float:
        return 1e9 if number in self.never else 300.0


def test_replicas_that_never_come_are_named_and_not_ordered_again_while_none_comes() -> None:
    site = Site(told(300), Quota(frozenset(range(1, 100))))
    asked = []
    for _ in range(0, 3 * 3600, LOOK_SECONDS):
        plan = site.look(6, waiting=600)
        asked.append(site.asked)

    assert "never became ready" in rules(plan)["stuck"]
    assert "none is ordered in their place" in rules(plan)["stuck"]
    at_first = asked[10 * 60 // LOOK_SECONDS]
    assert asked[-1] == at_first


def test_where_others_come_a_stuck_replica_is_replaced_once() -> None:
    # The second of three crashes for ever; 6 replicas serve what 7 were ordered for.
    site = Site(told(345), Quota(frozenset({2})))
    site.look(4)
    while site.now < 3600:
        plan = site.look(5.2)
    assert "1 wanted for up to" in rules(plan)["stuck"]
    assert "others came since, so these are not counted on" in rules(plan)["stuck"]
    assert (site.ready, site.asked) == (6, 3)

    waiting = 0.0
    while site.now < 4 * 3600:
        waiting = min(450.0, waiting + 2)
        site.look(5.2, waiting=waiting)

    assert (site.ready, site.asked) == (7, 4)


def rules(plan: WorkloadPlan) -> dict[str, str]:
    assert plan.replica_plan is not None
    return {step.rule: step.text for step in plan.replica_plan.steps}
