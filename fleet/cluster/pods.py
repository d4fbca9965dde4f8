"""A pod, as its object tells of it: what it asks for, what it belongs to, how far it has come."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from sys import intern
from typing import Final
from zlib import crc32

from fleet.annotations import (
    DELETION_COST,
    DISRUPTION_COST,
    DO_NOT_DISRUPT,
    PLACEHOLDER,
    RANKED_UNTIL,
    RUN_ID,
)
from fleet.cluster.field_managers import managers_of
from fleet.cluster.fields import (
    Condition,
    Json,
    Toleration,
    UnreadableObjectError,
    as_object,
    condition,
    conditions,
    listed,
    part,
    seconds,
    strings,
    text,
    tolerations,
    whole_number,
)
from fleet.cluster.owners import Owner, Workload, owners_of, workload_of
from fleet.cluster.requests import requests_of

_ENDED: Final = frozenset({"Succeeded", "Failed"})
_RANKED: Final = "karpenter.sh/managed-deletion-cost"
"""Karpenter's mark on pods whose deletion cost it writes (gate `PodDeletionCostManagement`)."""
_COSTS: Final = (DELETION_COST, DISRUPTION_COST, RANKED_UNTIL)
_RUN_ID_VARIABLE: Final = "MLFLOW_RUN_ID"
"""MLflow's client logs to this run in place of a new one."""
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A v1 Pod."""

    name: str
    """With its namespace."""
    uid: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    node: str | None = None
    phase: str = ""
    requests: Mapping[str, Fraction]
    """Of each resource, as kube-scheduler counts it."""
    by_claims: frozenset[str] = frozenset()
    """Extended resources among them that DRA gives the pod, by a claim of its own."""
    claims: tuple[str, ...] = ()
    """ResourceClaims that it names or that were made for it, with their namespace."""
    claims_to_come: tuple[str, ...] = ()
    """Templates, with the namespace, whose claims were not made yet."""
    images: tuple[str, ...] = ()
    """Of its containers, without init containers."""
    priority: int | None = None
    priority_class: str | None = None
    do_not_disrupt: str | None = None
    """The annotation: `true`, or for how long from the start; None = it may be disrupted."""
    owners: tuple[Owner, ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels that its node must have."""
    required_affinity: bool = False
    """It has a required node affinity; what that says is not kept."""
    tolerations: tuple[Toleration, ...] = ()
    gated: bool = False
    """A scheduling gate holds it back: no scheduler and no autoscaler looks at it."""
    scheduling_group: str | None = None
    """The PodGroup of kube-scheduler's own gangs, in the same namespace."""
    run_id: str | None = None
    """The MLflow run that it logs to, by the annotation or by `MLFLOW_RUN_ID`."""
    ray_autoscales: bool | None = None
    """Whether Ray's own autoscaler sizes the RayCluster that it is of; None = it is of none, or
    that was not read."""
    deleted_seconds: float | None = None
    """When it is to be gone; None = it is not being deleted."""
    created_seconds: float | None = None
    started_seconds: float | None = None
    """When the kubelet took it up."""
    conditions: tuple[Condition, ...] = ()
    unscheduled: int | None = None
    """A number for what its scheduler wrote of why it has no node: another text has another number.
    None = nothing of the kind."""
    ip: str | None = None
    host_network: bool = False
    ports: frozenset[int] = frozenset()
    """That its containers declare."""
    first_container_seconds: float | None = None
    """When the first of its containers started, init containers among them: its image was there.
    None = none did, or one started again."""
    containers_started_seconds: float | None = None
    """When the last of its containers started; None = not all did, or one started again."""
    restarts: int = 0
    """Of all its containers, sidecars among them."""
    waits_for: tuple[str, ...] = ()
    """Why containers of it do not run, as the kubelet has it: `ContainerCreating`,
    `ImagePullBackOff`, …"""
    cost_managers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Field managers of the annotations with its costs and their lease, as far as it has them."""
    workload: Workload | None = field(init=False, compare=False)
    """What it is a replica of; None = nothing owns it. It is asked for often: found once."""

    def __post_init__(self) -> None:
        found = workload_of(self.namespace, self.labels, self.owners)
        object.__setattr__(self, "workload", found)

    @property
    def namespace(self) -> str:
        return self.name.partition("/")[0]

    @property
    def ended(self) -> bool:
        return self.phase in _ENDED

    @property
    def taken_up(self) -> bool:
        """The kubelet has it, so what it asks for was there when it came."""
        return self.phase == "Running" or self.started_seconds is not None

    @property
    def ready(self) -> bool:
        found = condition(self.conditions, "Ready")
        return found is not None and found.holds

    @property
    def ranked_by_karpenter(self) -> bool:
        """Whether Karpenter writes its deletion cost itself."""
        managers = self.cost_managers.get(DELETION_COST, frozenset())
        return _RANKED in self.annotations or "karpenter" in managers

    @property
    def may_take_gpus(self) -> bool:
        """It asks for extended resources or by claims; all others have nothing to do with GPUs."""
        extended = any("/" in name for name in self.requests)
        return extended or bool(self.claims or self.claims_to_come)

    @property
    def of_daemon_set(self) -> bool:
        """A DaemonSet made it, for its node."""
        return any(owner.kind == "DaemonSet" and owner.controls for owner in self.owners)

    @property
    def static(self) -> bool:
        """The kubelet made it of a file on its node."""
        return any(owner.kind == "Node" and owner.controls for owner in self.owners)

    @property
    def placeholder(self) -> bool:
        """It only keeps room for others, and its priority says so.

        The label alone does not: any tenant may write it, also on a pod that serves.
        """
        return PLACEHOLDER in self.labels and (self.priority or 0) < 0


def pod_of(document: object) -> Pod:
    """The pod of an API object.

    It comes from the API server, but tenants write it: nothing in it is trusted to be small.

    Raises:
        UnreadableObjectError: with the field that is not as it should be.
    """
    pod = as_object(document, "pod")
    metadata, spec, status = (part(pod, name) for name in ("metadata", "spec", "status"))
    namespace = text(metadata, "namespace") or "default"
    name = f"{namespace}/{text(metadata, 'name') or text(metadata, 'generateName') or ''}"
    try:
        requests = requests_of(spec)
    except UnreadableObjectError as error:
        raise UnreadableObjectError(f"pod {name[:128]}: {error}") from error
    annotations = strings(metadata, "annotations")
    claims, claims_to_come = _claims(namespace, spec, status)
    return Pod(
        name=name,
        uid=text(metadata, "uid") or name,
        labels=strings(metadata, "labels"),
        annotations=annotations,
        node=text(spec, "nodeName"),
        phase=text(status, "phase") or "",
        requests=requests,
        by_claims=_by_claims(status),
        claims=claims,
        claims_to_come=claims_to_come,
        images=tuple(
            intern(image) for one in listed(spec, "containers") if (image := text(one, "image"))
        ),
        priority=whole_number(spec, "priority"),
        priority_class=text(spec, "priorityClassName"),
        do_not_disrupt=annotations.get(DO_NOT_DISRUPT) or None,
        owners=tuple(owners_of(metadata)),
        node_selector=strings(spec, "nodeSelector"),
        required_affinity=bool(part(spec, "affinity", "nodeAffinity").get(_REQUIRED)),
        tolerations=tolerations(spec),
        gated=any(True for _ in listed(spec, "schedulingGates")),
        scheduling_group=text(part(spec, "schedulingGroup"), "podGroupName"),
        run_id=annotations.get(RUN_ID) or _variable(spec, _RUN_ID_VARIABLE),
        deleted_seconds=seconds(metadata, "deletionTimestamp"),
        created_seconds=seconds(metadata, "creationTimestamp"),
        started_seconds=seconds(status, "startTime"),
        conditions=conditions(status),
        unscheduled=_unscheduled(status),
        ip=text(status, "podIP"),
        host_network=spec.get("hostNetwork") is True,
        ports=_ports(spec),
        first_container_seconds=_first_container(status),
        containers_started_seconds=_containers_started(spec, status),
        restarts=sum(whole_number(one, "restartCount") or 0 for one in _container_states(status)),
        waits_for=tuple(
            dict.fromkeys(
                intern(reason)
                for one in _container_states(status)
                if (reason := text(part(one, "state", "waiting"), "reason"))
            )
        ),
        cost_managers={
            name: managers_of(metadata, "metadata", "annotations", name)
            for name in _COSTS
            if name in annotations
        },
    )


def _claims(namespace: str, spec: Json, status: Json) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The claims of a pod, and the templates of those that are still to be made."""
    made = {
        text(one, "name"): text(one, "resourceClaimName")
        for one in listed(status, "resourceClaimStatuses")
    }
    names, to_come = [], []
    for one in listed(spec, "resourceClaims"):
        name = text(one, "resourceClaimName") or made.get(text(one, "name"))
        if name is not None:
            names.append(f"{namespace}/{name}")
        # A template need not make a claim: then the status names the entry, and no claim.
        elif text(one, "name") not in made:
            to_come.append(f"{namespace}/{text(one, 'resourceClaimTemplateName')}")
    extended = text(part(status, "extendedResourceClaimStatus"), "resourceClaimName")
    if extended is not None:
        names.append(f"{namespace}/{extended}")
    return tuple(names), tuple(to_come)


def _ports(spec: Json) -> frozenset[int]:
    declared = (
        whole_number(port, "containerPort")
        for container in listed(spec, "containers")
        for port in listed(container, "ports")
    )
    return frozenset(port for port in declared if port is not None)


def _variable(spec: Json, name: str) -> str | None:
    """The first value that a container's environment gives it."""
    values = (
        text(variable, "value")
        for container in listed(spec, "containers")
        for variable in listed(container, "env")
        if text(variable, "name") == name
    )
    return next(filter(None, values), None)


def _by_claims(status: Json) -> frozenset[str]:
    mappings = listed(part(status, "extendedResourceClaimStatus"), "requestMappings")
    return frozenset(filter(None, (text(one, "resourceName") for one in mappings)))


def _unscheduled(status: Json) -> int | None:
    for one in listed(status, "conditions"):
        if text(one, "type") == "PodScheduled" and text(one, "status") == "False":
            said = (text(one, name) or "" for name in ("lastTransitionTime", "reason", "message"))
            return crc32("\n".join(said).encode())
    return None


def _container_states(status: Json) -> list[Json]:
    return [*listed(status, "initContainerStatuses"), *listed(status, "containerStatuses")]


def _first_container(status: Json) -> float | None:
    """When the first container started, where none started again: a restart hides the first."""
    states = _container_states(status)
    if any(one.get("restartCount") for one in states):
        return None
    started = [
        seconds(part(one, "state", how), "startedAt")
        for one in states
        for how in ("running", "terminated")
    ]
    return min((one for one in started if one is not None), default=None)


def _containers_started(spec: Json, status: Json) -> float | None:
    """When the last container started, where each did once: a restart hides the first start."""
    states = list(listed(status, "containerStatuses"))
    if not states or len(states) < len(list(listed(spec, "containers"))):
        return None
    if any(one.get("restartCount") for one in states):
        return None
    started = [seconds(part(one, "state", "running"), "startedAt") for one in states]
    known = [one for one in started if one is not None]
    return max(known) if len(known) == len(started) else None
