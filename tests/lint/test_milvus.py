"""What the page of Milvus shows can be applied as it is, and what its operator keeps is refused."""

from pathlib import Path
from typing import Any

import yaml

from policies.lint.finding import Severity
from policies.policy.pool_policy import PoolPolicy
from tests.docs.snippets import snippets
from tests.lint.manifests import edited, lint
from tests.policies.pools import busy, empty, plan_of, pool, verdicts

PAGE = Path(__file__).parents[2] / "docs" / "integrations" / "milvus.md"


def shown(kind: str) -> dict[str, Any]:
    (found,) = (
        document
        for one in snippets(PAGE)
        if one.text.startswith("apiVersion")
        for document in yaml.safe_load_all(one.text)
        if document["kind"] == kind
    )
    assert isinstance(found, dict)
    return found


def test_a_component_that_its_operator_scales_is_refused_with_the_reason() -> None:
    milvus, scaled = shown("Milvus"), shown("ScaledObject")
    assert [one.message for one in lint(milvus, scaled)] == []

    kept = edited(milvus, {"spec components dataNode replicas": 3})
    (found,) = lint(kept, scaled)

    assert (found.rule, found.severity) == ("FS641", Severity.ERROR)
    assert found.message == (
        "ScaledObject llm/rag-data-nodes: spec.scaleTargetRef.name is 'rag-milvus-datanode': "
        "Milvus llm/rag has dataNode at 3, and sets that again; "
        "set spec.components.dataNode.replicas: -1 there"
    )


def test_a_gpu_data_node_with_an_empty_index_queue_becomes_consolidatable() -> None:
    """KEDA takes the data nodes to zero, and nothing of ours keeps the node that is left."""
    scaled = shown("ScaledObject")
    (trigger,) = scaled["spec"]["triggers"]
    assert scaled["spec"]["minReplicaCount"] == 0
    assert "milvus_datacoord_task_count" in trigger["metadata"]["query"]

    builds = pool(busy("data"), demand_gpus=1.0)
    idle = pool(empty("data", minutes=20), demand_gpus=0.0)

    assert verdicts(plan_of(builds, PoolPolicy())) == {"data": "leave: serves"}
    assert verdicts(plan_of(idle, PoolPolicy())) == {"data": "leave: no reason"}
