"""Who brings the nodes of a cluster, by the marks that clouds put on their objects."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from fleet.cluster.karpenter import NodePool
from fleet.cluster.nodes import COMPUTE_CLASS, KARPENTER_POOL, Node

EKS_GROUP: Final = "eks.amazonaws.com"
_AZURE_GROUP: Final = "karpenter.azure.com"
_GKE_POOL: Final = "cloud.google.com/gke-nodepool"
_MARKS: Final[tuple[tuple[str, str | None, str], ...]] = (
    # label, value (None = any), who; the first that fits counts
    ("eks.amazonaws.com/compute-type", "auto", "EKS Auto Mode"),
    (COMPUTE_CLASS, None, "GKE compute class"),
    ("eks.amazonaws.com/nodegroup", None, "EKS node group"),
)


def platforms(nodes: Iterable[Node], pools: Iterable[NodePool]) -> Mapping[str, int]:
    """The number of nodes by who brings them, the most first; also those without a node yet."""
    pools = list(pools)
    # With its own NodePools in the cluster it is AKS's Karpenter that makes nodes of all of them.
    by_aks = any(one.built_in and one.node_class_group == _AZURE_GROUP for one in pools)
    by_pool = {one.name: _of_pool(one, by_aks=by_aks) for one in pools}
    counted = Counter(dict.fromkeys(by_pool.values(), 0))
    counted.update(_of_node(one, by_pool) for one in nodes)
    return dict(sorted(counted.items(), key=lambda one: (-one[1], one[0])))


def _of_pool(pool: NodePool, *, by_aks: bool) -> str:
    if pool.node_class_group == EKS_GROUP:
        return "EKS Auto Mode"
    if pool.node_class_group == _AZURE_GROUP:
        return "AKS node auto-provisioning" if by_aks else "Karpenter on AKS"
    if pool.node_class_group == "karpenter.k8s.aws":
        return "Karpenter on AWS"
    return "Karpenter"


def _of_node(node: Node, by_pool: Mapping[str, str]) -> str:
    labels = node.labels
    for label, value, who in _MARKS:
        if label in labels and value in {None, labels[label]}:
            return who
    pool = labels.get(KARPENTER_POOL)
    if pool is not None:
        return by_pool.get(pool, "Karpenter")
    if _GKE_POOL in labels:
        auto = labels[_GKE_POOL].startswith("nap-")
        return "GKE node auto-provisioning" if auto else "GKE node pool"
    if "kubernetes.azure.com/agentpool" in labels or "agentpool" in labels:
        return "AKS node pool"
    return "?"
