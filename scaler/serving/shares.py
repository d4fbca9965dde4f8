"""A workload's plan beside those of others: of the other phase, of its model, and of its pool."""

from collections.abc import Mapping
from typing import Protocol

from scaler.decision.answers import Reference
from scaler.decision.claim import within
from scaler.decision.need import Step
from scaler.decision.parameters import PlanParameters
from scaler.evaluate import CycleState, WorkloadPlan
from scaler.learning.estimates import CapacityEstimate
from scaler.serving.pairs import Pairs
from scaler.serving.pools import Pools
from scaler.serving.variants import Variants
from scaler.trigger import TriggerSpec


class Planned(Protocol):
    """`evaluate` of one workload's newest look; it may be called again within narrower bounds."""

    def __call__(
        self, parameters: PlanParameters, *, limits: tuple[Step, ...] = ()
    ) -> tuple[WorkloadPlan, CycleState]: ...


class Shares:
    """What the plans of several workloads have to do with each other."""

    def __init__(self, pools: Mapping[str, int]) -> None:
        self._pools, self._variants, self._pairs = Pools(pools), Variants(), Pairs()

    def expect(self, reference: Reference, trigger_spec: TriggerSpec) -> None:
        """Count with a workload before its first look, in place of its object's older trigger."""
        self._pools.expect(reference, trigger_spec)
        self._variants.expect(reference, trigger_spec)
        self._pairs.expect(reference, trigger_spec)

    def forget(self, reference: Reference) -> None:
        """Free what a workload claims."""
        self._pools.forget(reference)
        self._variants.forget(reference)
        self._pairs.forget(reference)

    def clock_moved(self, seconds: float) -> None:
        """Continue after the wall clock was set."""
        self._variants.clock_moved(seconds)
        self._pairs.clock_moved(seconds)

    def plan(
        self,
        trigger_spec: TriggerSpec,
        planned: Planned,
        parameters: PlanParameters,
        *,
        held: int | None,
        capacity: CapacityEstimate | None,
        unasked_seconds: float,
    ) -> tuple[WorkloadPlan, CycleState]:
        """The plan within what the workload gets.

        Args:
            held: replicas last sent to KEDA; None before the first plan.
            capacity: of its replica, as learned.
            unasked_seconds: how long ago KEDA asked about it.
        """
        limits: tuple[Step, ...] = ()
        plan, after = planned(parameters)
        paired = self._pairs.share(trigger_spec, plan)
        if paired is not None:
            parameters, limits = paired.within(parameters), (paired.step(),)
            plan, after = planned(parameters, limits=limits)
        part = self._variants.share(
            trigger_spec, plan, held=held, capacity=capacity, unasked_seconds=unasked_seconds
        )
        if part is not None:
            parameters, limits = part.within(parameters), (*limits, part.step())
            plan, after = planned(parameters, limits=limits)
        share = self._pools.share(trigger_spec, plan, held=held)
        refused = share is not None and share.refused > 0
        if share is not None and refused:
            limits = (*limits, share.step())
            plan, after = planned(within(parameters, share), limits=limits)
        limit = share.replicas if share is not None and refused else None
        self._variants.limited(plan.reference, trigger_spec, limit)
        return plan, after
