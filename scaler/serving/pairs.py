"""Pairs of ScaledObjects, one for each phase of the same requests: their last looks."""

from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from scaler.decision.answers import Reference
from scaler.decision.need import Step
from scaler.decision.pair import RequestWork, Side, decode_need, prefill_remark
from scaler.decision.parameters import PlanParameters
from scaler.evaluate import WorkloadPlan
from scaler.trigger import REPLICAS_MAX, Phase, TriggerSpec

_FLOOR: Final = "what prefill passes on"
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class PairShare:
    """What the other phase means for one."""

    text: str
    need: float = 0.0
    """Replicas that it must have at least."""

    def step(self) -> Step:
        return Step(rule="pair", text=self.text, replicas=self.need)

    def within(self, parameters: PlanParameters) -> PlanParameters:
        """The parameters of a plan that is not below that."""
        least = min(ceil(self.need - _ROUNDING), parameters.replicas_max)
        if least <= parameters.replicas_min:
            return parameters
        return replace(parameters, replicas_min=least, replicas_min_name=_FLOOR)


@dataclass(slots=True, eq=False)
class _Member:
    reference: Reference
    spec: TriggerSpec
    side: Side | None = None
    """None while it cannot be read."""
    work: RequestWork | None = None


class Pairs:
    """The triggers that name another one as the other phase of their requests."""

    def __init__(self) -> None:
        self._members: dict[tuple[str, str], _Member] = {}

    def expect(self, reference: Reference, spec: TriggerSpec) -> None:
        """Count with a trigger before its first look."""
        at = reference.namespace, reference.name
        known = self._members.get(at)
        if spec.paired_with is not None and (known is None or known.reference != reference):
            self._members[at] = _Member(reference, spec)

    def forget(self, reference: Reference) -> None:
        """Leave a workload out from now on."""
        at = reference.namespace, reference.name
        if at in self._members and self._members[at].reference == reference:
            del self._members[at]

    def clock_moved(self, seconds: float) -> None:
        """Continue after the wall clock was set."""
        for one in self._members.values():
            one.work = one.work and one.work.moved(seconds)

    def share(self, spec: TriggerSpec, plan: WorkloadPlan) -> PairShare | None:
        """What the other phase means for this one's plan; None where it has none, or is refused."""
        own = self._members.get((plan.reference.namespace, plan.reference.name))
        if own is None or own.reference != plan.reference or spec.paired_with is None:
            return None
        _take(own, plan)
        if plan.demand is None:
            return None
        other = self._members.get((plan.reference.namespace, spec.paired_with))
        if other is None or not _belong(own, other):
            wanted = Phase.DECODE if spec.phase is Phase.PREFILL else Phase.PREFILL
            return PairShare(
                text=f"pairedWith {spec.paired_with}: no ScaledObject of that name has phase "
                f"{wanted} and pairedWith {plan.reference.name}, so this one is planned on its own"
            )
        if other.side is None:
            return PairShare(
                text=f"the requests of {spec.paired_with} are not measured: planned on its own"
            )
        if spec.phase is Phase.PREFILL:
            return PairShare(text=prefill_remark(other.side))
        need, text = decode_need(other.side, own.work.seconds if own.work else None)
        return PairShare(text=text, need=need)


def _belong(own: _Member, other: _Member) -> bool:
    phases = {own.spec.phase, other.spec.phase}
    return (
        other.spec.paired_with == own.reference.name
        and phases == {Phase.PREFILL, Phase.DECODE}
        and other.spec.model == own.spec.model
    )


def _take(member: _Member, plan: WorkloadPlan) -> None:
    demand = plan.demand
    load = (
        None
        if demand is None
        else plan.parameters.capacity.work.replicas(demand.prompt_tokens, demand.generated_tokens)
    )
    if demand is None or demand.requests is None or load is None:
        member.side = None
        return
    work = member.work or RequestWork(at_seconds=demand.at_seconds - 1.0)
    member.work = work.after(demand.at_seconds, requests=demand.requests, load=load)
    member.side = Side(
        name=member.reference.name,
        requests=demand.requests,
        load=load,
        most=member.spec.max_replicas or REPLICAS_MAX,
    )
