"""Objects of KAgent, Milvus and the VPA on a real API server, read as their users create them.

The bed has none of their CustomResourceDefinitions: KAgent and Milvus' operator are no Go modules
that can be had. So the API server serves some of ours with their groups, versions and names, which
take any fields.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from foresail.cli import main
from tests.e2e import bed as beds
from tests.e2e import kinds
from tests.e2e.site import Site
from tests.lint.cases.neighbours import MODE
from tests.lint.manifests import MILVUS, SCALED, VERTICAL, Manifest, edited

pytestmark = pytest.mark.looptime(False)  # processes live in real time

KAGENT = Path(__file__).parents[1] / "fixtures" / "kagent.yaml"
SPACES = ("agents", "gateway", "rag")
PAUSED = {"autoscaling.keda.sh/paused": "true"}
KINDS = (
    ("kagent.dev", "Agent", ("v1alpha2",)),
    ("kagent.dev", "AgentTemplate", ("v1alpha3",)),
    ("kagent.dev", "ModelConfig", ("v1alpha2", "v1alpha3")),
    ("milvus.io", "Milvus", ("v1beta1",)),
    ("autoscaling.k8s.io", "VerticalPodAutoscaler", ("v1",)),
    ("gateway.networking.k8s.io", "HTTPRoute", ("v1",)),
    ("inference.networking.k8s.io", "InferencePool", ("v1",)),
)


def definition(group: str, kind: str, versions: tuple[str, ...]) -> Manifest:
    plural = f"{kind.lower()}es" if kind.endswith("s") else f"{kind.lower()}s"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    # A group of Kubernetes' own is served with an approval only.
    approved = {"api-approved.kubernetes.io": "https://github.com/kubernetes/kubernetes/pull/1"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}", "annotations": approved},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == versions[0],
                    "schema": {"openAPIV3Schema": anything},
                }
                for version in versions
            ],
        },
    }


def as_created(document: Manifest) -> Manifest:
    """With what the API server and the bed's KEDA ask for; no replica is started."""
    space = document["metadata"]["namespace"]
    moved = {"metadata namespace": "rag"} if space == "llm" else {}
    if document["kind"] == "Deployment":
        labels = document["spec"]["template"]["metadata"]["labels"]
        return edited(document, {**moved, "spec selector": {"matchLabels": labels}})
    if document["kind"] == "ScaledObject":
        return edited(document, {**moved, "metadata annotations": PAUSED})
    return edited(document, moved)


@pytest.fixture(scope="module")
def served(site: Site) -> Iterator[beds.Bed]:
    bed = site.bed
    definitions = [definition(*one) for one in KINDS]
    bed.apply(*definitions)
    bed.wait_for_kinds()
    namespaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one}} for one in SPACES
    ]
    bed.apply(*namespaces)
    yield bed
    for one in SPACES:
        bed.kubectl("delete", "namespace", one, "--wait=false")
    kinds.remove(bed, definitions)


def test_agents_of_both_versions_are_read_from_a_cluster(served: beds.Bed) -> None:
    text = KAGENT.read_text(encoding="utf-8")
    text = text.replace("qwen3-32b.llm.svc", "qwen3-32b.rag.svc")
    served.apply(*(as_created(one) for one in yaml.safe_load_all(text)))

    words = ["agents", "--kubeconfig", str(served.kubeconfig("admin")), "-o", "json"]
    result = CliRunner().invoke(main, words)

    assert result.exit_code == 0, result.output
    found = {
        one["scaledObject"]: {agent["agent"]: agent["replicas"] for agent in one["agents"]}
        for one in json.loads(result.output)["models"]
    }
    assert found == {
        "rag/qwen3-32b": {"agents/research": 2, "agents/reviewer": None, "agents/support": 6},
        "rag/llama-70b": {"agents/writer": None},
    }


def test_what_collides_is_found_in_a_cluster(served: beds.Bed) -> None:
    place = {"metadata namespace": "rag", "metadata annotations": PAUSED}
    data_nodes: dict[str, Any] = {
        **place,
        "metadata name": "rag-data-nodes",
        "spec scaleTargetRef name": "rag-milvus-datanode",
    }
    agent: Manifest = {
        "apiVersion": "kagent.dev/v1alpha2",
        "kind": "Agent",
        "metadata": {"name": "support", "namespace": "agents"},
        "spec": {"declarative": {"modelConfig": "qwen", "deployment": {"replicas": 2}}},
    }
    served.apply(
        edited(SCALED, data_nodes),
        edited(MILVUS, {"metadata namespace": "rag", "spec components dataNode replicas": 3}),
        edited(
            VERTICAL,
            {
                "metadata namespace": "rag",
                MODE: "Recreate",
                "spec targetRef name": "rag-milvus-datanode",
            },
        ),
        agent,
    )

    words = ["lint", "--live", "--kubeconfig", str(served.kubeconfig("admin")), "-o", "json"]
    report = json.loads(CliRunner().invoke(main, words).output)

    found = {(one["rule"], one["subject"]) for one in report["findings"]}
    assert {
        ("FS641", "ScaledObject rag/rag-data-nodes"),
        ("FS601", "VerticalPodAutoscaler rag/qwen3-32b"),
        ("FS651", "Agent agents/support"),
    } <= found
    assert report["notes"] == []
