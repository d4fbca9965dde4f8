"""Karpenter's objects: NodeClaims, NodePools, and the capacity buffers that hold room for pods."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from fleet.annotations import DO_NOT_DISRUPT
from fleet.cluster.field_managers import git_owner_of, git_tool, managers_of
from fleet.cluster.fields import (
    Condition,
    Json,
    Taint,
    amounts,
    condition,
    conditions,
    go_duration_seconds,
    listed,
    name_of,
    namespaced_name_of,
    part,
    seconds,
    strings,
    taints,
    text,
    texts,
    whole_number,
)
from fleet.cluster.gpu_resources import refuse_absurd
from fleet.cluster.nodes import (
    INSTANCE_TYPE,
    KARPENTER_POOL,
    CapacityType,
    capacity_type_of,
    price_of,
)

LAUNCH_LIMIT_SECONDS: Final = 300.0
"""After which Karpenter gives a launch up; no flag sets it (v1.14)."""
REGISTRATION_LIMIT_SECONDS: Final = 900.0
"""After which Karpenter gives up a machine that has not registered, from its creation on."""
_REQUESTED_DRIVERS: Final = "karpenter.sh/requested-dra-drivers"
_EKS: Final = "eks.amazonaws.com"
_EKS_POOLS: Final = frozenset({"general-purpose", "system"})
_AKS_RELEASE: Final = "aks-managed-karpenter-overlay"
"""Of the Helm release by which AKS's node auto-provisioning makes its NodePools `default` and
`system-surge`."""
_HELM_RELEASE: Final = "meta.helm.sh/release-name"
_CLOUD_MARKS: Final = {
    "app.kubernetes.io/managed-by": "eks",
    "addonmanager.kubernetes.io/mode": None,
}
"""Labels of pools that a cloud made, with their value where only one means that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What a node must be like, of a NodeClaim or of a NodePool's template."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeClaim:
    """A `karpenter.sh/v1` NodeClaim: a machine from its order to its end."""

    name: str
    uid: str
    version: str = ""
    """Changes with each change of the object; empty = it was not told."""
    labels: Mapping[str, str]
    created_seconds: float | None = None
    deleted_seconds: float | None = None
    """Since when it is being deleted; None = it is not."""
    pool: str | None = None
    """None = no NodePool made it."""
    node: str | None = None
    """None = it has not registered yet."""
    provider_id: str | None = None
    """Of the machine, as its cloud has it."""
    usd_per_gpu_hour: float | None = None
    """By its annotation; None = it has none."""
    requirements: tuple[Requirement, ...] = ()
    requests: Mapping[str, Fraction]
    """What was ordered at the least."""
    capacity: Mapping[str, Fraction]
    """What the machine has; empty until it is launched."""
    taints: tuple[Taint, ...] = ()
    expires_after_seconds: float | None = None
    """After its creation; nothing stops that. None = never."""
    termination_grace_seconds: float | None = None
    """After which its end waits for no pod; None = it waits for ever."""
    machine_image: str | None = None
    """None = it is not launched, or the cloud does not tell."""
    conditions: tuple[Condition, ...] = ()
    for_drivers: bool = False
    """It was bought for pods that ask for devices by ResourceClaims."""
    do_not_disrupt: bool = False
    """Its Node will say so from its registration on."""

    @property
    def instance_type(self) -> str | None:
        return self.labels.get(INSTANCE_TYPE)

    @property
    def zone(self) -> str | None:
        return self.labels.get("topology.kubernetes.io/zone")

    @property
    def capacity_type(self) -> CapacityType | None:
        """None = it is not launched yet."""
        return capacity_type_of(self.labels)

    def since_seconds(self, kind: str) -> float | None:
        """Since when a condition holds; None = it does not, or does not tell."""
        found = condition(self.conditions, kind)
        return found.since_seconds if found is not None and found.holds else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many nodes of a pool may be disrupted at once."""

    nodes: str
    """A number, or a percentage that is rounded up."""
    reasons: tuple[str, ...] = ()
    """Empty = all."""
    schedule: str | None = None
    duration: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePool:
    """A `karpenter.sh/v1` NodePool."""

    name: str
    uid: str
    limits: Mapping[str, Fraction]
    """A resource that is not named has no limit."""
    used: Mapping[str, Fraction]
    weight: int | None = None
    replicas: int | None = None
    """Of a static pool; None = it is dynamic."""
    labels: Mapping[str, str]
    """Of its nodes."""
    requirements: tuple[Requirement, ...] = ()
    taints: tuple[Taint, ...] = ()
    consolidate_after: str | None = None
    budgets: tuple[Budget, ...] = ()
    conditions: tuple[Condition, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    node_class_group: str | None = None
    """API group of its NodeClass, which tells the cloud."""
    built_in: bool = False
    """A service of the cloud made it and keeps it as it is, such as EKS Auto Mode."""
    git_owner: str | None = None
    """The GitOps tool that keeps it as it is in Git."""
    replicas_managers: frozenset[str] = frozenset()
    """Field managers of `spec.replicas`; empty = none is told."""

    @property
    def replicas_in_git(self) -> str | None:
        """The GitOps tool that sets its size; None = it does not."""
        if self.replicas_managers:
            return next(filter(None, map(git_tool, sorted(self.replicas_managers))), None)
        return self.git_owner


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityBuffer:
    """An `autoscaling.x-k8s.io/v1beta1` CapacityBuffer: room that is kept for pods to come."""

    name: str
    """With its namespace."""
    uid: str
    strategy: str | None = None
    template: str | None = None
    """PodTemplate that says what one replica asks for."""
    scalable: str | None = None
    """`Kind/name` of the workload that says it instead."""
    replicas: int | None = None
    percentage: int | None = None
    limits: Mapping[str, Fraction]
    replicas_held: int | None = None
    """By its status; None = no controller has written one yet."""
    conditions: tuple[Condition, ...] = ()


def node_claim_of(document: Json) -> NodeClaim:
    """The node claim of an API object.

    Raises:
        UnreadableObjectError: with the field that is not as the API has it, or the machine has more
            GPUs than any has.
    """
    metadata, spec, status = (part(document, name) for name in ("metadata", "spec", "status"))
    labels = strings(metadata, "labels")
    requests = amounts(part(spec, "resources"), "requests")
    capacity = amounts(status, "capacity")
    refuse_absurd(requests)
    refuse_absurd(capacity)
    return NodeClaim(
        name=name_of(document),
        uid=text(metadata, "uid") or "",
        version=text(metadata, "resourceVersion") or "",
        labels=labels,
        created_seconds=seconds(metadata, "creationTimestamp"),
        deleted_seconds=seconds(metadata, "deletionTimestamp"),
        pool=labels.get(KARPENTER_POOL),
        node=text(status, "nodeName"),
        provider_id=text(status, "providerID"),
        usd_per_gpu_hour=price_of(strings(metadata, "annotations"))[0],
        requirements=_requirements(spec),
        requests=requests,
        capacity=capacity,
        taints=taints(spec),
        expires_after_seconds=go_duration_seconds(spec.get("expireAfter")),
        termination_grace_seconds=go_duration_seconds(spec.get("terminationGracePeriod")),
        machine_image=text(status, "imageID"),
        conditions=conditions(status),
        for_drivers=bool(text(part(metadata, "annotations"), _REQUESTED_DRIVERS)),
        do_not_disrupt=text(part(metadata, "annotations"), DO_NOT_DISRUPT) == "true",
    )


def node_pool_of(document: Json) -> NodePool:
    """The node pool of an API object.

    Raises:
        UnreadableObjectError: with the field that is not as the API has it.
    """
    spec, status = part(document, "spec"), part(document, "status")
    template, disruption = part(spec, "template", "spec"), part(spec, "disruption")
    metadata = part(document, "metadata")
    return NodePool(
        name=name_of(document),
        uid=text(metadata, "uid") or "",
        limits=amounts(spec, "limits"),
        used=amounts(status, "resources"),
        weight=whole_number(spec, "weight"),
        replicas=whole_number(spec, "replicas"),
        labels=strings(part(spec, "template", "metadata"), "labels"),
        requirements=_requirements(template),
        taints=taints(template),
        consolidate_after=text(disruption, "consolidateAfter"),
        budgets=tuple(
            Budget(
                nodes=str(one.get("nodes") or ""),
                reasons=texts(one, "reasons"),
                schedule=text(one, "schedule"),
                duration=text(one, "duration"),
            )
            for one in listed(disruption, "budgets")
        ),
        conditions=conditions(status),
        annotations=strings(metadata, "annotations"),
        node_class_group=text(part(template, "nodeClassRef"), "group"),
        built_in=_built_in(metadata, text(part(template, "nodeClassRef"), "group")),
        git_owner=git_owner_of(metadata),
        replicas_managers=managers_of(metadata, "spec", "replicas"),
    )


def buffer_of(document: Json) -> CapacityBuffer:
    """The capacity buffer of an API object.

    Raises:
        UnreadableObjectError: with the field that is not as the API has it.
    """
    spec, status = part(document, "spec"), part(document, "status")
    scalable = part(spec, "scalableRef")
    return CapacityBuffer(
        name=namespaced_name_of(document),
        uid=text(part(document, "metadata"), "uid") or "",
        strategy=text(spec, "provisioningStrategy"),
        template=text(part(spec, "podTemplateRef"), "name"),
        scalable=f"{text(scalable, 'kind')}/{text(scalable, 'name')}" if scalable else None,
        replicas=whole_number(spec, "replicas"),
        percentage=whole_number(spec, "percentage"),
        limits=amounts(spec, "limits"),
        replicas_held=whole_number(status, "replicas"),
        conditions=conditions(status),
    )


def _built_in(metadata: Json, node_class_group: str | None) -> bool:
    labels = strings(metadata, "labels")
    release = strings(metadata, "annotations").get(_HELM_RELEASE, "")
    if release.startswith(_AKS_RELEASE):
        return True
    if node_class_group == _EKS and text(metadata, "name") in _EKS_POOLS:
        return True
    return any(
        key in labels and value in {None, labels[key]} for key, value in _CLOUD_MARKS.items()
    )


def _requirements(spec: Json) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(
            key=text(one, "key") or "",
            operator=text(one, "operator") or "",
            values=texts(one, "values"),
        )
        for one in listed(spec, "requirements")
    )
