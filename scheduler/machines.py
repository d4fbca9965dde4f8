"""Nodes as the extender knows them: what `fleet.cluster` reads, in the units of placement."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Final

from fleet.catalogue import Catalogue, shipped
from fleet.cluster import devices as records
from fleet.cluster.devices import Face, Slice
from fleet.cluster.hardware import Hardware, Prices, hardware_of
from fleet.cluster.nodes import Node as NodeRecord
from fleet.cluster.quotas import quota_of
from fleet.cluster.report import AgentReport
from scheduler.devices import allocatable, offered
from scheduler.devices import gpus as whole_gpus
from scheduler.first_fit import Device
from scheduler.naming import model_name
from scheduler.placement import GPUS_MAX, WHOLE_MILLI, Node

PRODUCT: Final = "nvidia.com/gpu.product"
_MIB: Final = 2**20
_PLUGGED_TOO: Final = "the node's device plugin offers other GPUs than its ResourceSlices"
DEVICES_MAX: Final = 2_048
"""Of a node. A node of today has some hundreds; each change of one slice looks at all of them."""
AMOUNT_MAX: Final = 2**30
"""Milli CPU or MiB of memory: a million cores, a pebibyte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of nodes without asking them."""

    catalogue: Catalogue = field(default_factory=shipped)
    prices: Prices = field(default_factory=Prices)


NO_PRICES: Final = Facts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a node has when nothing runs on it, and what is known of it."""

    name: str
    cpu_milli: int
    memory_mib: int
    model: str = ""
    gpus: int = 0
    """That pods may have whole, or a share of; some may be tainted."""
    islands: tuple[int, ...] = ()
    """Of each GPU, by index; empty = not known."""
    largest_island: int = 0
    """GPUs of it at the most; 0 = not known."""
    clique: str | None = None
    bus_share: float | None = None
    """Of the bus bandwidth that its NVLinks allow, what NCCL realised; None = not known."""
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
    divided: bool = False
    """Its device plugin gives out parts of GPUs: kube-scheduler alone places there."""

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


def machine_of(node: NodeRecord, slices: Iterable[Slice] = (), facts: Facts = NO_PRICES) -> Machine:
    """The machine of a node.

    Where its device plugin gives out parts of GPUs it has none here: kube-scheduler counts the
    parts, and neither islands nor shares mean anything for them.

    Args:
        node: the node.
        slices: ResourceSlices with devices on it.
        facts: names and prices of GPUs.

    Raises:
        ValueError: it has more GPUs than can be told apart, more devices than are looked at, or an
            amount that no machine has.
    """
    listed = list(slices)
    count = sum(len(one.devices) for one in listed)
    if count > DEVICES_MAX:
        raise ValueError(
            f"node {node.name}: its ResourceSlices have {count} devices; at most {DEVICES_MAX} are"
            " looked at"
        )
    devices = offered(listed)
    product = next((one.product for one in devices if one.product and one.face), None)
    hardware = hardware_of(node, facts.catalogue, facts.prices, product)
    quota = quota_of(node, hardware)
    claimable = whole_gpus(devices)
    gpus = max(0 if quota.divided else floor(quota.usable), len(claimable))
    if gpus > GPUS_MAX:
        raise ValueError(
            f"node {node.name} has {str(gpus)[:20]} GPUs; at most {GPUS_MAX} can be told apart"
        )
    # A device plugin that offers more than the slices do knows of other GPUs.
    is_claimed = len(claimable) == gpus
    return Machine(
        name=node.name,
        cpu_milli=_amount(node, "cpu", Fraction(1, 1000)),
        memory_mib=_amount(node, "memory", Fraction(_MIB)),
        model=_model(hardware),
        gpus=gpus,
        islands=_islands(node.report, gpus, claimable if is_claimed else ()),
        largest_island=_largest_island(node.report, gpus),
        clique=hardware.clique,
        bus_share=node.report.bus_share if node.report is not None else None,
        usd_per_gpu_hour=hardware.price.usd_per_gpu_hour if hardware.price else None,
        images=node.images,
        weights=node.weights,
        report_refused=node.report_refused,
        devices=tuple(map(allocatable, claimable)) if is_claimed else (),
        others=tuple(
            allocatable(one, _PLUGGED_TOO if one.face is Face.WHOLE else None)
            for one in devices
            if not (is_claimed and one.face is Face.WHOLE)
        ),
        divided=quota.divided,
    )


def _islands(
    report: AgentReport | None, gpus: int, devices: Sequence[records.Device]
) -> tuple[int, ...]:
    """The island of each GPU; empty = not known.

    The report counts GPUs as NVML does, and drivers name devices by their minors, which may be in
    another order: only UUIDs tell which is which. A GPU that does not answer has none.

    Args:
        report: of the node.
        gpus: of the node.
        devices: whole GPUs that slices offer; empty = a device plugin offers them.
    """
    if report is None or not report.islands:
        return ()
    both = list(zip(report.uuids, report.islands, strict=True))
    found = {uuid: island for uuid, island in both if uuid is not None}
    if not devices:
        # The plugin withdraws GPUs that do not answer.
        islands = report.islands if len(report.islands) == gpus else tuple(found.values())
        return islands if len(islands) == gpus else ()
    sizes = Counter(report.islands)
    rest = [island for uuid, island in both if uuid is None and sizes[island] == 1]
    if sum(one.gpu not in found for one in devices) > len(rest):
        return ()  # it is about other GPUs than there are now
    alone = iter(rest)
    return tuple(found[one.gpu] if one.gpu in found else next(alone) for one in devices)


def _largest_island(report: AgentReport | None, gpus: int) -> int:
    """GPUs that it has at the most, also where it is not known which of them were withdrawn."""
    islands = report.islands if report is not None else ()
    return max(Counter(islands).values(), default=0) if len(islands) >= gpus else 0


def _model(hardware: Hardware) -> str:
    """By the name of its generation, else as GPU feature discovery would label it."""
    if hardware.generation is not None:
        return hardware.generation.name
    return model_name((hardware.product or "").replace(" ", "-"))


def _amount(node: NodeRecord, resource: str, unit: Fraction) -> int:
    exact = node.allocatable.get(resource, Fraction(0))
    amount = floor(exact / unit)
    if amount > AMOUNT_MAX:
        shown = str(floor(exact))[:32]
        raise ValueError(f"node {node.name}: {shown} {resource} is no amount that a machine has")
    return amount
