"""Nodes as the extender knows them, from the API server's node objects.

Labels and capacity are what others say of a node; the node agent's report says what they leave out.
A report that cannot be read, or is of an earlier boot, counts as none, and the machine says why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor
from sys import intern
from typing import Final

from fleet.annotations import PRICE, REPORT, WEIGHTS_CACHED
from fleet.cluster.report import Report, UnreadableReportError, report_from
from fleet.quantities import quantity
from scheduler.devices import PRODUCT as NAME
from scheduler.devices import gpus as whole_gpus
from scheduler.devices import is_gpu
from scheduler.first_fit import Device
from scheduler.naming import model_name
from scheduler.placement import GPUS_MAX, WHOLE_MILLI, Node
from scheduler.pods import GPU_RESOURCES, Json

PRODUCT: Final = "nvidia.com/gpu.product"
CLIQUE: Final = "nvidia.com/gpu.clique"
_MIB: Final = 2**20
SLOW_IMAGE_BYTES: Final = 500 * _MIB
"""Below, an image is pulled in seconds, and whether it is there says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a node has when nothing runs on it, and what is known of it."""

    name: str
    cpu_milli: int
    memory_mib: int
    model: str = ""
    gpus: int = 0
    islands: tuple[int, ...] = ()
    """Of each GPU, by index; empty = not known."""
    clique: str | None = None
    usd_per_gpu_hour: float | None = None
    """None = not known; never 0 for that."""
    images: frozenset[str] = frozenset()
    weights: frozenset[str] = frozenset()
    report_refused: str | None = None
    """Why the agent's report counts as none."""
    devices: tuple[Device, ...] = ()
    """Of each GPU, where ResourceSlices offer them; empty = a device plugin does."""
    others: tuple[Device, ...] = ()
    """What else ResourceSlices offer on it."""

    @property
    def order(self) -> tuple[int, ...]:
        """The GPUs' indices in the order in which the allocator comes to them."""
        listed = sorted(
            (one.driver, one.pool, one.slice, one.index, at) for at, one in enumerate(self.devices)
        )
        return tuple(at for *_, at in listed) if listed else tuple(range(self.gpus))

    def empty(self) -> Node:
        return Node(
            name=self.name,
            cpu_milli=self.cpu_milli,
            memory_mib=self.memory_mib,
            model=self.model,
            gpus_milli=(WHOLE_MILLI,) * self.gpus,
        )


def machine_of(document: Json, devices: Sequence[Device] = ()) -> Machine:
    """The machine of a node object.

    Args:
        document: a `v1` Node.
        devices: what ResourceSlices offer on it.

    Raises:
        ValueError: the node has no name, or an amount is no quantity.
    """
    metadata, status = _part(document, "metadata"), _part(document, "status")
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError("a node without a name")
    labels, annotations = _part(metadata, "labels"), _part(metadata, "annotations")
    allocatable = _part(status, "allocatable")
    plugged = sum(int(quantity(allocatable.get(resource, 0))) for resource in GPU_RESOURCES)
    claimable = tuple(whole_gpus(devices))
    gpus = max(plugged, len(claimable))
    if gpus > GPUS_MAX:
        raise ValueError(f"node {name} has {gpus} GPUs; at most {GPUS_MAX} can be told apart")
    report, refused = _report(annotations.get(REPORT), status)
    islands = report.islands if report is not None else ()
    return Machine(
        name=name,
        cpu_milli=floor(quantity(allocatable.get("cpu", 0)) * 1000),
        memory_mib=floor(quantity(allocatable.get("memory", 0)) / _MIB),
        model=model_name(_product(labels, claimable, report)),
        gpus=gpus,
        # A report about other GPUs than there are now says nothing about these.
        islands=islands if len(islands) == gpus else (),
        clique=str(labels[CLIQUE]) if CLIQUE in labels else (report.clique if report else None),
        usd_per_gpu_hour=float(quantity(annotations[PRICE])) if PRICE in annotations else None,
        images=_images(status),
        weights=frozenset(filter(None, str(annotations.get(WEIGHTS_CACHED, "")).split(","))),
        report_refused=refused,
        # A device plugin that offers more than the slices do knows of other GPUs.
        devices=claimable if len(claimable) == gpus else (),
        others=tuple(device for device in devices if not is_gpu(device)),
    )


def _report(told: object, status: Json) -> tuple[Report | None, str | None]:
    """The agent's report and None, or None and why it counts as none."""
    if told is None:
        return None, None
    try:
        report = report_from(str(told))
    except UnreadableReportError as error:
        return None, f"annotation {REPORT}: {error}"
    boot = _part(status, "nodeInfo").get("bootID")
    if boot and report.boot_id and boot != report.boot_id:
        return None, f"annotation {REPORT}: of an earlier boot, {report.boot_id}; now it is {boot}"
    return report, None


def _product(labels: Json, devices: Sequence[Device], report: Report | None) -> str:
    """By label, slice or report, the first that says it; empty where none does."""
    told = labels.get(PRODUCT) or next((one.attributes.get(NAME) for one in devices), None)
    return str(told or _reported_product(report))


def _reported_product(report: Report | None) -> str:
    """As GPU feature discovery would label it; empty where GPUs differ or do not say."""
    gpus = report.gpus if report is not None else None
    names = {gpu.product for gpu in gpus or ()}
    return (names.pop() or "").replace(" ", "-") if len(names) == 1 else ""


def _images(status: Json) -> frozenset[str]:
    images = status.get("images")
    listed = [one for one in images if isinstance(one, Mapping)] if isinstance(images, list) else []
    return frozenset(
        # Thousands of nodes hold the same few.
        intern(str(name))
        for one in listed
        if is_slow(one.get("sizeBytes"))
        for name in one.get("names") or []
    )


def is_slow(size_bytes: object) -> bool:
    """Whether such an image is worth waiting for; one of unknown size may be."""
    return not isinstance(size_bytes, int) or size_bytes >= SLOW_IMAGE_BYTES


def _part(of: Json, name: str) -> Json:
    value = of.get(name)
    return value if isinstance(value, Mapping) else {}
