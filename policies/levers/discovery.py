"""What the cluster can do, found out at run time: never assumed from a version's number.

`foresail` reads the API server's own lists; here is what they mean.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fleet.cluster.karpenter import NodeClaim, NodePool
from fleet.cluster.platform import EKS_GROUP

BUFFER_GROUP: Final = "autoscaling.x-k8s.io"
BUFFER_VERSION: Final = "v1beta1"
KARPENTER_GROUP: Final = "karpenter.sh"
KARPENTER_MANAGER: Final = "karpenter"
"""Its field manager."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What there is to work with."""

    capacity_buffers: bool = False
    """CapacityBuffer v1beta1 is served; whether a controller answers shows in a buffer's status."""
    pool_scale: bool = False
    """NodePools have a scale subresource: static pools are there."""
    karpenter_version: str | None = None
    """By the label of its Deployment; None = not told, as in a cloud's own."""
    orders_for_claims: bool | None = None
    """Karpenter buys nodes for pods with ResourceClaims; None = nothing has shown it yet."""
    ranks_pods: bool = False
    """Karpenter writes the deletion costs of pods itself (`PodDeletionCostManagement`)."""
    auto_mode: bool = False
    """EKS Auto Mode: Karpenter runs outside, its gates are not ours, NVIDIA's DRA driver is not
    supported."""
    not_read: tuple[str, ...] = ()
    """What could not be found out, and why."""


def orders_for_claims(claims: Iterable[NodeClaim], *, refused: bool) -> bool | None:
    """Whether Karpenter buys nodes for pods with ResourceClaims, by what it has done.

    Args:
        claims: its machines; one that it bought for a claim names the drivers.
        refused: it said of a pod that it does not support claims.
    """
    if any(one.for_drivers for one in claims):
        return True
    return False if refused else None


def is_auto_mode(pools: Iterable[NodePool]) -> bool:
    """Whether a pool is of EKS Auto Mode."""
    return any(one.node_class_group == EKS_GROUP for one in pools)


def described(found: Discovery) -> tuple[str, ...]:
    """For a person, a line each."""
    claims = {True: "bought for", False: "not bought for", None: "nothing shows whether bought for"}
    yes = {True: "yes", False: "no"}
    return (
        f"Karpenter {found.karpenter_version or '?'}{' of EKS Auto Mode' * found.auto_mode}",
        f"CapacityBuffer {BUFFER_VERSION} served: {yes[found.capacity_buffers]}",
        f"static NodePools: {yes[found.pool_scale]}",
        f"nodes are {claims[found.orders_for_claims]} pods with ResourceClaims",
        f"Karpenter ranks pods itself: {yes[found.ranks_pods]}",
        *found.not_read,
    )
