"""Karpenter's objects as its API serves them."""

from typing import Any

from fleet.cluster.fields import Taint
from fleet.cluster.karpenter import (
    Budget,
    Requirement,
    buffer_of,
    node_claim_of,
    node_pool_of,
)
from fleet.cluster.nodes import CapacityType

EIGHT_SECONDS = 1_795_852_800.0
"""2026-11-28T08:00:00Z."""
REQUIREMENTS = [
    {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot", "on-demand"]},
    {
        "key": "node.kubernetes.io/instance-type",
        "operator": "In",
        "values": ["p5.48xlarge"],
        "minValues": 1,
    },
]
TAINTS = [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]


def test_a_node_claim_has_its_machine_and_its_stages() -> None:
    made = node_claim_of(
        {
            "metadata": {
                "name": "h100-x7kq2",
                "uid": "u",
                "creationTimestamp": "2026-11-28T08:00:00Z",
                "labels": {
                    "karpenter.sh/nodepool": "h100",
                    "karpenter.sh/capacity-type": "spot",
                    "node.kubernetes.io/instance-type": "p5.48xlarge",
                    "topology.kubernetes.io/zone": "us-east-1a",
                },
            },
            "spec": {
                "requirements": REQUIREMENTS,
                "resources": {"requests": {"nvidia.com/gpu": "8"}},
                "taints": TAINTS,
                "startupTaints": [{"key": "gpu.foresail.io/warming", "effect": "NoSchedule"}],
                "expireAfter": "720h",
            },
            "status": {
                "nodeName": "ip-10-0-0-1",
                "capacity": {"nvidia.com/gpu": "8"},
                "conditions": [
                    {
                        "type": "Launched",
                        "status": "True",
                        "lastTransitionTime": "2026-11-28T08:00:04Z",
                    },
                    {
                        "type": "Registered",
                        "status": "True",
                        "lastTransitionTime": "2026-11-28T08:01:30Z",
                    },
                    {
                        "type": "Initialized",
                        "status": "Unknown",
                        "reason": "ResourceNotRegistered",
                        "lastTransitionTime": "2026-11-28T08:01:30Z",
                    },
                ],
            },
        }
    )

    assert (made.pool, made.node, made.instance_type, made.zone, made.capacity_type) == (
        "h100", "ip-10-0-0-1", "p5.48xlarge", "us-east-1a", CapacityType.SPOT,
    )  # fmt: skip
    assert made.created_seconds == EIGHT_SECONDS
    assert made.since_seconds("Launched") == EIGHT_SECONDS + 4
    assert made.since_seconds("Registered") == EIGHT_SECONDS + 90
    assert made.since_seconds("Initialized") is None
    assert made.taints == (Taint(key="nvidia.com/gpu", effect="NoSchedule"),)
    assert made.requests == {"nvidia.com/gpu": 8}
    assert made.requirements[1] == Requirement(
        key="node.kubernetes.io/instance-type",
        operator="In",
        values=("p5.48xlarge",),
    )


def test_a_node_pool_is_read_whole() -> None:
    document: dict[str, Any] = {
        "metadata": {"name": "h100"},
        "spec": {
            "weight": 10,
            "limits": {"nvidia.com/gpu": "32"},
            "disruption": {
                "consolidationPolicy": "WhenEmpty",
                "consolidateAfter": "10m",
                "budgets": [
                    {"nodes": "10%"},
                    {
                        "nodes": "0",
                        "reasons": ["Drifted"],
                        "schedule": "0 9 * * *",
                        "duration": "8h",
                    },
                ],
            },
            "template": {
                "metadata": {"labels": {"team": "llm"}},
                "spec": {"requirements": REQUIREMENTS, "taints": TAINTS, "expireAfter": "Never"},
            },
        },
        "status": {
            "resources": {"nvidia.com/gpu": "16", "nodes": "2"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }

    made = node_pool_of(document)

    assert (made.weight, made.replicas) == (10, None)
    assert (made.limits, made.used["nvidia.com/gpu"]) == ({"nvidia.com/gpu": 32}, 16)
    assert made.consolidate_after == "10m"
    assert made.budgets == (
        Budget(nodes="10%"),
        Budget(nodes="0", reasons=("Drifted",), schedule="0 9 * * *", duration="8h"),
    )
    assert made.labels == {"team": "llm"}
    assert len(made.requirements) == 2
    assert made.conditions[0].holds


def test_a_capacity_buffer_says_what_is_held_and_for_what() -> None:
    made = buffer_of(
        {
            "metadata": {"name": "night", "namespace": "llm"},
            "spec": {
                "provisioningStrategy": "buffer.x-k8s.io/active-capacity",
                "scalableRef": {"apiGroup": "apps", "kind": "Deployment", "name": "qwen"},
                "replicas": 3,
                "limits": {"nvidia.com/gpu": "8"},
            },
            "status": {
                "replicas": 2,
                "conditions": [
                    {"type": "Provisioning", "status": "False", "reason": "RequiresNewCapacity"}
                ],
            },
        }
    )

    assert (made.name, made.scalable, made.template) == ("llm/night", "Deployment/qwen", None)
    assert (made.replicas, made.replicas_held, made.percentage) == (3, 2, None)
    assert made.limits == {"nvidia.com/gpu": 8}
    assert made.conditions[0].reason == "RequiresNewCapacity"
