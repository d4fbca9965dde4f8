"""Pods that start together or not at all: the PodGroup of kube-scheduler and of its plugins."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from fleet.cluster.fields import Json, UnreadableObjectError, namespaced_name_of, part, text
from fleet.cluster.pods import Pod


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


def without_plain_groups(pods: Iterable[Pod], groups: Iterable[PodGroup]) -> tuple[Pod, ...]:
    """The pods, without the group of those whose group is known to be no gang."""
    sizes = {group.name: group.size for group in sorted(groups, key=lambda one: one.size or 0)}
    plain = {name for name, size in sizes.items() if size is None}
    if not plain:
        return tuple(pods)
    return tuple(
        replace(pod, scheduling_group=None)
        if f"{pod.namespace}/{pod.scheduling_group}" in plain
        else pod
        for pod in pods
    )
