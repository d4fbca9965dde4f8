"""Pods that start together or not at all: the PodGroup of kube-scheduler and of its plugins."""

from dataclasses import dataclass

from fleet.cluster.fields import Json, UnreadableObjectError, namespaced_name_of, part, text


@dataclass(frozen=True, slots=True, kw_only=True)
class PodGroup:
    """A PodGroup of `scheduling.k8s.io` or `scheduling.x-k8s.io`."""

    name: str
    """With its namespace."""
    uid: str
    size: int | None
    """Pods that must fit together; None = the group is no gang."""


def pod_group_of(document: Json) -> PodGroup:
    """The pod group of an API object.

    Raises:
        UnreadableObjectError: it is none, or its size is no number.
    """
    spec = part(document, "spec")
    gang = part(spec, "schedulingPolicy", "gang")
    size = spec.get("minMember", gang.get("minCount"))
    if size is not None and not isinstance(size, int):
        raise UnreadableObjectError(f"minMember or minCount is {str(size)[:64]!r}, no number")
    return PodGroup(
        name=namespaced_name_of(document),
        uid=text(part(document, "metadata"), "uid") or "",
        size=size if size is not None and size > 0 else None,
    )
