"""When nodes end whatever anybody does: their NodeClaim expires, or their Capacity Block ends.

No budget, no `do-not-disrupt` and no hold stops either, and Karpenter starts no other node first.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from fleet.account.machines import claims_of_nodes
from fleet.cluster.nodes import Node
from fleet.cluster.reading import Cluster

RESERVATION_LABELS: Final = (
    "karpenter.k8s.aws/capacity-reservation-id",
    "eks.amazonaws.com/capacity-reservation-id",
)
_DRAIN_SECONDS: Final = 2400.0
"""Before the end of a Capacity Block: EC2 stops its machines 30 minutes before, and Karpenter
drains them 10 minutes earlier."""
_DRAIN_ULTRA_SECONDS: Final = 4200.0
"""The same of UltraServers, which EC2 stops 60 minutes before."""
_ULTRA: Final = ("p6e-", "u-p6e-", "trn2u.")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEnd:
    """The end of one node."""

    at_seconds: float
    why: str


def node_ends(cluster: Cluster) -> Mapping[str, NodeEnd]:
    """By the node's name; a node that is missing has no known end."""
    found: dict[str, NodeEnd] = {}
    for name, end in (*_expiring(cluster), *_of_blocks(cluster)):
        if name not in found or end.at_seconds < found[name].at_seconds:
            found[name] = end
    return found


def reservation_of(node: Node) -> str | None:
    """The ID of the reservation that a node is in; None = in none that is told."""
    return next(filter(None, map(node.labels.get, RESERVATION_LABELS)), None)


def _expiring(cluster: Cluster) -> Iterator[tuple[str, NodeEnd]]:
    for name, claim in claims_of_nodes(cluster).items():
        if claim.created_seconds is not None and claim.expires_after_seconds is not None:
            at = claim.created_seconds + claim.expires_after_seconds
            yield name, NodeEnd(at_seconds=at, why="its NodeClaim expires")


def _of_blocks(cluster: Cluster) -> Iterator[tuple[str, NodeEnd]]:
    blocks = {
        one.id: one.ends_seconds
        for each in cluster.node_classes or ()
        for one in each.reservations
        if one.block and one.ends_seconds is not None
    }
    for node in cluster.nodes:
        reservation = reservation_of(node)
        ends = blocks.get(reservation) if reservation is not None else None
        if ends is not None:
            ultra = (node.instance_type or "").startswith(_ULTRA)
            at = ends - (_DRAIN_ULTRA_SECONDS if ultra else _DRAIN_SECONDS)
            yield node.name, NodeEnd(at_seconds=at, why=f"Capacity Block {reservation} ends")
