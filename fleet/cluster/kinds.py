"""The kinds of objects that are followed: where the API server has them, and how each is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from fleet.cluster.claims import Claim, claim_of
from fleet.cluster.classes import DeviceClass, class_of
from fleet.cluster.cpu_pods import CpuPod
from fleet.cluster.devices import Slice, slice_of
from fleet.cluster.fields import Json, Unreadable, UnreadableObjectError, part, text
from fleet.cluster.groups import PodGroup, pod_group_of
from fleet.cluster.jobs.gang_object import GangObject
from fleet.cluster.jobs.jobset import job_set_of, leader_worker_set_of
from fleet.cluster.jobs.kubeflow import mpi_job_of, pytorch_job_of, train_job_of
from fleet.cluster.jobs.kueue import (
    KueueWorkload,
    ResourceFlavor,
    kueue_workload_of,
    resource_flavor_of,
)
from fleet.cluster.jobs.ray import ray_cluster_of, ray_job_of
from fleet.cluster.karpenter import (
    CapacityBuffer,
    NodeClaim,
    NodePool,
    buffer_of,
    node_claim_of,
    node_pool_of,
)
from fleet.cluster.node_classes import NodeClass, node_class_of
from fleet.cluster.nodes import Node, node_of
from fleet.cluster.pods import Pod, pod_of
from fleet.cluster.scaled_objects import ScaledObject, scaled_object_of
from fleet.cluster.taint_rules import TaintRule, taint_rule_of

Record: TypeAlias = (
    Node
    | Pod
    | CpuPod
    | Slice
    | Claim
    | DeviceClass
    | TaintRule
    | NodePool
    | NodeClaim
    | NodeClass
    | CapacityBuffer
    | PodGroup
    | ScaledObject
    | GangObject
    | KueueWorkload
    | ResourceFlavor
    | Unreadable
)
"""What is known of one object."""


class Kind(StrEnum):
    """What can be followed."""

    NODE = "nodes"
    POD = "pods"
    SLICE = "resourceslices"
    CLAIM = "resourceclaims"
    CLASS = "deviceclasses"
    TAINT_RULE = "devicetaintrules"
    NODE_POOL = "nodepools"
    NODE_CLAIM = "nodeclaims"
    NODE_CLASS = "ec2nodeclasses"
    NODE_CLASS_AUTO = "nodeclasses of EKS Auto Mode"
    BUFFER = "capacitybuffers"
    POD_GROUP = "podgroups"
    POD_GROUP_PLUGIN = "podgroups of scheduler-plugins"
    SCALED_OBJECT = "scaledobjects"
    TRAIN_JOB = "trainjobs"
    JOB_SET = "jobsets"
    LEADER_WORKER_SET = "leaderworkersets"
    PYTORCH_JOB = "pytorchjobs"
    MPI_JOB = "mpijobs"
    RAY_JOB = "rayjobs"
    RAY_CLUSTER = "rayclusters"
    KUEUE_WORKLOAD = "workloads of Kueue"
    RESOURCE_FLAVOR = "resourceflavors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the objects of a kind are, and what makes a record of one."""

    path: str
    """Of the collection."""
    object_kind: str
    """As an object's own field `kind` has it."""
    record_of: Callable[[Json], Record]
    older_paths: tuple[str, ...] = ()
    """Of older versions of the API with the same fields, the newest first."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Of all versions, the newest first."""
        return self.path, *self.older_paths


_DRA: Final = "/apis/resource.k8s.io/v1"
_KARPENTER: Final = "/apis/karpenter.sh/v1"
SOURCES: Final[Mapping[Kind, Source]] = {
    Kind.NODE: Source(path="/api/v1/nodes", object_kind="Node", record_of=node_of),
    Kind.POD: Source(path="/api/v1/pods", object_kind="Pod", record_of=pod_of),
    Kind.SLICE: Source(
        path=f"{_DRA}/resourceslices", object_kind="ResourceSlice", record_of=slice_of
    ),
    Kind.CLAIM: Source(
        path=f"{_DRA}/resourceclaims", object_kind="ResourceClaim", record_of=claim_of
    ),
    Kind.CLASS: Source(path=f"{_DRA}/deviceclasses", object_kind="DeviceClass", record_of=class_of),
    Kind.TAINT_RULE: Source(
        path=f"{_DRA}/devicetaintrules",
        older_paths=(
            "/apis/resource.k8s.io/v1beta2/devicetaintrules",
            "/apis/resource.k8s.io/v1alpha3/devicetaintrules",
        ),
        object_kind="DeviceTaintRule",
        record_of=taint_rule_of,
    ),
    Kind.NODE_POOL: Source(
        path=f"{_KARPENTER}/nodepools", object_kind="NodePool", record_of=node_pool_of
    ),
    Kind.NODE_CLAIM: Source(
        path=f"{_KARPENTER}/nodeclaims", object_kind="NodeClaim", record_of=node_claim_of
    ),
    Kind.NODE_CLASS: Source(
        path="/apis/karpenter.k8s.aws/v1/ec2nodeclasses",
        object_kind="EC2NodeClass",
        record_of=node_class_of,
    ),
    Kind.NODE_CLASS_AUTO: Source(
        path="/apis/eks.amazonaws.com/v1/nodeclasses",
        object_kind="NodeClass",
        record_of=node_class_of,
    ),
    Kind.BUFFER: Source(
        # Karpenter's CRD serves this version alone, whatever its guide writes.
        path="/apis/autoscaling.x-k8s.io/v1beta1/capacitybuffers",
        object_kind="CapacityBuffer",
        record_of=buffer_of,
    ),
    Kind.POD_GROUP: Source(
        path="/apis/scheduling.k8s.io/v1beta1/podgroups",
        object_kind="PodGroup",
        record_of=pod_group_of,
    ),
    Kind.POD_GROUP_PLUGIN: Source(
        path="/apis/scheduling.x-k8s.io/v1alpha1/podgroups",
        object_kind="PodGroup",
        record_of=pod_group_of,
    ),
    Kind.SCALED_OBJECT: Source(
        path="/apis/keda.sh/v1alpha1/scaledobjects",
        object_kind="ScaledObject",
        record_of=scaled_object_of,
    ),
    Kind.TRAIN_JOB: Source(
        path="/apis/trainer.kubeflow.org/v1alpha1/trainjobs",
        object_kind="TrainJob",
        record_of=train_job_of,
    ),
    Kind.JOB_SET: Source(
        path="/apis/jobset.x-k8s.io/v1alpha2/jobsets", object_kind="JobSet", record_of=job_set_of
    ),
    Kind.LEADER_WORKER_SET: Source(
        path="/apis/leaderworkerset.x-k8s.io/v1/leaderworkersets",
        object_kind="LeaderWorkerSet",
        record_of=leader_worker_set_of,
    ),
    Kind.PYTORCH_JOB: Source(
        path="/apis/kubeflow.org/v1/pytorchjobs",
        object_kind="PyTorchJob",
        record_of=pytorch_job_of,
    ),
    Kind.MPI_JOB: Source(
        path="/apis/kubeflow.org/v1/mpijobs", object_kind="MPIJob", record_of=mpi_job_of
    ),
    Kind.RAY_JOB: Source(
        path="/apis/ray.io/v1/rayjobs", object_kind="RayJob", record_of=ray_job_of
    ),
    Kind.RAY_CLUSTER: Source(
        path="/apis/ray.io/v1/rayclusters", object_kind="RayCluster", record_of=ray_cluster_of
    ),
    Kind.KUEUE_WORKLOAD: Source(
        path="/apis/kueue.x-k8s.io/v1beta2/workloads",
        older_paths=("/apis/kueue.x-k8s.io/v1beta1/workloads",),
        object_kind="Workload",
        record_of=kueue_workload_of,
    ),
    Kind.RESOURCE_FLAVOR: Source(
        path="/apis/kueue.x-k8s.io/v1beta2/resourceflavors",
        older_paths=("/apis/kueue.x-k8s.io/v1beta1/resourceflavors",),
        object_kind="ResourceFlavor",
        record_of=resource_flavor_of,
    ),
}
GANG_KINDS: Final = (
    Kind.POD_GROUP,
    Kind.POD_GROUP_PLUGIN,
    Kind.TRAIN_JOB,
    Kind.JOB_SET,
    Kind.LEADER_WORKER_SET,
    Kind.PYTORCH_JOB,
    Kind.MPI_JOB,
    Kind.RAY_JOB,
    Kind.RAY_CLUSTER,
    Kind.KUEUE_WORKLOAD,
    Kind.RESOURCE_FLAVOR,
)
"""What tells of gangs beside their pods; a cluster need have none of them."""
SNAPSHOT_KINDS: Final = (
    Kind.NODE,
    Kind.POD,
    Kind.SLICE,
    Kind.CLAIM,
    Kind.CLASS,
    Kind.TAINT_RULE,
    Kind.NODE_POOL,
    Kind.NODE_CLAIM,
)
"""What a snapshot of GPUs and of their starts is made of."""
PLANNING_KINDS: Final = (
    *SNAPSHOT_KINDS,
    Kind.NODE_CLASS,
    Kind.NODE_CLASS_AUTO,
    Kind.BUFFER,
    *GANG_KINDS,
)
"""What a plan of nodes is made of."""


def record_of(kind: Kind, document: Json) -> Record:
    """What is known of an object: its record, or why it could not be read."""
    try:
        return SOURCES[kind].record_of(document)
    except UnreadableObjectError as error:
        name, uid = identity_of(document)
        return Unreadable(name=name, uid=uid, why=str(error))


def identity_of(document: Json) -> tuple[str, str]:
    """Name, with the namespace where there is one, and UID; empty where the object has none."""
    try:
        metadata = part(document, "metadata")
    except UnreadableObjectError:
        return "", ""
    name, namespace = text(metadata, "name") or "", text(metadata, "namespace")
    return f"{namespace}/{name}" if namespace else name, text(metadata, "uid") or ""
