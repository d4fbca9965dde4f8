"""Plans of workloads as they were last heard, and for how long they still stand.

A plan is of one trigger of a ScaledObject; the HPA follows the trigger that wants the most. Times
run on the monotonic clock.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from math import inf
from typing import Final

from fleet.cluster.owners import Workload
from fleet.cluster.scaled_objects import ScaledObject
from foresail.controller.rounds import PlannedReplicas
from scaler.durations import format_duration
from scaler.forecast.running_maximum import MaximumForecast

SILENT_SECONDS: Final = 300.0
"""Without news of any plan, after which none counts: each changes with each look at its metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerPlan:
    """What one plan wants."""

    trigger: Hashable
    """That it is of."""
    scaled_object: str | None
    """With its namespace; None = of none, such as a model of the watch list."""
    replicas: float | None
    """That KEDA gets; None = it gets none, as in mode advise."""
    valid_for_seconds: float | None
    """None = it stands no longer."""
    running_maximum: MaximumForecast | None = None
    """Of the replicas; None = it has none that may be gone by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    plan: TriggerPlan
    until_seconds: float


class KnownPlans:
    """All plans of a server."""

    def __init__(self) -> None:
        self._plans: dict[Hashable, _Kept] = {}
        self._received_seconds = -inf
        self.trouble: str | None = None
        """Why nothing more will be heard."""

    def all_are(self, plans: Iterable[TriggerPlan], now_seconds: float) -> None:
        """Learn all plans that there are."""
        self._plans = {one.trigger: _kept(one, now_seconds) for one in plans}
        self._received_seconds = now_seconds

    def changed(self, plan: TriggerPlan, now_seconds: float) -> None:
        """Learn a plan that is new or not what it was."""
        self._plans[plan.trigger] = _kept(plan, now_seconds)
        self._received_seconds = now_seconds

    def removed(self, trigger: Hashable, now_seconds: float) -> None:
        """Learn that a trigger is no more."""
        self._plans.pop(trigger, None)
        self._received_seconds = now_seconds

    def now(
        self, scaled_objects: Iterable[ScaledObject] | None, now_seconds: float
    ) -> PlannedReplicas:
        """What the plans that stand want.

        Args:
            scaled_objects: of the cluster; None = they were not read.
            now_seconds: on the monotonic clock.
        """
        missing = self._missing(now_seconds)
        if missing is None and scaled_objects is None:
            missing = "ScaledObjects were not read: which workload a plan is of is unknown"
        if missing is not None:
            return PlannedReplicas(
                missing=f"{missing}; holds run out, and nothing is ordered for a forecast"
            )
        targets = {one.name: one.target for one in scaled_objects or ()}
        replicas: dict[Workload, float] = {}
        maxima: dict[Workload, MaximumForecast | None] = {}
        for kept in self._plans.values():
            target = targets.get(kept.plan.scaled_object or "")
            wanted = kept.plan.replicas
            if target is None or wanted is None or now_seconds >= kept.until_seconds:
                continue
            if wanted > replicas.get(target, -inf):
                replicas[target], maxima[target] = wanted, kept.plan.running_maximum
        return PlannedReplicas(
            replicas=replicas,
            maxima={target: one for target, one in maxima.items() if one is not None},
        )

    def _missing(self, now_seconds: float) -> str | None:
        if self.trouble is not None:
            return self.trouble
        if self._received_seconds == -inf:
            return "no plan was heard yet"
        silent = now_seconds - self._received_seconds
        if self._plans and silent > SILENT_SECONDS:
            return f"no plan was heard for {format_duration(round(silent))}"
        return None


def _kept(plan: TriggerPlan, now_seconds: float) -> _Kept:
    valid = -inf if plan.valid_for_seconds is None else plan.valid_for_seconds
    return _Kept(plan=plan, until_seconds=now_seconds + valid)
