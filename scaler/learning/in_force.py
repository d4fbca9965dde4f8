"""The parameters in force: what the operator gave, changed by what was learned.

Each change leaves a `Step`, so that an explanation shows what was learned and how surely. A figure
that was not learned leaves its parameter, and no step.
"""

from dataclasses import replace

from scaler.decision.need import Step
from scaler.decision.parameters import PlanParameters
from scaler.durations import format_duration
from scaler.learning.estimates import CapacityEstimate, LeadEstimate, Setting


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
        steps.append(_step("capacity", capacity.evidence))
    if lead is not None:
        parameters = replace(parameters, lead_seconds=lead.seconds)
        steps.append(_step("lead time", f"{format_duration(lead.seconds)}: {lead.evidence}"))
    if setting is not None:
        parameters = replace(
            parameters,
            level=setting.level,
            utilization=setting.utilization,
            hold_seconds=setting.hold_seconds,
            late_minute_cost=setting.late_minute_cost,
            hold_given=True,
        )
    return parameters, tuple(steps)


def _step(rule: str, text: str) -> Step:
    return Step(rule=rule, text=text, replicas=0.0)
