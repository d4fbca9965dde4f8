"""What was read of one cluster at one moment, a record for each object."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from fleet.cluster.claims import Claim
from fleet.cluster.classes import DeviceClass
from fleet.cluster.devices import Slice
from fleet.cluster.fields import Unreadable
from fleet.cluster.groups import PodGroup, without_plain_groups
from fleet.cluster.jobs.gang_object import GangObject
from fleet.cluster.jobs.kueue import KueueWorkload, ResourceFlavor
from fleet.cluster.jobs.ray import with_autoscaling
from fleet.cluster.karpenter import CapacityBuffer, NodeClaim, NodePool
from fleet.cluster.kinds import GANG_KINDS, Kind, Record
from fleet.cluster.node_classes import NodeClass
from fleet.cluster.nodes import Node
from fleet.cluster.pods import Pod
from fleet.cluster.scaled_objects import ScaledObject
from fleet.cluster.taint_rules import TaintRule

T = TypeVar("T")
_SHOWN_CHARACTERS_MAX: Final = 160

Records = Mapping[Kind, Iterable[Record] | None]
"""None = the kind was not read, and there may be objects of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The records of one cluster."""

    name: str
    nodes: tuple[Node, ...] = ()
    # Of these, None = they were not read, and there may be some.
    pods: tuple[Pod, ...] | None = ()
    slices: tuple[Slice, ...] | None = ()
    claims: tuple[Claim, ...] | None = ()
    classes: tuple[DeviceClass, ...] | None = ()
    taint_rules: tuple[TaintRule, ...] | None = ()
    """None also where one of them cannot be read: it may taint any device."""
    node_pools: tuple[NodePool, ...] | None = ()
    node_claims: tuple[NodeClaim, ...] | None = ()
    node_classes: tuple[NodeClass, ...] = ()
    """Of AWS's two kinds; those that were not read are left out."""
    buffers: tuple[CapacityBuffer, ...] | None = ()
    pod_groups: tuple[PodGroup, ...] = ()
    """Of both kinds; those that were not read are left out."""
    gang_objects: tuple[GangObject, ...] = ()
    """Of all their kinds; those that were not read are left out."""
    kueue_workloads: tuple[KueueWorkload, ...] = ()
    """The same."""
    flavors: tuple[ResourceFlavor, ...] = ()
    """The same."""
    scaled_objects: tuple[ScaledObject, ...] | None = ()
    remarks: tuple[str, ...] = ()
    """What could not be read."""
    recorded_seconds: float | None = None
    """The newest time stamp of a record, which was written then or later; None = it is read now, or
    no object tells a time."""

    @classmethod
    def of(
        cls,
        name: str,
        records: Records,
        remarks: Iterable[str] = (),
        recorded_seconds: float | None = None,
    ) -> "Cluster":
        """A cluster by its records; of a kind that is left out there are none.

        Args:
            name: of the cluster.
            records: by kind.
            remarks: what could not be read; objects that could not be are added.
            recorded_seconds: the newest time stamp of a record.
        """
        groups = (
            *(_of(PodGroup, records.get(Kind.POD_GROUP)) or ()),
            *(_of(PodGroup, records.get(Kind.POD_GROUP_PLUGIN)) or ()),
        )
        pods = _of(Pod, records.get(Kind.POD, ()))
        if pods is not None:
            pods = without_plain_groups(pods, groups)
        ray_clusters = _of(GangObject, records.get(Kind.RAY_CLUSTER)) or ()
        return cls(
            name=name,
            nodes=_of(Node, records.get(Kind.NODE)) or (),
            pods=None if pods is None else with_autoscaling(pods, ray_clusters),
            slices=_of(Slice, records.get(Kind.SLICE, ())),
            claims=_of(Claim, records.get(Kind.CLAIM, ())),
            classes=_of(DeviceClass, records.get(Kind.CLASS, ())),
            taint_rules=_all_of(TaintRule, records.get(Kind.TAINT_RULE, ())),
            node_pools=_of(NodePool, records.get(Kind.NODE_POOL, ())),
            node_claims=_of(NodeClaim, records.get(Kind.NODE_CLAIM, ())),
            node_classes=(
                *(_of(NodeClass, records.get(Kind.NODE_CLASS)) or ()),
                *(_of(NodeClass, records.get(Kind.NODE_CLASS_AUTO)) or ()),
            ),
            buffers=_of(CapacityBuffer, records.get(Kind.BUFFER, ())),
            scaled_objects=_of(ScaledObject, records.get(Kind.SCALED_OBJECT, ())),
            pod_groups=groups,
            gang_objects=tuple(
                one for kind in GANG_KINDS for one in _of(GangObject, records.get(kind)) or ()
            ),
            kueue_workloads=_of(KueueWorkload, records.get(Kind.KUEUE_WORKLOAD)) or (),
            flavors=_of(ResourceFlavor, records.get(Kind.RESOURCE_FLAVOR)) or (),
            remarks=(*remarks, *_unreadable(records)),
            recorded_seconds=recorded_seconds,
        )


def _of(kind: type[T], records: Iterable[Record] | None) -> tuple[T, ...] | None:
    return None if records is None else tuple(one for one in records if isinstance(one, kind))


def _all_of(kind: type[T], records: Iterable[Record] | None) -> tuple[T, ...] | None:
    """None = not every object of the kind could be read."""
    found = tuple(records or ())
    if records is None or any(isinstance(one, Unreadable) for one in found):
        return None
    return _of(kind, found)


def _unreadable(records: Records) -> Iterable[str]:
    for kind, found in records.items():
        for one in found or ():
            if isinstance(one, Unreadable):
                why = one.why[:_SHOWN_CHARACTERS_MAX]
                yield f"{kind.value} {one.name[:_SHOWN_CHARACTERS_MAX]} cannot be read: {why}"
