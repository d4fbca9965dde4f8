"""Workloads whose pods a selector means."""

from collections.abc import Mapping
from typing import Final

from fleet.documents import Json, listed, part, text
from policies.lint.objects import Inputs, Object
from policies.lint.pods import POD_TYPES, pods_in

_WORKLOADS_MAX: Final = 100
"""Of one label, or of one scope, that a selector is compared with."""
_GIVEN_LATER: Final = (
    "pod-template-hash",
    "controller-revision-hash",
    "statefulset.kubernetes.io/",
    "apps.kubernetes.io/",
    "leaderworkerset.sigs.k8s.io/",
)
"""Labels that controllers add to pods: a template does not tell that a pod has none."""


def selected(scope: str, selector: Json, inputs: Inputs) -> list[Object]:
    """The workloads of a scope that a label selector means; an empty one means all."""
    labels = part(selector, "matchLabels")
    if not labels:
        having = inputs.once(workloads_by_scope).get(scope, ())
    else:
        key, value = next(iter(labels.items()))
        if not isinstance(value, str):
            return []
        having = inputs.once(workloads_by_label).get((scope, key, value), ())
    return [
        one
        for one in having[:_WORKLOADS_MAX]
        if any(selects(selector, pod.labels) for pod in pods_in(one))
    ]


def workloads_by_scope(inputs: Inputs) -> Mapping[str, list[Object]]:
    found: dict[str, list[Object]] = {}
    for one in inputs.of(*POD_TYPES):
        found.setdefault(one.scope, []).append(one)
    return found


def workloads_by_label(inputs: Inputs) -> Mapping[tuple[str, str, object], list[Object]]:
    """Workloads by scope, key and value of each label of their pods."""
    found: dict[tuple[str, str, object], list[Object]] = {}
    for one in inputs.of(*POD_TYPES):
        labels = {
            (key, value)
            for pod in pods_in(one)
            for key, value in pod.labels.items()
            if isinstance(value, str)
        }
        for key, value in labels:
            found.setdefault((one.scope, key, value), []).append(one)
    return found


def selects(selector: Json, labels: Mapping[str, object]) -> bool:
    wanted = part(selector, "matchLabels")
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_meets(one, labels) for one in listed(selector, "matchExpressions"))


def _meets(expression: Json, labels: Mapping[str, object]) -> bool:
    key, values = text(expression, "key") or "", expression.get("values")
    among = isinstance(values, list) and labels.get(key) in values
    match text(expression, "operator"):
        case "In":
            return key in labels and among
        case "NotIn":
            return not among and not key.startswith(_GIVEN_LATER)
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels and not key.startswith(_GIVEN_LATER)
        case _:
            return False
