"""Pools of GPUs of known size: the plans of their workloads are made together.

The cycle plans feed by feed. So a workload's share is made from its plan of this look and from the
last claims of the others, which are at most one period of looks old. A workload that cannot be read
keeps what it has until it is read again or its trigger is forgotten. A share that shrinks is in
force with the next look of its workload.
"""

from collections.abc import Mapping
from dataclasses import replace

from scaler.decision.answers import Reference
from scaler.decision.claim import claim_of
from scaler.decision.scarce import Claim, Share, allot
from scaler.evaluate import WorkloadPlan
from scaler.trigger import TriggerSpec


class Pools:
    """The last claim of each workload on each pool."""

    def __init__(self, gpus: Mapping[str, int]) -> None:
        self._gpus = gpus
        self._claims: dict[str, dict[Reference, Claim]] = {pool: {} for pool in gpus}

    def share(
        self, trigger_spec: TriggerSpec, plan: WorkloadPlan, *, held: int | None
    ) -> Share | None:
        """What the plan's workload gets; None where its pool has no limit for it.

        Args:
            plan: made as if the pool were not short.
            held: replicas last sent to KEDA; None before the first plan.
        """
        made, pool = plan.replica_plan, trigger_spec.pool
        if pool is None or pool not in self._claims:
            return None
        claims = self._claims[pool]
        if plan.demand is None or made is None or made.desired is None:
            if (claim := claims.get(plan.reference)) and held is not None:
                claims[plan.reference] = replace(claim, least=held, wanted=held, held=held)
            return None
        claims[plan.reference] = claim_of(
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
        share = allot(pool, self._gpus[pool], tuple(claims.values()))[str(plan.reference)]
        claims[plan.reference] = replace(claims[plan.reference], held=share.replicas)
        return share

    def forget(self, reference: Reference) -> None:
        """Free what a workload claims."""
        for claims in self._claims.values():
            claims.pop(reference, None)
