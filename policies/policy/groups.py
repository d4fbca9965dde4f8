"""Groups of a policy's fields: what waiting is worth, what idling may cost, hedge, levers, veto."""

from collections.abc import Mapping
from typing import Any, ClassVar

from fleet.located import Path
from policies.policy.cross_rules import CrossRule, PolicyPart, given
from policies.policy.pool_policy import LEVERS_DEFAULT, VETO_DEFAULT_SECONDS, Lever
from policies.policy.values import Duration, GpuMinutes, Nodes, Share, Switch, Usd, UsdPerMinute


class DelayedMinuteWorth(PolicyPart):
    """What it is worth that one pod starts a minute earlier: in GPU-minutes, or in dollars."""

    cross_rules: ClassVar[tuple[CrossRule, ...]] = (
        CrossRule(
            cel="has(self.gpuMinutes) != has(self.usd)",
            message="it takes either gpuMinutes or usd",
            fields=("gpu_minutes", "usd"),
            broken_at=lambda values: None if len(given(values, "gpu_minutes", "usd")) == 1 else (),
        ),
    )

    gpu_minutes: GpuMinutes | None = None
    """Minutes that one GPU may stand idle so that one pod waits a minute less. On GPUs of $6 an
    hour 10 says that a pod-minute of waiting costs you a dollar. Take 3 where users hardly notice,
    30 where they leave."""
    usd: UsdPerMinute | None = None
    """The same in dollars a pod-minute; divided by what a minute of one GPU of the pool costs."""


def _dearer_hour(values: Mapping[str, Any]) -> Path | None:
    hour, month = values["usd_per_hour"], values["usd_per_month"]
    both = hour is not None and month is not None
    return ("usdPerHour",) if both and hour > month else None


class IdleCeiling(PolicyPart):
    """The most that idle capacity may cost, of all the policy's pools together."""

    cross_rules: ClassVar[tuple[CrossRule, ...]] = (
        CrossRule(
            cel="has(self.usdPerHour) || has(self.usdPerMonth)",
            message="it takes usdPerHour, usdPerMonth or both",
            fields=("usd_per_hour", "usd_per_month"),
            broken_at=lambda values: None if given(values, "usd_per_hour", "usd_per_month") else (),
        ),
        CrossRule(
            cel="!has(self.usdPerHour) || !has(self.usdPerMonth)"
            " || self.usdPerHour <= self.usdPerMonth",
            message="usdPerHour is above usdPerMonth: an hour costs no more than its month",
            fields=("usd_per_hour", "usd_per_month"),
            broken_at=_dearer_hour,
        ),
    )

    usd_per_hour: Usd | None = None
    """Of idle capacity that Foresail holds or orders, at any moment. In a pool of several capacity
    types an order counts at the highest price, mostly that on demand: below it none is ordered."""
    usd_per_month: Usd | None = None
    """Of the same, from the first of a month on; when it is spent, only demand that is there
    counts."""


class SpotHedgeSettings(PolicyPart):
    """What to keep in hand where nodes may be reclaimed."""

    on_demand_share: Share = 0.0
    """Of the nodes wanted, the share to order on demand, where the pool allows both."""
    spare_nodes: Nodes = 0
    """Nodes to keep beyond what is wanted, while any node of the pool is a spot machine."""


class LeverSettings(PolicyPart):
    """The ways in which decisions may be carried out, in mode act."""

    capacity_buffer: Switch = Lever.CAPACITY_BUFFER in LEVERS_DEFAULT
    """Order nodes through CapacityBuffers of Foresail's own."""
    placeholder: Switch = Lever.PLACEHOLDER in LEVERS_DEFAULT
    """Order nodes through placeholder pods of low priority; they count against quotas."""
    static_pool: Switch = Lever.STATIC_POOL in LEVERS_DEFAULT
    """Set the size of static NodePools, by their scale subresource; leave `replicas` out of Git."""
    node_hold: Switch = Lever.NODE_HOLD in LEVERS_DEFAULT
    """Hold empty nodes with `karpenter.sh/do-not-disrupt`, or the Cluster Autoscaler's annotation
    where that brought them, for the length of a lease."""
    node_release: Switch = Lever.NODE_RELEASE in LEVERS_DEFAULT
    """Let empty nodes go before Karpenter would, and nodes that start and are not wanted any more:
    delete their NodeClaims."""
    pod_deletion_cost: Switch = Lever.POD_DELETION_COST in LEVERS_DEFAULT
    """Write `controller.kubernetes.io/pod-deletion-cost`, so that nodes empty one after another."""
    quiet_hours: Switch = Lever.QUIET_HOURS in LEVERS_DEFAULT
    """Write the budget of quiet hours into NodePools; else it is only shown, for your Git."""

    @property
    def allowed(self) -> frozenset[Lever]:
        keys = type(self).model_fields.items()
        return frozenset(Lever(str(field.alias)) for name, field in keys if getattr(self, name))


class ModelLoadingVeto(PolicyPart):
    """A node is not let go while a pod on it loads its model."""

    enabled: Switch = True
    """Whether a loading model keeps its node."""
    longest: Duration = VETO_DEFAULT_SECONDS
    """From the pod's creation; after that it counts as one that fails."""
