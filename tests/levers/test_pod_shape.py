"""What our pods copy of a real one: where it may run, but not on which node it does."""

from typing import Any

import pytest

from tests.levers.rounds import POD_SPEC, acted, body_of, order, plan, world
from tests.levers.toy_store import Document
from tests.policies.pools import busy, pool

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
NAME = "kubernetes.io/hostname"


def label(key: str) -> Document:
    return {"key": key, "operator": "In", "values": ["x"]}


def required(*terms: Document) -> Document:
    return {REQUIRED: {"nodeSelectorTerms": list(terms)}}


def preferred(*terms: Document) -> Document:
    return {PREFERRED: [{"weight": 1, "preference": term} for term in terms]}


ZONE = {"matchExpressions": [label("zone")]}
BY_NAME = {"matchFields": [label("metadata.name")]}
BY_LABEL = {"matchExpressions": [label(NAME)]}


def copied(**spec: Any) -> Document:
    """The pod of the buffer that orders a node of a pool with such a pod."""
    state = pool(busy("a", 2), gpus_per_node=2, demand_gpus=2.0)
    done = acted(state, plan(orders=(order(1),)), world(state), pod_spec={**POD_SPEC, **spec})
    template, _ = done.changes
    found: Document = body_of(template)["template"]["spec"]
    return found


def test_the_name_of_its_node_is_no_label_of_a_new_one() -> None:
    # As Kueue's topology-aware scheduling writes it.
    found = copied(nodeSelector={"team": "llm", NAME: "node-a"})
    assert found["nodeSelector"] == {"team": "llm", "karpenter.sh/nodepool": "h100"}


@pytest.mark.parametrize(
    ("affinity", "kept"),
    [
        pytest.param(required(ZONE), required(ZONE), id="a zone"),
        pytest.param(required(BY_NAME), None, id="a DaemonSet's pod"),
        pytest.param(required(BY_LABEL), None, id="a node by its label"),
        pytest.param(required({**ZONE, **BY_NAME}), required(ZONE), id="a zone and a node"),
        pytest.param(required(ZONE, BY_NAME), None, id="a zone, or a node in any"),
        pytest.param(preferred(ZONE), preferred(ZONE), id="rather a zone"),
        pytest.param(preferred(ZONE, BY_LABEL), preferred(ZONE), id="rather a zone or a node"),
        pytest.param(
            required(ZONE) | preferred(ZONE), required(ZONE) | preferred(ZONE), id="both of a zone"
        ),
    ],
)
def test_an_affinity_is_copied_without_what_names_nodes(
    affinity: Document, kept: Document | None
) -> None:
    found = copied(affinity={"nodeAffinity": affinity}).get("affinity")
    assert found == (None if kept is None else {"nodeAffinity": kept})
