"""One cycle of one workload: from a look at its feed to the outcome that KEDA is told.

A look without anything usable has its own rule. It yields a refusal, and the last answer outlives
refusals until its age limit (`Posted.followed_by`); KEDA then gets errors, which it counts towards
the fallback that the user chose. A number that nobody measured is never made up, least of all zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from scaler.board import Answer, Posted, Reference, Refusal, RefusalCode
from scaler.demand import Demand
from scaler.durations import written
from scaler.errors import SourceMisconfiguredError
from scaler.forecast.record import DemandForecast
from scaler.parameters import PlanParameters
from scaler.plan import PlanState, ReplicaPlan, decidable, decide
from scaler.track import Series, Sight, Track


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the next cycle of a workload starts from."""

    posted: Posted
    """What KEDA is told."""
    state: PlanState = field(default_factory=PlanState)
    plan: ReplicaPlan | None = None
    """The last one that was made; its answer may stand no longer."""
    read_at_seconds: float | None = None
    """When the reading behind that plan was made, on the monotonic clock."""

    def moved(self, seconds: float) -> "Standing":
        """The same after the wall clock was set: every label moves, so every age stays."""
        posted, outcome = self.posted, self.posted.outcome
        if isinstance(outcome, Answer):
            moved = replace(outcome, made_at_seconds=outcome.made_at_seconds + seconds)
            posted = replace(posted, outcome=moved)
        plan = self.plan and replace(self.plan, at_seconds=self.plan.at_seconds + seconds)
        return replace(self, posted=posted, plan=plan, state=_moved(self.state, seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadPlan:
    """What one cycle made of one workload; everybody who shows or hands over a plan reads this."""

    reference: Reference
    parameters: PlanParameters
    sight: Sight
    """What the look brought: the observation, or why there is none."""
    looked_at_seconds: float
    """When that was, on the monotonic clock; the sight has the wall clock's label."""
    demand: Demand | None
    """As this look measured it; None where the look was of no use."""
    forecasts: Mapping[Series, DemandForecast]
    standing: Standing
    """The outcome, the plan with its steps, and what the next cycle starts from."""


def judge(  # noqa: PLR0913 - a look, what it is judged by, and the moment
    reference: Reference,
    sight: Sight,
    track: Track,
    parameters: PlanParameters,
    standing: Standing,
    *,
    now_seconds: float,
    answer_seconds_max: float,
) -> WorkloadPlan:
    """The cycle's result.

    Args:
        track: has taken `sight` already.
        now_seconds: when the look was made, on the monotonic clock.
        answer_seconds_max: how long an answer stands, counted from the look behind it.
    """
    observation = sight.observation
    if observation is None or track.demand is None or not sight.usable():
        after = _refused(sight, standing, now_seconds)
    elif not decidable(observation, standing.state):
        message = f"no plan yet, and what is measured sets no floor: {sight.complaint()}"
        refusal = Refusal(code=RefusalCode.UNAVAILABLE, message=message)
        after = replace(standing, posted=Posted(outcome=refusal, read_at_seconds=now_seconds))
    else:
        outlook = track.outlook(
            parameters.capacity, lead_seconds=parameters.lead_seconds, level=parameters.level
        )
        plan, state = decide(observation, track.demand, outlook, parameters, standing.state)
        posted = Posted(outcome=answer_of(plan), read_at_seconds=now_seconds)
        after = Standing(posted=posted, state=state, plan=plan, read_at_seconds=now_seconds)
    posted = replace(after.posted, valid_until_seconds=now_seconds + answer_seconds_max)
    return WorkloadPlan(
        reference=reference,
        parameters=parameters,
        sight=sight,
        looked_at_seconds=now_seconds,
        demand=track.demand if sight.usable() else None,
        forecasts=track.forecasts,
        standing=replace(after, posted=standing.posted.followed_by(posted, now_seconds)),
    )


def answer_of(plan: ReplicaPlan) -> Answer:
    """The answer that hands a plan over; in advise mode what it would be."""
    replicas = plan.planned if plan.desired is None else plan.desired
    return Answer(replicas=replicas, active=plan.active, made_at_seconds=plan.at_seconds)


def _refused(sight: Sight, standing: Standing, now_seconds: float) -> Standing:
    misconfigured = isinstance(sight.failure, SourceMisconfiguredError)
    code = RefusalCode.MISCONFIGURED if misconfigured else RefusalCode.UNAVAILABLE
    age = "nothing usable was ever read"
    if standing.read_at_seconds is not None:
        age = f"blind for {written(now_seconds - standing.read_at_seconds)}"
    refusal = Refusal(code=code, message=f"{age}: {sight.complaint()}")
    return replace(standing, posted=Posted(outcome=refusal, read_at_seconds=now_seconds))


def _moved(state: PlanState, seconds: float) -> PlanState:
    return replace(
        state,
        needs=tuple((at + seconds, replicas) for at, replicas in state.needs),
        orders=tuple(
            replace(order, at_seconds=order.at_seconds + seconds) for order in state.orders
        ),
    )
