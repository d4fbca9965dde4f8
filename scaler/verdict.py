"""From a plan, or the lack of one, to what KEDA is told.

Blindness has its own rule. While nothing usable is read, the last plan stands for a limited time;
after it there is no answer, which KEDA counts towards the fallback that the user chose. A number
that nobody measured is never made up, least of all zero.
"""

from dataclasses import dataclass, field

from scaler.board import Answer, Outcome, Refusal, RefusalCode
from scaler.durations import written
from scaler.errors import SourceMisconfiguredError
from scaler.parameters import PlanParameters
from scaler.plan import PlanState, ReplicaPlan, decidable, decide
from scaler.track import Sight, Track


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A workload's last plan, and what the next one starts from."""

    state: PlanState = field(default_factory=PlanState)
    plan: ReplicaPlan | None = None
    blind_since_seconds: float | None = None
    """When looks stopped being usable; None while they are."""


def judge(
    sight: Sight,
    track: Track,
    parameters: PlanParameters,
    standing: Standing,
    *,
    blind_seconds_max: float,
) -> tuple[Outcome, Standing]:
    """The outcome of a look, and the standing after it.

    Args:
        track: has taken `sight` already.
        blind_seconds_max: how long the last plan stands without a usable look.
    """
    observation = sight.observation
    if observation is None or track.demand is None or not sight.usable():
        return _blind(sight, standing, blind_seconds_max)
    if not decidable(observation, standing.state):
        message = f"no plan yet, and what is measured sets no floor: {sight.complaint()}"
        return Refusal(code=RefusalCode.UNAVAILABLE, message=message), standing
    outlook = track.outlook(
        parameters.capacity, lead_seconds=parameters.lead_seconds, level=parameters.level
    )
    plan, state = decide(observation, track.demand, outlook, parameters, standing.state)
    return _answer(plan), Standing(state=state, plan=plan)


def _blind(sight: Sight, standing: Standing, blind_seconds_max: float) -> tuple[Outcome, Standing]:
    since = standing.blind_since_seconds
    if since is None:
        since = sight.at_seconds if standing.plan is None else standing.plan.at_seconds
    after = Standing(state=standing.state, plan=standing.plan, blind_since_seconds=since)
    plan, blind_seconds = standing.plan, sight.at_seconds - since
    if plan is not None and blind_seconds <= blind_seconds_max:
        return _answer(plan), after
    misconfigured = isinstance(sight.failure, SourceMisconfiguredError)
    code = RefusalCode.MISCONFIGURED if misconfigured else RefusalCode.UNAVAILABLE
    age = "nothing usable was ever read" if plan is None else f"blind for {written(blind_seconds)}"
    return Refusal(code=code, message=f"{age}: {sight.complaint()}"), after


def _answer(plan: ReplicaPlan) -> Answer:
    replicas = plan.planned if plan.desired is None else plan.desired
    return Answer(replicas=replicas, active=plan.active, made_at_seconds=plan.at_seconds)
