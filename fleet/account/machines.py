"""Machines by their NodeClaims: those that Karpenter has launched and that have no node yet.

A machine is paid for from its launch. Until its node is there, and pods can have the GPUs of it,
the NodeClaim is all that tells of it.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from fleet.cluster.fields import condition
from fleet.cluster.karpenter import NodeClaim
from fleet.cluster.nodes import Node
from fleet.cluster.reading import Cluster

_INITIALIZED: Final = "karpenter.sh/initialized"


def claims_of_nodes(cluster: Cluster) -> Mapping[str, NodeClaim]:
    """The NodeClaim of each node that has one, by the node's name.

    A node is there for a moment before its claim names it; the machine's ID joins them then.
    """
    machines: Mapping[str | None, str] = {
        node.provider_id: node.name for node in cluster.nodes if node.provider_id
    }
    named = {
        claim.node or machines.get(claim.provider_id): claim for claim in cluster.node_claims or ()
    }
    return {name: claim for name, claim in named.items() if name is not None}


def nodes_to_come(cluster: Cluster) -> Iterator[tuple[Node, NodeClaim]]:
    """A node for each machine that is launched and has none, as its NodeClaim tells of it.

    It is not ready, so that nobody can have its GPUs.
    """
    there = {node.name for node in cluster.nodes}
    with_node = {claim.uid for name, claim in claims_of_nodes(cluster).items() if name in there}
    for claim in cluster.node_claims or ():
        launched = condition(claim.conditions, "Launched")
        if launched is not None and launched.holds and claim.uid not in with_node:
            yield node_to_come(claim), claim


def node_to_come(claim: NodeClaim) -> Node:
    """The node of a machine that has none yet, as its NodeClaim tells of it."""
    return Node(
        name=claim.name,
        uid=claim.uid,
        created_seconds=claim.created_seconds,
        labels=claim.labels,
        allocatable={},
        capacity={**claim.requests, **claim.capacity},
        usd_per_gpu_hour=claim.usd_per_gpu_hour,
        provider_id=claim.provider_id,
    )


def is_initialized(node: Node, claim: NodeClaim | None) -> bool:
    """Whether pods were given the node; one without a NodeClaim is given by its driver alone.

    The label stays where the condition flips back.
    """
    if claim is None or node.labels.get(_INITIALIZED) == "true":
        return True
    found = condition(claim.conditions, "Initialized")
    return found is not None and found.holds
