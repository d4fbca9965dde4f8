"""What the external metrics API says, as the JSON objects of Kubernetes.

Discovery has three documents: the groups, the versions of one, and the resources of a version. A
value is an ExternalMetricValueList, and a fault is a Status, which clients show to people.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias

GROUP: Final = "external.metrics.k8s.io"
VERSION: Final = "v1beta1"
WORKLOAD_LABEL: Final = "workload"
"""The label by which an HPA's selector names a model of the watch list."""

Json: TypeAlias = dict[str, object]

_GROUP_VERSION: Final = f"{GROUP}/{VERSION}"
_REASONS: Final = {
    400: "BadRequest",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    503: "ServiceUnavailable",
}


class SelectorError(ValueError):
    """A label selector that names no model."""


def group() -> Json:
    version = {"groupVersion": _GROUP_VERSION, "version": VERSION}
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": GROUP,
        "versions": [version],
        "preferredVersion": version,
    }


def groups() -> Json:
    named = {key: value for key, value in group().items() if key not in {"kind", "apiVersion"}}
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [named]}


def resources(metric: str) -> Json:
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": _GROUP_VERSION,
        "resources": [
            {
                "name": metric,
                "singularName": "",
                "namespaced": True,
                "kind": "ExternalMetricValueList",
                "verbs": ["get"],
            }
        ],
    }


def values(metric: str, workload: str, replicas: int, *, made_at_seconds: float) -> Json:
    """The one value of a model.

    Args:
        made_at_seconds: when the reading behind it was made, in Unix time.
    """
    made_at = datetime.fromtimestamp(int(made_at_seconds), tz=UTC)
    return {
        "kind": "ExternalMetricValueList",
        "apiVersion": _GROUP_VERSION,
        "metadata": {},
        "items": [
            {
                "metricName": metric,
                "metricLabels": {WORKLOAD_LABEL: workload},
                "timestamp": made_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "value": str(replicas),
            }
        ],
    }


def status(code: int, message: str) -> Json:
    """A fault; an HPA copies the message into its events and its condition ScalingActive."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": _REASONS[code],
        "code": code,
    }


def workload_of(selector: str) -> str:
    """The name in a selector such as `workload=llama`, as an HPA makes it from `matchLabels`.

    Raises:
        SelectorError: it is another selector; with what to write in its place.
    """
    hint = f"give matchLabels: {{{WORKLOAD_LABEL}: NAME}}, with NAME from the settings' watch list"
    if not selector:
        raise SelectorError(f"the metric's selector is empty: {hint}")
    labels = _equalities(selector)
    if labels is None or set(labels) != {WORKLOAD_LABEL} or not labels[WORKLOAD_LABEL]:
        raise SelectorError(f"the selector {selector[:200]!r} names no workload: {hint}")
    return labels[WORKLOAD_LABEL]


def _equalities(selector: str) -> Mapping[str, str] | None:
    """Label → value; None where a requirement is no equality, or a label is there twice."""
    labels: dict[str, str] = {}
    for requirement in selector.split(","):
        key, equals, value = requirement.partition("=")
        key, value = key.strip(), value.removeprefix("=").strip()
        if not equals or key in labels or any(sign in key + value for sign in "!() ="):
            return None
        labels[key] = value
    return labels
