"""Kueue's Workloads and ResourceFlavors: what is queued, what is admitted, and on which machines.

Kueue owns `spec.suspend` and the scheduling gates of what names one of its queues. It is read, and
nothing of it is ever written.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fleet.cluster.fields import (
    Json,
    conditions,
    listed,
    name_of,
    namespaced_name_of,
    part,
    seconds,
    strings,
    text,
    whole_number,
)
from fleet.cluster.gpu_resources import WHOLE
from fleet.cluster.jobs.gang_object import PodSet, count, pod_set
from fleet.cluster.owners import Owner, owners_of

_NO_NODES: Final = "TopologyPlacementFailed"
_PENDING: Final = "Pending"
"""The reason of all that wait, unless a gate of Kueue's lets it say more; its sentence does."""
_NO_ROOM: Final = re.compile(r'topology "[^"]*" (doesn\'t allow|allows) to fit')
_QUOTA: Final = "QuotaReserved"
_WHY_CHARACTERS_MAX: Final = 200
_MESSAGE_CHARACTERS_MAX: Final = 4096


class Admission(StrEnum):
    """How far Kueue has let a workload in."""

    PENDING = "pending"
    """No quota is reserved for it."""
    LACKS_NODES = "lacks nodes"
    """Its quota is free, and its topology has no room for it; more nodes would be room."""
    RESERVED = "quota reserved"
    """Admission checks, such as a ProvisioningRequest, have not all agreed."""
    ADMITTED = "admitted"
    INACTIVE = "deactivated"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class KueueWorkload:
    """A `kueue.x-k8s.io` Workload: the demand that Kueue admits as one."""

    name: str
    """With its namespace."""
    uid: str
    owners: tuple[Owner, ...]
    """What it is of: a job, or the pods of a group."""
    queue: str
    """The LocalQueue."""
    admission: Admission
    why: str = ""
    """Of a pending one: what Kueue says of it."""
    evicted: bool = False
    """What it had was taken back."""
    checks: tuple[str, ...] = ()
    """Admission checks that have not agreed."""
    flavors: tuple[str, ...] = ()
    """ResourceFlavors that its GPUs are given."""
    pod_sets: tuple[PodSet, ...]
    """With the numbers that were admitted, which may be less than asked."""
    created_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceFlavor:
    """A `kueue.x-k8s.io` ResourceFlavor: machines that a quota is of."""

    name: str
    uid: str
    node_labels: Mapping[str, str]
    """That pods of it get as a node selector."""


def kueue_workload_of(document: Json) -> KueueWorkload:
    """The workload of an API object.

    Raises:
        UnreadableObjectError: with the field that is not as the API has it.
    """
    spec, status, metadata = (part(document, one) for one in ("spec", "status", "metadata"))
    admission = part(status, "admission")
    quota = next((one for one in listed(status, "conditions") if one.get("type") == _QUOTA), {})
    held = {one.type for one in conditions(status) if one.holds}
    reason, message = text(quota, "reason") or "", text(quota, "message") or ""
    why = message if reason in {"", _PENDING} else reason
    return KueueWorkload(
        name=namespaced_name_of(document),
        uid=text(metadata, "uid") or "",
        owners=tuple(owners_of(metadata)),
        queue=text(spec, "queueName") or "",
        admission=_admission(
            held,
            is_active=spec.get("active") is not False,
            lacks_nodes=_lacks_nodes(spec, reason, message),
        ),
        why="" if _QUOTA in held else why[:_WHY_CHARACTERS_MAX],
        evicted="Evicted" in held,
        checks=tuple(
            text(one, "name") or ""
            for one in listed(status, "admissionChecks")
            if text(one, "state") != "Ready"
        ),
        flavors=tuple(dict.fromkeys(_flavors(admission))),
        pod_sets=tuple(_pod_sets(document, spec, admission)),
        created_seconds=seconds(metadata, "creationTimestamp"),
    )


def _admission(held: set[str], *, is_active: bool, lacks_nodes: bool) -> Admission:
    if "Finished" in held:
        return Admission.FINISHED
    if not is_active:
        return Admission.INACTIVE
    if "Admitted" in held:
        return Admission.ADMITTED
    if _QUOTA in held:
        return Admission.RESERVED
    return Admission.LACKS_NODES if lacks_nodes else Admission.PENDING


def _lacks_nodes(spec: Json, reason: str, message: str) -> bool:
    """Whether more nodes are room for it; within one domain of a topology they need not be."""
    in_one_domain = any(
        text(part(one, "topologyRequest"), "required") for one in listed(spec, "podSets")
    )
    no_room = reason == _NO_NODES or _NO_ROOM.search(message[:_MESSAGE_CHARACTERS_MAX])
    return bool(no_room) and "quota" not in message and not in_one_domain


def _flavors(admission: Json) -> Iterator[str]:
    for one in listed(admission, "podSetAssignments"):
        given = strings(one, "flavors")
        yield from (flavor for name, flavor in given.items() if name in WHOLE)


def _pod_sets(document: Json, spec: Json, admission: Json) -> Iterator[PodSet]:
    admitted = {
        text(one, "name"): whole_number(one, "count")
        for one in listed(admission, "podSetAssignments")
    }
    for one in listed(spec, "podSets"):
        name = text(one, "name") or ""
        pods = admitted.get(name)
        asked = count(one, "count") if pods is None else max(0, pods)
        yield pod_set(name, asked, document, part(one, "template"))


def resource_flavor_of(document: Json) -> ResourceFlavor:
    """The flavour of an API object.

    Raises:
        UnreadableObjectError: with the field that is not as the API has it.
    """
    return ResourceFlavor(
        name=name_of(document),
        uid=text(part(document, "metadata"), "uid") or "",
        node_labels=strings(part(document, "spec"), "nodeLabels"),
    )
