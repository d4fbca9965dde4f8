"""Pools of GPUs of known size: the plans of their workloads are made together.

The cycle plans feed by feed. So a workload's share is made from its plan of this look and from the
last claims of the others, which are at most one period of looks old. A workload that cannot be read
keeps what it has until it is read again or its trigger is forgotten. A share that shrinks is in
force with the next look of its workload.

An object has one claim. After an edit that of the new trigger counts, and the old one, which is
looked at for an hour still, is planned as if it were the object's.
"""

from collections.abc import Mapping
from dataclasses import replace

from scaler.decision.answers import Reference
from scaler.decision.claim import claim_of
from scaler.decision.scarce import Claim, Share, allot
from scaler.evaluate import WorkloadPlan
from scaler.trigger import Mode, TriggerSpec

_Object = tuple[str, str]
"""Namespace and name."""


class Pools:
    """The last claim of each object on each pool."""

    def __init__(self, gpus: Mapping[str, int]) -> None:
        self._gpus = gpus
        self._claims: dict[str, dict[_Object, Claim]] = {pool: {} for pool in gpus}
        self._counted: dict[_Object, Reference] = {}
        """The trigger of each object whose claim counts."""

    def expect(self, reference: Reference, trigger_spec: TriggerSpec) -> None:
        """Count a trigger from now on, and none of its object's older ones any more.

        Until its first plan the claim of an older one stands, so that nobody takes its GPUs. In
        mode `advise` it has no plan that claims any, so the claim ends at once.
        """
        at = _object(reference)
        self._counted[at] = reference
        claimed = None if trigger_spec.mode is Mode.ADVISE else trigger_spec.pool
        for pool, claims in self._claims.items():
            if pool != claimed:
                claims.pop(at, None)

    def share(
        self, trigger_spec: TriggerSpec, plan: WorkloadPlan, *, held: int | None
    ) -> Share | None:
        """What the plan's workload gets; None where its pool has no limit for it.

        Args:
            plan: made as if the pool were not short.
            held: replicas last sent to KEDA; None before the first plan.
        """
        made, pool, at = plan.replica_plan, trigger_spec.pool, _object(plan.reference)
        counts = self._counted.setdefault(at, plan.reference) == plan.reference
        if pool is None or pool not in self._claims:
            return None
        claims = self._claims[pool]
        if plan.demand is None or made is None or made.desired is None:
            if counts and (claim := claims.get(at)) and held is not None:
                claims[at] = replace(claim, least=held, wanted=held, held=held)
            return None
        own = claim_of(
            str(plan.reference),
            plan.demand,
            plan.forecasts,
            # Its part of a model is no minimum that a pool must keep.
            replace(plan.parameters, replicas_min=trigger_spec.min_replicas),
            wanted=made.desired,
            held=held or 0,
            replica_gpus=trigger_spec.replica_gpus,
            priority=trigger_spec.priority,
            namespace=plan.reference.namespace,
        )
        share = allot(pool, self._gpus[pool], tuple({**claims, at: own}.values()))[own.name]
        if counts:
            claims[at] = replace(own, held=share.replicas)
        return share

    def forget(self, reference: Reference) -> None:
        """Free what a workload claims."""
        at = _object(reference)
        if self._counted.get(at) == reference:
            del self._counted[at]
            for claims in self._claims.values():
                claims.pop(at, None)


def _object(reference: Reference) -> _Object:
    return reference.namespace, reference.name
