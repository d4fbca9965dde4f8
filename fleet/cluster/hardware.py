"""Which GPUs a node has, how many there are, and what one costs an hour.

Labels of GPU feature discovery, of clouds and of Karpenter, the machine type, DRA's drivers and the
report of our own agent tell. Each may be missing; none is a guess.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from fleet.annotations import PRICE
from fleet.catalogue import Catalogue, Generation
from fleet.cluster.gpu_resources import UNITS_MAX
from fleet.cluster.nodes import CapacityType, Node
from fleet.instances import Instance
from fleet.opencost import NodePrice
from fleet.quantities import quantity

_PRODUCTS: Final = (
    "nvidia.com/gpu.product",
    "amd.com/gpu.product-name",
    "cloud.google.com/gke-accelerator",
    "karpenter.k8s.aws/instance-gpu-name",
)
_CLIQUE: Final = "nvidia.com/gpu.clique"
_COUNTED: Final = "karpenter.k8s.aws/instance-gpu-count"
_PRESENT: Final = (
    "nvidia.com/gpu.present",
    "feature.node.kubernetes.io/pci-10de.present",
    "feature.node.kubernetes.io/pci-0302_10de.present",
)
"""Labels of the GPU operator and of node feature discovery, which come before the driver."""
_NOT_ON_DEMAND: Final = frozenset({CapacityType.SPOT, CapacityType.RESERVED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Of one GPU for an hour, and its source."""

    usd_per_gpu_hour: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What GPUs cost: by the operator's list, then OpenCost, then the clouds' on-demand lists."""

    instances: Mapping[str, Instance] = field(default_factory=dict)
    """The clouds' machine types, by name."""
    own: Mapping[str, float] = field(default_factory=dict)
    """The operator's dollars for a GPU-hour, by machine type or generation. A name that ends in
    `/spot` or `/reserved` is of such machines alone."""
    measured: Mapping[str, NodePrice] = field(default_factory=dict)
    """What OpenCost tells of whole nodes of this cluster, by their names."""

    def of(
        self, node: Node, generation: Generation | None, gpus: int | None = None
    ) -> Price | None:
        """The price of one of the node's GPUs; None = it is not known.

        A spot or reserved machine has no list price: only its annotation, the operator or OpenCost
        tells.

        Args:
            node: the node.
            generation: of its GPUs.
            gpus: that it has, which share the price of the node; None = not counted yet.
        """
        if node.usd_per_gpu_hour is not None:
            return Price(usd_per_gpu_hour=node.usd_per_gpu_hour, source=f"annotation {PRICE}")
        instance_type, capacity_type = node.instance_type, node.capacity_type
        own = self._own((instance_type, generation.name if generation else None), capacity_type)
        if own is not None:
            return Price(usd_per_gpu_hour=own, source="your price list")
        whole = self.measured.get(node.name)
        if whole is not None and gpus:
            return Price(usd_per_gpu_hour=whole.usd_per_hour / gpus, source=whole.source)
        instance = self.instances.get(instance_type or "")
        if instance is None or instance.usd_per_hour is None or capacity_type in _NOT_ON_DEMAND:
            return None
        return Price(usd_per_gpu_hour=instance.usd_per_hour / instance.gpus, source=instance.source)

    def of_new(self, machine: Instance, capacity_type: CapacityType) -> float | None:
        """Dollars an hour of a whole machine that is not there yet; None = not known.

        Args:
            machine: its type.
            capacity_type: how it would be paid for.
        """
        own = self._own((machine.name, machine.generation), capacity_type)
        if own is not None:
            return own * machine.gpus
        return None if capacity_type in _NOT_ON_DEMAND else machine.usd_per_hour

    def _own(self, names: Iterable[str | None], capacity_type: CapacityType | None) -> float | None:
        """By the operator's list; a price of such machines alone goes before one of all."""
        found = [name for name in names if name]
        if capacity_type is not None:
            found = [*(f"{name}/{capacity_type}" for name in found), *found]
        return next((self.own[name] for name in found if name in self.own), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """The GPUs of a node, as far as its object, its driver and its machine type tell."""

    product: str | None
    """As a label, a driver or the agent calls them."""
    generation: Generation | None
    clique: str | None
    """The NVLink domain that the node shares with others."""
    built: int | None
    """GPUs of the machine, by a label or its type; None = neither tells."""
    found: int | None
    """GPUs that the driver finds, by the agent's report: fewer where it has lost one."""
    has_gpus: bool
    """A label or a driver says that there are some, if not how many."""
    price: Price | None

    @property
    def gpus(self) -> int | None:
        """That it has, be some lost or not; None = nothing counts them."""
        counts = (self.built, self.found)
        return max((count for count in counts if count is not None), default=None)

    @property
    def drivable(self) -> int | None:
        """That a device plugin can give out: those that the driver finds, if it is known."""
        return self.found or self.built

    def shared_by(self, units: float) -> bool:
        """Whether units that seem to be GPUs are more than there are, so that pods share these.

        A device plugin counts a GPU that was lost for as long as it runs: where the driver's count
        is the only one, a few units more are no sign.
        """
        if self.built is not None:
            return units > max(self.built, self.found or 0)
        return bool(self.found) and units >= 2 * (self.found or 0)

    @property
    def lost(self) -> int:
        """That the driver does not find, of those that are paid for."""
        return 0 if self.found is None else max(0, (self.built or 0) - self.found)


def hardware_of(
    node: Node, catalogue: Catalogue, prices: Prices, drivers_product: str | None = None
) -> Hardware:
    """The GPUs of a node.

    Args:
        node: the node.
        catalogue: that knows the names of GPUs.
        prices: that know the machine types too.
        drivers_product: what DRA's driver calls its GPUs.
    """
    instance = prices.instances.get(node.instance_type or "")
    products = _products(node, drivers_product)
    generation = _generation(products, instance, catalogue)
    return Hardware(
        product=products[0] if products else None,
        generation=generation,
        clique=node.labels.get(_CLIQUE) or (node.report.clique if node.report else None),
        built=_built(node, instance),
        found=len(node.report.uuids) if node.report is not None else None,
        has_gpus=bool(products) or any(node.labels.get(label) == "true" for label in _PRESENT),
        price=prices.of(node, generation),
    )


def _products(node: Node, drivers_product: str | None) -> list[str]:
    labelled = [node.labels.get(label) for label in _PRODUCTS]
    own = (drivers_product, node.report.product if node.report else None)
    return [name for name in (*labelled[:2], *own, *labelled[2:]) if name]


def _generation(
    products: list[str], instance: Instance | None, catalogue: Catalogue
) -> Generation | None:
    # A machine type is more precise than a label such as `a100`, which is the name of two.
    if instance is not None:
        return catalogue.find(instance.generation)
    return next(filter(None, (catalogue.find(product) for product in products)), None)


def _built(node: Node, instance: Instance | None) -> int | None:
    try:
        counted = int(quantity(node.labels[_COUNTED]))
    except (KeyError, ValueError):
        counted = -1
    if 0 <= counted <= UNITS_MAX:
        return counted
    return instance.gpus if instance is not None else None
