"""Objects of a workload as a user applies them, made from the examples."""

from collections.abc import Mapping
from typing import Any

import yaml

from tests.e2e.bed import ROOT

NAMESPACE = "llm"
EXAMPLES = ROOT / "deploy" / "examples"


def documents(name: str) -> list[dict[str, Any]]:
    """The objects of one example file."""
    return [one for one in yaml.safe_load_all((EXAMPLES / name).read_text()) if one]


def trigger_metadata(**changes: str | None) -> dict[str, str]:
    """The trigger's metadata of the example; None = left out."""
    (made,) = documents("scaledobject.yaml")
    (trigger,) = made["spec"]["triggers"]
    metadata = {**trigger["metadata"], **changes}
    return {key: text for key, text in metadata.items() if text is not None}


def scaled_object(
    name: str,
    metadata: Mapping[str, str],
    *,
    spec: Mapping[str, object],
    behavior: Mapping[str, object] | None = None,
    push: bool = True,
    beside: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """The ScaledObject of the example for the Deployment of this name.

    Args:
        name: of both.
        metadata: of the trigger.
        spec: in place of the example's; None = left out.
        behavior: of the HPA, in place of the example's; empty = the HPA's own.
        push: trigger `external-push`, else `external`.
        beside: another trigger.
    """
    (made,) = documents("scaledobject.yaml")
    made["metadata"]["name"] = name
    made["spec"]["scaleTargetRef"]["name"] = name
    made["spec"] |= spec
    made["spec"] = {key: value for key, value in made["spec"].items() if value is not None}
    if behavior is not None:
        made["spec"]["advanced"] = (
            {"horizontalPodAutoscalerConfig": {"behavior": behavior}} if behavior else {}
        )
    (trigger,) = made["spec"]["triggers"]
    trigger["type"] = "external-push" if push else "external"
    trigger["metadata"] = dict(metadata)
    made["spec"]["triggers"] += [beside] if beside is not None else []
    return made


def deployment(
    name: str,
    replicas: int,
    annotations: Mapping[str, str],
    *,
    spec: Mapping[str, Any] | None = None,
    namespace: str = NAMESPACE,
) -> dict[str, Any]:
    """A Deployment of pods with these annotations.

    Args:
        name: also the pods' label `app`.
        replicas: how many pods.
        annotations: of each pod.
        spec: of each pod; None = it asks for a GPU.
        namespace: of the Deployment.
    """
    labels = {"app": name}
    spec = spec or {"containers": [engine()], "terminationGracePeriodSeconds": 1}
    template = {
        "metadata": {"labels": labels, "annotations": dict(annotations)},
        "spec": dict(spec),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": template,
        },
    }


def engine() -> dict[str, Any]:
    """A container that asks for a GPU."""
    return {
        "name": "engine",
        "image": "engine",
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
