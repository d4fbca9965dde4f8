"""The parameters in force: what the operator gave, changed by what was learned.

Each change leaves a `Step`, so that an explanation shows what was learned and how surely. A figure
that was not learned leaves its parameter, and no step.
"""

from dataclasses import replace
from typing import Final

from scaler.decision.need import Step
from scaler.decision.parameters import PlanParameters
from scaler.durations import format_duration
from scaler.learning.estimates import CapacityEstimate, LeadEstimate, Setting, StuckOrders

HOLD_SECONDS_MIN: Final = 60.0
"""Of a hold that follows the lead time: engines that wake in seconds need not go at each dip."""


def in_force(
    parameters: PlanParameters,
    *,
    capacity: CapacityEstimate | None = None,
    lead: LeadEstimate | None = None,
    setting: Setting | None = None,
) -> tuple[PlanParameters, tuple[Step, ...]]:
    """The parameters of the next plan, and one step for each figure that was learned."""
    steps: list[Step] = []
    if capacity is not None:
        parameters = replace(parameters, capacity=capacity.capacity)
        steps.append(_step("capacity", _capacity_text(capacity)))
        if capacity.bound is not None:
            steps.append(_step("bound", capacity.bound))
        if capacity.unreachable is not None:
            steps.append(_step("objective", capacity.unreachable))
    if lead is not None and not parameters.lead_fixed:
        parameters = _with_lead(parameters, lead.seconds)
        steps.append(_step("lead time", f"{format_duration(lead.seconds)}: {lead.evidence}"))
    if lead is not None and lead.stuck is not None:
        steps.append(_step("stuck", _stuck_text(lead.stuck)))
    if setting is not None:
        parameters = replace(
            parameters,
            level=setting.level,
            utilization=setting.utilization,
            hold_seconds=setting.hold_seconds,
            forecasts=setting.forecasts,
            late_minute_cost=setting.late_minute_cost,
            hold_given=setting.late_minute_cost is None or parameters.hold_given,
        )
        steps.append(_step("setting", setting.evidence))
    return parameters, tuple(steps)


def _with_lead(parameters: PlanParameters, seconds: float) -> PlanParameters:
    parameters = replace(parameters, lead_seconds=seconds)
    if not parameters.hold_follows_lead:
        return parameters
    # An operator who gave a lead time of seconds gave a hold of seconds too.
    least = min(HOLD_SECONDS_MIN, parameters.hold_seconds)
    return replace(parameters, hold_seconds=max(seconds, least))


def _stuck_text(stuck: StuckOrders) -> str:
    never = (
        f"{stuck.replicas} wanted for up to {format_duration(stuck.seconds)} never became ready: "
        "they crash, wait for a GPU or quota, or the ScaledObject allows fewer"
    )
    if stuck.others_came:
        return f"{never}; others came since, so these are not counted on"
    return f"{never}; none came since, so none is ordered in their place"


def _step(rule: str, text: str) -> Step:
    return Step(rule=rule, text=text, replicas=0.0, figure=True)


def _capacity_text(estimate: CapacityEstimate) -> str:
    work = estimate.capacity.work
    rates = [f"{1 / each:,.0f}" if each else "any" for each in (work.prompt, work.generated)]
    return (
        f"{rates[0]} prompt or {rates[1]} generated tokens/s a replica, "
        f"{estimate.capacity.requests:,.0f} requests, {estimate.confidence:.0%} learned: "
        f"{estimate.evidence}"
    )
