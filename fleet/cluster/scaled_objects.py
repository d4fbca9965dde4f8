"""KEDA's ScaledObjects, as far as they say which workload has which replicas."""

from dataclasses import dataclass
from typing import Final

from fleet.cluster.fields import Json, namespaced_name_of, part, text
from fleet.cluster.owners import Workload

_KIND: Final = "Deployment"
"""Of a target that names none, as KEDA has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledObject:
    """A `keda.sh/v1alpha1` ScaledObject."""

    name: str
    """With its namespace."""
    uid: str
    target: Workload | None
    """That it scales; None = it names none."""


def scaled_object_of(document: Json) -> ScaledObject:
    """The scaled object of an API object.

    Raises:
        UnreadableObjectError: with the field that is not as the API has it.
    """
    metadata, target = part(document, "metadata"), part(document, "spec", "scaleTargetRef")
    name = text(target, "name")
    return ScaledObject(
        name=namespaced_name_of(document),
        uid=text(metadata, "uid") or "",
        target=Workload(
            kind=text(target, "kind") or _KIND,
            namespace=text(metadata, "namespace") or "",
            name=name,
        )
        if name
        else None,
    )
