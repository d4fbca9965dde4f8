"""docs/integrations/kserve.md: its object fits KServe's CRD, and its ScaledObject Foresail."""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
import yaml

from policies.lint.finding import Severity
from scaler.sources.catalogue import load, shipped
from scaler.trigger import Mode
from scaler.trigger_parsing import AllowedOptions, parse
from tests.deploy.schema import faults
from tests.docs.snippets import ROOT, snippets
from tests.lint.manifests import lint

PAGE = ROOT / "docs" / "integrations" / "kserve.md"
CRD: Mapping[str, Any] = json.loads((ROOT / "tests" / "schemas" / "kserve.json").read_text())
(SERVICE,) = (
    yaml.safe_load(one.text)
    for one in snippets(PAGE)
    if one.text.startswith("apiVersion: serving.kserve.io")
)


def scaled_object(service: Mapping[str, Any]) -> dict[str, Any]:
    """As KServe makes it: `expectedDirectScaledObject` of its scaling.go."""
    name, scaling = service["metadata"]["name"], service["spec"]["scaling"]
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": f"{name}-kserve-keda", "namespace": service["metadata"]["namespace"]},
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": f"{name}-kserve",
            },
            "minReplicaCount": scaling.get("minReplicas", 1),
            "maxReplicaCount": scaling["maxReplicas"],
            **scaling["keda"],
        },
    }


def test_an_llm_inference_service_with_our_trigger_fits_the_crd() -> None:
    assert (SERVICE["apiVersion"], SERVICE["kind"]) == (CRD["apiVersion"], CRD["kind"])
    assert list(faults(SERVICE, CRD["schema"])) == []
    scaling = SERVICE["spec"]["scaling"]
    assert scaling["minReplicas"] <= scaling["maxReplicas"]  # a rule of the CRD
    assert "wva" not in scaling


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("trigger", [], ".spec.scaling.keda.trigger: unknown field"),
        ("fallback", {"replicas": 2}, ".spec.scaling.keda.fallback.failureThreshold: is missing"),
        (
            "triggers",
            [{"type": "external-push"}],
            ".spec.scaling.keda.triggers[0].metadata: is missing",
        ),
        ("cooldownPeriod", -1, ".spec.scaling.keda.cooldownPeriod: -1 is below 0"),
    ],
)
def test_what_the_crd_does_not_take_is_found(key: str, value: object, fault: str) -> None:
    wrong = deepcopy(SERVICE)
    wrong["spec"]["scaling"]["keda"][key] = value
    assert list(faults(wrong, CRD["schema"])) == [fault]


def test_the_scaled_object_that_kserve_makes_has_no_mistake() -> None:
    found = [one for one in lint(scaled_object(SERVICE)) if one.severity is not Severity.INFO]
    assert found == []


def test_its_trigger_is_one_that_serve_takes_and_names_the_model_that_is_served() -> None:
    (trigger,) = SERVICE["spec"]["scaling"]["keda"]["triggers"]
    allowed = AllowedOptions(
        engines={name: load(name).survives_zero for name in shipped()},
        sources=frozenset({"main"}),
        default_source="main",
    )
    parsed = parse(trigger["metadata"], allowed)
    assert parsed.model == SERVICE["spec"]["model"]["name"]
    assert parsed.mode is Mode.ADVISE
    assert (parsed.min_replicas, parsed.max_replicas) == (1, 8)
