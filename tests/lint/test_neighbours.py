"""Other controllers of the same objects are detected, and never fought."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.lint.cases.neighbours import EVERYWHERE, HPA_BY_CPU, MODE, NEAR, RESTARTS
from tests.lint.manifests import (
    CONTAINER,
    DEPLOYMENT,
    DISRUPTION,
    MILVUS,
    POLICY,
    SCALED,
    VERTICAL,
    Manifest,
    edited,
    lint,
)

ROOT = Path(__file__).parents[2]
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection", "*"})
THEIRS = {
    "autoscaling": ("horizontalpodautoscalers",),
    "autoscaling.k8s.io": ("verticalpodautoscalers",),
    "policy": ("poddisruptionbudgets",),
    "keda.sh": ("scaledobjects",),
    "": ("services", "pods/resize", "pods/eviction", "pods/status"),
}
"""By API group, what belongs to them."""
BY_CPU_TRIGGER = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "60"}}


def test_what_collides_on_one_workload_is_found_and_said_why() -> None:
    collision = [
        SCALED,
        POLICY,
        NEAR,
        EVERYWHERE,
        HPA_BY_CPU,
        edited(VERTICAL, {MODE: "Recreate"}),
        edited(DEPLOYMENT, {f"{CONTAINER} resizePolicy": RESTARTS}),
        edited(DISRUPTION, {"spec maxUnavailable": 0}),
    ]

    found = {(one.rule, one.subject) for one in lint(*collision)}

    workload = "llm/qwen3-32b"
    assert found == {
        ("FS104", f"ScaledObject {workload}"),
        ("FS104", f"HorizontalPodAutoscaler {workload}"),
        ("FS531", f"PodDisruptionBudget {workload}"),
        ("FS601", f"VerticalPodAutoscaler {workload}"),
        ("FS602", f"VerticalPodAutoscaler {workload}"),
        ("FS603", f"Deployment {workload}"),
        ("FS611", f"Service {workload}"),
        ("FS621", "DeschedulerPolicy (without a name)"),
    }


def test_the_hpa_that_keda_makes_of_a_scaled_object_is_not_named_beside_it() -> None:
    """As --live finds it; its user can change the ScaledObject alone."""
    owner = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "s", "uid": "u"}
    by_cpu = edited(SCALED, {"spec triggers": [BY_CPU_TRIGGER]})
    data_nodes = edited(SCALED, {"spec scaleTargetRef name": "rag-milvus-datanode"})
    at_three = edited(MILVUS, {"spec components dataNode replicas": 3})
    for scaled, beside, rule in (
        (by_cpu, edited(VERTICAL, {MODE: "Recreate"}), "FS602"),
        (data_nodes, at_three, "FS641"),
    ):
        made = edited(
            HPA_BY_CPU,
            {
                "metadata name": "keda-hpa-qwen3-32b",
                "metadata ownerReferences": [owner],
                "spec scaleTargetRef name": scaled["spec"]["scaleTargetRef"]["name"],
            },
        )
        found = [one.subject for one in lint(scaled, made, beside) if one.rule == rule]
        assert len(found) == 1, (rule, found)


def test_a_pause_that_keda_writes_into_its_hpa_is_told_of_the_scaled_object() -> None:
    pause = {"autoscaling.keda.sh/paused-scale-out": "true"}
    paused = edited(SCALED, {"metadata annotations": pause})
    made = edited(
        HPA_BY_CPU,
        {
            "metadata ownerReferences": [{"kind": "ScaledObject", "name": "s", "uid": "u"}],
            "spec behavior scaleUp selectPolicy": "Disabled",
        },
    )

    assert [(one.rule, one.subject) for one in lint(paused, made)] == [
        ("FS110", "ScaledObject llm/qwen3-32b")
    ]


def test_a_descheduler_policy_in_a_configmap_is_read() -> None:
    held: Manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "descheduler", "namespace": "kube-system"},
        "data": {"policy.yaml": yaml.safe_dump(EVERYWHERE)},
    }

    assert [(one.rule, one.subject) for one in lint(held, POLICY)] == [
        ("FS621", "DeschedulerPolicy kube-system/descheduler")
    ]


def rules_of_roles() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted((ROOT / "deploy" / "examples").glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            if document and document.get("kind") in {"Role", "ClusterRole"}:
                yield from ((file.name, one) for one in document["rules"])


def test_no_role_of_ours_may_write_what_other_controllers_own() -> None:
    granted = [
        (file, rule)
        for file, rule in rules_of_roles()
        if WRITES & {*rule["verbs"]}
        for group, theirs in THEIRS.items()
        if group in rule.get("apiGroups", ()) and {*theirs, "*"} & {*rule["resources"]}
    ]

    assert granted == []
