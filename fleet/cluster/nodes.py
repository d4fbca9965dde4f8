"""A node, as its object tells of it: what it offers, its state, its place and what it costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from sys import intern
from typing import Final

from fleet.annotations import (
    DO_NOT_DISRUPT,
    KEPT_BECAUSE,
    KEPT_UNTIL,
    PRICE,
    REPORT,
    SCALE_DOWN_DISABLED,
    WEIGHTS_CACHED,
)
from fleet.cluster.fields import (
    Condition,
    Json,
    Taint,
    amounts,
    condition,
    conditions,
    listed,
    name_of,
    part,
    seconds,
    strings,
    taints,
    text,
    texts,
)
from fleet.cluster.gpu_resources import refuse_absurd
from fleet.cluster.report import AgentReport, UnreadableReportError, agent_report
from fleet.quantities import quantity
from fleet.reasons import OF_EMPTY, Reason

INSTANCE_TYPE: Final = "node.kubernetes.io/instance-type"
CAPACITY_TYPE: Final = "karpenter.sh/capacity-type"
KARPENTER_POOL: Final = "karpenter.sh/nodepool"
COMPUTE_CLASS: Final = "cloud.google.com/compute-class"
_INSTANCE_TYPES: Final = (INSTANCE_TYPE, "beta.kubernetes.io/instance-type")
_ZONES: Final = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
POOL_LABELS: Final = (
    KARPENTER_POOL,
    "eks.amazonaws.com/nodegroup",
    COMPUTE_CLASS,  # GKE makes node pools for it as it needs them; pods select the class
    "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool",
    "agentpool",
)
_LEAVING: Final = frozenset({"karpenter.sh/disrupted", "ToBeDeletedByClusterAutoscaler"})
"""Taints of a node that is on its way out."""
_GKE_RESERVATION: Final = "cloud.google.com/reservation-name"
USD_MAX: Final = 1e6
"""Of a GPU-hour: a node's own kubelet may write a price, and one beyond would end all sums."""
SLOW_IMAGE_BYTES: Final = 500 * 2**20
"""Below, an image is pulled in seconds, and whether it is there says nothing."""


class CapacityType(StrEnum):
    """How a machine is paid for."""

    ON_DEMAND = "on-demand"
    SPOT = "spot"
    RESERVED = "reserved"


_CAPACITY_TYPES: Final[Mapping[str, Mapping[str, CapacityType]]] = {
    CAPACITY_TYPE: {one.value: one for one in CapacityType},
    "eks.amazonaws.com/capacityType": {
        "ON_DEMAND": CapacityType.ON_DEMAND,
        "SPOT": CapacityType.SPOT,
        "CAPACITY_BLOCK": CapacityType.RESERVED,
    },
    "cloud.google.com/gke-spot": {"true": CapacityType.SPOT},
    "cloud.google.com/gke-preemptible": {"true": CapacityType.SPOT},
    "kubernetes.azure.com/scalesetpriority": {"spot": CapacityType.SPOT},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A v1 Node."""

    name: str
    uid: str = ""
    created_seconds: float | None = None
    labels: Mapping[str, str]
    taints: tuple[Taint, ...] = ()
    cordoned: bool = False
    conditions: tuple[Condition, ...] = ()
    allocatable: Mapping[str, Fraction]
    capacity: Mapping[str, Fraction]
    report: AgentReport | None = None
    """Of the node agent; None = there is none, or it says nothing of now."""
    report_refused: str | None = None
    """Why the agent's report counts as none."""
    usd_per_gpu_hour: float | None = None
    """By the node's annotation; None = it has none."""
    price_refused: str | None = None
    """Why the annotation with the price counts as none."""
    do_not_disrupt: bool = False
    """What brings its nodes and takes them is told to leave it: Karpenter, else the Cluster
    Autoscaler."""
    kept_because: Reason | None = None
    """Why our controller keeps it while it is empty; None = it does not."""
    kept_until_seconds: float | None = None
    """When that ends; None = it does not tell, and nothing keeps it."""
    kept_because_text: str | None = None
    """The same as it is written: of a node that is not empty, any reason may be."""
    hold_marked: bool = False
    """It carries annotations of our controller's holds, be they over or make no sense."""
    provider_id: str | None = None
    """Of the machine, as its cloud has it."""
    images: frozenset[str] = frozenset()
    """That it holds and that take long to pull."""
    weights: frozenset[str] = frozenset()
    """Models whose weights it holds."""

    @property
    def instance_type(self) -> str | None:
        return _first(self.labels, _INSTANCE_TYPES)

    @property
    def zone(self) -> str | None:
        return _first(self.labels, _ZONES)

    @property
    def pool(self) -> str | None:
        return _first(self.labels, POOL_LABELS)

    @property
    def capacity_type(self) -> CapacityType | None:
        """None = no label tells."""
        return capacity_type_of(self.labels)

    @property
    def ready(self) -> bool:
        """A node that does not tell, or has not told for long, is not ready."""
        found = condition(self.conditions, "Ready")
        return found is not None and found.holds

    @property
    def ready_seconds(self) -> float | None:
        """Since when it is ready; None = it is not, or does not tell."""
        found = condition(self.conditions, "Ready")
        return found.since_seconds if found is not None and found.holds else None

    @property
    def out(self) -> str | None:
        """Why no new pod comes to it; None = pods may come."""
        if not self.ready:
            return "not ready"
        if self.cordoned:
            return "cordoned"
        return "on its way out" if self.leaves else None

    @property
    def leaves(self) -> bool:
        """It is cordoned or drained, whether it is ready or not."""
        return self.cordoned or any(taint.key in _LEAVING for taint in self.taints)


def node_of(document: Json) -> Node:
    """The node of an API object.

    Raises:
        UnreadableObjectError: it is none, or has more GPUs than any node has.
    """
    metadata, spec, status = (part(document, name) for name in ("metadata", "spec", "status"))
    annotations = strings(metadata, "annotations")
    report, report_refused = _report(annotations, text(part(status, "nodeInfo"), "bootID"))
    price, price_refused = price_of(annotations)
    allocatable, capacity = amounts(status, "allocatable"), amounts(status, "capacity")
    refuse_absurd(allocatable)
    refuse_absurd(capacity)
    return Node(
        name=intern(name_of(document)),
        uid=text(metadata, "uid") or "",
        created_seconds=seconds(metadata, "creationTimestamp"),
        labels=strings(metadata, "labels"),
        taints=taints(spec),
        cordoned=spec.get("unschedulable") is True,
        conditions=conditions(status),
        allocatable=allocatable,
        capacity=capacity,
        report=report,
        report_refused=report_refused,
        usd_per_gpu_hour=price,
        price_refused=price_refused,
        do_not_disrupt=annotations.get(keeping_annotation(strings(metadata, "labels"))) == "true",
        kept_because=_reason(annotations.get(KEPT_BECAUSE)),
        kept_until_seconds=seconds(annotations, KEPT_UNTIL),
        kept_because_text=annotations.get(KEPT_BECAUSE),
        hold_marked=KEPT_BECAUSE in annotations or KEPT_UNTIL in annotations,
        provider_id=text(spec, "providerID"),
        images=_slow_images(status),
        weights=frozenset(
            filter(None, (one.strip() for one in annotations.get(WEIGHTS_CACHED, "").split(",")))
        ),
    )


def keeping_annotation(labels: Mapping[str, str]) -> str:
    """The annotation of a node with these labels that what takes nodes away obeys."""
    return DO_NOT_DISRUPT if _of_karpenter(labels) else SCALE_DOWN_DISABLED


def _of_karpenter(labels: Mapping[str, str]) -> bool:
    return KARPENTER_POOL in labels or _first(labels, POOL_LABELS) is None


def capacity_type_of(labels: Mapping[str, str]) -> CapacityType | None:
    """How the machine with these labels is paid for; None = no label tells."""
    known = (values.get(labels.get(label, "")) for label, values in _CAPACITY_TYPES.items())
    reserved = CapacityType.RESERVED if labels.get(_GKE_RESERVATION) else None
    return next(filter(None, known), reserved)


def _first(labels: Mapping[str, str], keys: tuple[str, ...]) -> str | None:
    return next(filter(None, map(labels.get, keys)), None)


def _report(
    annotations: Mapping[str, str], boot_id: str | None
) -> tuple[AgentReport | None, str | None]:
    """The agent's report and None, or None and why it counts as none."""
    if REPORT not in annotations:
        return None, None
    try:
        return agent_report(annotations[REPORT], boot_id), None
    except UnreadableReportError as error:
        return None, f"annotation {REPORT}: {error}"


def price_of(annotations: Mapping[str, str]) -> tuple[float | None, str | None]:
    """The price of a GPU-hour by an annotation, and why it counts as none where it does."""
    if PRICE not in annotations:
        return None, None
    value = annotations[PRICE]
    try:
        usd = float(quantity(value))
    except (OverflowError, ValueError):
        usd = -1.0
    if not 0 < usd <= USD_MAX:
        return None, f"annotation {PRICE}: {value[:64]!r}: it takes dollars above 0, to {USD_MAX:g}"
    return usd, None


def _reason(value: str | None) -> Reason | None:
    """What a policy may say; anything else, as anybody may write it, is nothing."""
    return next((one for one in OF_EMPTY if one.value == value), None)


def _slow_images(status: Json) -> frozenset[str]:
    return frozenset(
        intern(name)
        for image in listed(status, "images")
        if _is_slow(image.get("sizeBytes"))
        for name in texts(image, "names")
    )


def _is_slow(size_bytes: object) -> bool:
    """Whether the image takes long to pull; one of unknown size may."""
    return not isinstance(size_bytes, int) or size_bytes >= SLOW_IMAGE_BYTES
