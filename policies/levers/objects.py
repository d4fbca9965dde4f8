"""The objects of a cluster that the levers look at: its reading, and what we made."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from fleet.annotations import KEPT_BECAUSE, KEPT_UNTIL, PLACEHOLDER
from fleet.cluster.field_managers import git_owner_of
from fleet.cluster.fields import Condition, Json, conditions, part, seconds, strings, text
from fleet.cluster.karpenter import NodeClaim, NodePool
from fleet.cluster.nodes import CapacityType, Node
from fleet.cluster.pods import Pod
from fleet.cluster.reading import Cluster
from policies.levers.change import Address
from policies.levers.discovery import BUFFER_GROUP, BUFFER_VERSION
from policies.levers.marks import (
    CAPACITY_TYPE,
    DRAINED_AT,
    MANAGED_BY,
    OURS,
    POLICY,
    POOL,
    TEMPLATE_HASH,
    lease_to_write,
)

_LABELS: Final = frozenset({MANAGED_BY, POOL, POLICY, CAPACITY_TYPE, PLACEHOLDER})
PRIORITY_CLASS: Final = Address(
    group="scheduling.k8s.io",
    kind="PriorityClass",
    resource="priorityclasses",
    name="foresail-placeholder",
)


def buffer_address(namespace: str, name: str) -> Address:
    """A CapacityBuffer."""
    return Address(
        group=BUFFER_GROUP,
        version=BUFFER_VERSION,
        kind="CapacityBuffer",
        resource="capacitybuffers",
        namespace=namespace,
        name=name,
    )


def template_address(namespace: str, name: str) -> Address:
    """A PodTemplate."""
    return Address(kind="PodTemplate", resource="podtemplates", namespace=namespace, name=name)


def deployment_address(namespace: str, name: str) -> Address:
    """A Deployment."""
    return Address(
        group="apps", kind="Deployment", resource="deployments", namespace=namespace, name=name
    )


def node_address(name: str) -> Address:
    """A Node."""
    return Address(kind="Node", resource="nodes", name=name)


def pod_address(pod: Pod) -> Address:
    """A Pod."""
    name = pod.name.partition("/")[2]
    return Address(kind="Pod", resource="pods", namespace=pod.namespace, name=name)


def claim_address(name: str) -> Address:
    """A NodeClaim."""
    return Address(group="karpenter.sh", kind="NodeClaim", resource="nodeclaims", name=name)


def pool_address(name: str) -> Address:
    """A NodePool."""
    return Address(group="karpenter.sh", kind="NodePool", resource="nodepools", name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeObject:
    """An object of a kind that we make, as it is now; it may be somebody else's."""

    address: Address
    uid: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    git_owner: str | None = None
    created_seconds: float | None = None
    going: bool = False
    """It is being deleted."""
    replicas: int | None = None
    template: str | None = None
    """PodTemplate that it names."""
    conditions: tuple[Condition, ...] = ()

    @property
    def ours(self) -> bool:
        shared = self.address == PRIORITY_CLASS
        marked = self.labels.get(MANAGED_BY) == OURS and (POOL in self.labels or shared)
        return marked and self.git_owner is None

    @property
    def pool(self) -> str | None:
        return self.labels.get(POOL)

    @property
    def capacity_type(self) -> CapacityType | None:
        value = self.labels.get(CAPACITY_TYPE)
        return next((one for one in CapacityType if one.value == value), None)

    @property
    def because(self) -> str | None:
        return self.annotations.get(KEPT_BECAUSE)

    @property
    def lease_end_seconds(self) -> float | None:
        """None = it tells none, and nothing keeps it."""
        return seconds(self.annotations, KEPT_UNTIL)

    @property
    def drained_seconds(self) -> float | None:
        return seconds(self.annotations, DRAINED_AT)

    @property
    def template_hash(self) -> str | None:
        return self.annotations.get(TEMPLATE_HASH)

    @property
    def our_labels(self) -> Mapping[str, str]:
        """Those that an apply has to state again, or they are taken off."""
        return {key: value for key, value in self.labels.items() if key in _LABELS}

    def stands(
        self, because: str, labels: Mapping[str, str], until_seconds: float, now_seconds: float
    ) -> bool:
        """Whether its marks say that already, and its lease need not be renewed."""
        lease = lease_to_write(self.lease_end_seconds, until_seconds, now_seconds)
        return lease is None and self.because == because and self.our_labels == labels


def made_object_of(address: Address, document: Json) -> MadeObject:
    """The record of an API object.

    Raises:
        UnreadableObjectError: with the field that is not as the API has it.
    """
    metadata, spec, status = (part(document, name) for name in ("metadata", "spec", "status"))
    replicas = spec.get("replicas")
    return MadeObject(
        address=address,
        uid=text(metadata, "uid") or "",
        labels=strings(metadata, "labels"),
        annotations=strings(metadata, "annotations"),
        git_owner=git_owner_of(metadata),
        created_seconds=seconds(metadata, "creationTimestamp"),
        going=text(metadata, "deletionTimestamp") is not None,
        replicas=replicas if isinstance(replicas, int) else None,
        template=text(part(spec, "podTemplateRef"), "name"),
        conditions=conditions(status),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """What there is, each kind by name or UID."""

    nodes: Mapping[str, Node] = field(default_factory=dict)
    claims: Mapping[str, NodeClaim] = field(default_factory=dict)
    pools: Mapping[str, NodePool] = field(default_factory=dict)
    pods: Mapping[str, Pod] = field(default_factory=dict)
    """By UID."""
    cpu_pod_by_node: Mapping[str, str] = field(default_factory=dict)
    """By a Node's name, a pod on it that asks for no device and is no part of the node."""
    made: Mapping[Address, MadeObject] = field(default_factory=dict)
    """Everything of the kinds that we make, in our namespace; others' objects too."""

    @classmethod
    def of(cls, cluster: Cluster, made: Iterable[MadeObject]) -> "Objects":
        """Those of a reading; a kind that was not read is not there."""
        return cls(
            nodes={one.name: one for one in cluster.nodes},
            claims={one.name: one for one in cluster.node_claims or ()},
            pools={one.name: one for one in cluster.node_pools or ()},
            pods={one.uid: one for one in cluster.pods or ()},
            cpu_pod_by_node=cluster.cpu_pod_by_node,
            made={one.address: one for one in made},
        )

    def node_named(self, name: str) -> Node | None:
        """The Node of a NodeClaim's name, else of its own."""
        claim = self.claims.get(name)
        return self.nodes.get(claim.node or "" if claim is not None else name)

    def made_for(self, pool: str, kind: str) -> list[MadeObject]:
        """Our objects of a kind for a pool."""
        return [
            one
            for one in self.made.values()
            if one.ours and one.pool == pool and one.address.kind == kind
        ]
