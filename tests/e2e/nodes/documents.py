"""Parts of the objects that the tests of nodes make."""

from collections.abc import Sequence
from typing import Any

from tests.e2e.karpenter import CAPACITY_TYPE, GPU

Document = dict[str, Any]
POOL = "karpenter.sh/nodepool"
ZONE_LABEL = "topology.kubernetes.io/zone"
PLACEHOLDER = "placeholder"
PLACEHOLDER_CLASS: Document = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": PLACEHOLDER},
    # The lowest that Karpenter and Cluster Autoscaler both buy nodes for.
    "value": -10,
    "preemptionPolicy": "Never",
}


def node_template(
    instance_type: str, capacity_types: Sequence[str], startup_taint: str | None, node_class: str
) -> Document:
    """Of a NodePool with one instance type."""
    template: Document = {
        "nodeClassRef": {
            "group": "karpenter.kwok.sh",
            "kind": "KWOKNodeClass",
            "name": node_class,
        },
        "requirements": [
            {
                "key": "node.kubernetes.io/instance-type",
                "operator": "In",
                "values": [instance_type],
            },
            {"key": CAPACITY_TYPE, "operator": "In", "values": list(capacity_types)},
        ],
    }
    if startup_taint is not None:
        template["startupTaints"] = [{"key": startup_taint, "effect": "NoSchedule"}]
    return template


def disruption(consolidate_after: str, budget: str) -> Document:
    """Of a dynamic NodePool, of whose nodes so many may go at once."""
    return {
        "consolidationPolicy": "WhenEmpty",
        "consolidateAfter": consolidate_after,
        "budgets": [{"nodes": budget}],
    }


def pod_spec(pool: str, gpus: int, gpu_under: str) -> Document:
    """Of a pod that runs on a pool's nodes alone; `limits` = no GPUs under requests."""
    amounts = {GPU: str(gpus)}
    resources = {"limits": amounts}
    if gpu_under == "requests":
        resources["requests"] = amounts
    return {
        "nodeSelector": {POOL: pool},
        # With 0 a pod goes without a trace, and Karpenter counts from when it was bound.
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "engine", "image": "engine", "resources": resources}],
    }
