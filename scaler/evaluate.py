"""One cycle of one workload: from a poll result to the outcome that KEDA gets.

A poll result without usable metrics yields a refusal. The last answer outlives refusals until its
age limit (`TimedOutcome.followed_by`). KEDA then gets errors, which it counts
towards the fallback that the user chose. Missing data is never replaced by a number.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from scaler.decision.answers import Answer, Reference, Refusal, RefusalCode, TimedOutcome
from scaler.decision.demand import Demand
from scaler.decision.need import Step
from scaler.decision.parameters import PART_OF_MODEL, PlanParameters
from scaler.decision.plan import PlanState, ReplicaPlan, decidable, decide
from scaler.decision.series import DemandSeries
from scaler.decision.tracker import DemandTracker, PollResult
from scaler.durations import format_duration
from scaler.errors import SourceMisconfiguredError
from scaler.forecast.record import DemandForecast
from scaler.learning.estimates import CapacityEstimate, LeadEstimate
from scaler.learning.in_force import in_force
from scaler.learning.lead import LeadRecord
from scaler.learning.lead_estimate import lead_estimate
from scaler.learning.shadows.look import look_of
from scaler.learning.shadows.record import Shadows, after_look


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleState:
    """The memory of a workload from one cycle to the next."""

    timed: TimedOutcome
    """The outcome that KEDA gets."""
    state: PlanState = field(default_factory=PlanState)
    plan: ReplicaPlan | None = None
    """The last one that was made; its answer may stand no longer."""
    read_at_seconds: float | None = None
    """When the reading behind that plan was made, on the monotonic clock."""
    lead: LeadRecord = field(default_factory=LeadRecord)
    """Its orders, and how long they took."""
    shadows: Shadows | None = None
    """Other settings and rules on the same demand; None before the first plan."""

    @classmethod
    def unread(cls, now_seconds: float) -> "CycleState":
        """The state before the first look."""
        refusal = Refusal(code=RefusalCode.UNAVAILABLE, message="not read yet")
        return cls(timed=TimedOutcome(outcome=refusal, read_at_seconds=now_seconds))

    def moved(self, seconds: float) -> "CycleState":
        """The same state with every wall-clock time moved by `seconds`, so that every age stays."""
        timed, outcome = self.timed, self.timed.outcome
        if isinstance(outcome, Answer):
            moved = replace(outcome, made_at_seconds=outcome.made_at_seconds + seconds)
            timed = replace(timed, outcome=moved)
        plan = self.plan and replace(self.plan, at_seconds=self.plan.at_seconds + seconds)
        return replace(
            self,
            timed=timed,
            plan=plan,
            state=self.state.moved(seconds),
            lead=self.lead.moved(seconds),
            shadows=self.shadows and self.shadows.moved(seconds),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadPlan:
    """The result of one cycle for one workload; `explain`, metrics, log and replay all read it."""

    reference: Reference
    parameters: PlanParameters
    """In force: with what was learned, and the setting that was chosen."""
    given: PlanParameters
    """The same with the trigger's own setting."""
    poll: PollResult
    """The result of the look: the observation, or why there is none."""
    looked_at_seconds: float
    """When the look was made, on the monotonic clock; `poll` has the wall clock's time."""
    demand: Demand | None
    """As this look measured it; None if the look had no usable metrics."""
    forecasts: Mapping[DemandSeries, DemandForecast]
    timed: TimedOutcome
    """The outcome that KEDA gets after this cycle."""
    replica_plan: ReplicaPlan | None
    """The plan with its steps; the last one where this look made none, None before the first."""
    lead: LeadEstimate | None = None
    """The lead time that the workload's orders show; None while they show nothing."""


def evaluate(  # noqa: PLR0913 - the poll result, what it is evaluated with, and the moment
    reference: Reference,
    poll: PollResult,
    tracker: DemandTracker,
    parameters: PlanParameters,
    cycle_state: CycleState,
    *,
    now_seconds: float,
    answer_seconds_max: float,
    capacity: CapacityEstimate | None = None,
    late_anyway: float = 0.0,
    limits: tuple[Step, ...] = (),
) -> tuple[WorkloadPlan, CycleState]:
    """The cycle's result, and the state for the next cycle.

    Args:
        tracker: has taken `poll` already.
        now_seconds: when the look was made, on the monotonic clock.
        answer_seconds_max: how long an answer stands, counted from the look behind it.
        capacity: of a replica, as learned; None = the parameters' own.
        late_anyway: share of requests that is late with any number of replicas, as learned.
        limits: why the parameters are narrower than the trigger's, to be shown after the plan.
    """
    observation = poll.observation
    record = _observed(cycle_state.lead, poll, parameters.lead_seconds)
    lead = lead_estimate(
        record,
        prior_seconds=parameters.lead_seconds,
        now_seconds=poll.at_seconds,
        counted=None if observation is None else observation.starts,
    )
    given, learned = in_force(parameters, capacity=capacity, lead=lead)
    parameters = given
    if observation is None or tracker.demand is None or not poll.usable():
        after = _refused(poll, cycle_state, now_seconds)
    elif not decidable(observation, cycle_state.state):
        message = f"no plan yet, and what is measured sets no floor: {poll.complaint()}"
        refusal = Refusal(code=RefusalCode.UNAVAILABLE, message=message)
        after = replace(
            cycle_state, timed=TimedOutcome(outcome=refusal, read_at_seconds=now_seconds)
        )
    else:
        shadows = cycle_state.shadows
        setting = None if shadows is None else shadows.setting(given)
        parameters, chosen = in_force(given, setting=setting)
        # A setting changes neither the capacity, nor the lead time, nor the quantile.
        outlook = tracker.outlook(
            given.capacity, lead_seconds=given.lead_seconds, level=given.level
        )
        plan, state = decide(
            observation,
            tracker.demand,
            outlook if parameters.forecasts else None,
            parameters,
            cycle_state.state,
            given_up=lead.given_up if lead is not None else 0,
        )
        beyond = _beyond_bounds(plan, parameters)
        plan = replace(plan, steps=(*learned, *chosen, *plan.steps, *beyond, *limits))
        stuck = lead.stuck if lead is not None else None
        look = look_of(
            observation,
            tracker.demand,
            plan,
            given,
            late_anyway=late_anyway,
            none_comes=stuck is not None and not stuck.others_came,
        )
        timed = TimedOutcome(outcome=answer_of(plan), read_at_seconds=now_seconds)
        after = CycleState(
            timed=timed,
            state=state,
            plan=plan,
            read_at_seconds=now_seconds,
            lead=record.ordered(state.handed, observation.at_seconds),
            shadows=shadows if look is None else after_look(shadows, look, outlook, given),
        )
    timed = replace(after.timed, valid_until_seconds=now_seconds + answer_seconds_max)
    after = replace(after, timed=cycle_state.timed.followed_by(timed, now_seconds))
    result = WorkloadPlan(
        reference=reference,
        parameters=parameters,
        given=given,
        poll=poll,
        looked_at_seconds=now_seconds,
        demand=tracker.demand if poll.usable() else None,
        forecasts=tracker.forecasts,
        timed=after.timed,
        replica_plan=after.plan,
        lead=lead,
    )
    return result, after


def _beyond_bounds(plan: ReplicaPlan, parameters: PlanParameters) -> tuple[Step, ...]:
    """A step where even `maxReplicas` does not keep the objective."""
    present = next((step for step in plan.steps if step.rule == "present"), None)
    most, objective = parameters.replicas_max, parameters.objective
    if present is None or present.replicas <= most or parameters.replicas_max_name == PART_OF_MODEL:
        return ()  # of a model, the step `variants` says what all of them cannot serve
    text = (
        f"{parameters.replicas_max_name} {most} cannot keep {objective.attainment:.2%} within TTFT "
        f"{objective.ttft_seconds:g} s and ITL {objective.itl_seconds * 1000:g} ms: the present "
        f"alone needs {present.replicas:.1f}"
    )
    return (Step(rule="objective", text=text, replicas=float(most)),)


def answer_of(plan: ReplicaPlan) -> Answer:
    """The answer for a plan; in advise mode the answer that `act` would give."""
    replicas = plan.planned if plan.desired is None else plan.desired
    return Answer(replicas=replicas, active=plan.active, made_at_seconds=plan.at_seconds)


def _observed(record: LeadRecord, poll: PollResult, prior_seconds: float) -> LeadRecord:
    seen = poll.observation
    return record if seen is None else record.seen(seen, prior_seconds)


def _refused(poll: PollResult, cycle_state: CycleState, now_seconds: float) -> CycleState:
    misconfigured = isinstance(poll.failure, SourceMisconfiguredError)
    code = RefusalCode.MISCONFIGURED if misconfigured else RefusalCode.UNAVAILABLE
    age = "nothing usable was ever read"
    if cycle_state.read_at_seconds is not None:
        age = f"nothing usable for {format_duration(now_seconds - cycle_state.read_at_seconds)}"
    refusal = Refusal(code=code, message=f"{age}: {poll.complaint()}")
    return replace(cycle_state, timed=TimedOutcome(outcome=refusal, read_at_seconds=now_seconds))
