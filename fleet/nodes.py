"""What a node object tells of the GPUs of its machine: which, how many, whose, at what price.

Labels of GPU feature discovery, of clouds and of Karpenter, the machine type, and the report of our
own agent. Each may be missing; none is a guess.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fleet.annotations import PRICE, REPORT
from fleet.catalogue import Catalogue, Generation
from fleet.documents import Json, amount, is_object, listed, named, part, text
from fleet.instances import Instance

_SCHEMA: Final = 1
_PRODUCTS: Final = (
    "nvidia.com/gpu.product",
    "amd.com/gpu.product-name",
    "cloud.google.com/gke-accelerator",
    "karpenter.k8s.aws/instance-gpu-name",
)
_PRESENT: Final = (
    "nvidia.com/gpu.present",
    "feature.node.kubernetes.io/pci-10de.present",
    "feature.node.kubernetes.io/pci-0302_10de.present",
)
"""Labels of the GPU operator and of node feature discovery, which come before the driver."""
_POOLS: Final = (
    "karpenter.sh/nodepool",
    "eks.amazonaws.com/nodegroup",
    "cloud.google.com/gke-nodepool",
    "kubernetes.azure.com/agentpool",
    "agentpool",
)
_NOT_ON_DEMAND: Final = {
    "karpenter.sh/capacity-type": frozenset({"spot", "reserved"}),
    "eks.amazonaws.com/capacityType": frozenset({"SPOT", "CAPACITY_BLOCK"}),
    "cloud.google.com/gke-spot": frozenset({"true"}),
    "cloud.google.com/gke-preemptible": frozenset({"true"}),
    "kubernetes.azure.com/scalesetpriority": frozenset({"spot"}),
}
"""Labels and values of machines that the list price is not the price of."""
_GOING: Final = frozenset({"karpenter.sh/disrupted", "ToBeDeletedByClusterAutoscaler"})
"""Taints of a node that is on its way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Of the node agent, as far as it is needed here."""

    uuids: tuple[str | None, ...]
    islands: tuple[int | None, ...]
    """Of each GPU, in the order of the UUIDs."""
    product: str | None
    clique: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Of one GPU for an hour, and who says so."""

    usd_per_gpu_hour: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A node, as its object tells of it."""

    name: str
    pool: str | None
    product: str | None
    """As somebody calls it."""
    generation: Generation | None
    clique: str | None
    gpus: int | None
    """That somebody counted who does not go by what is given out; None = nobody did."""
    report: Report | None
    price: Price | None
    has_gpus: bool
    """Somebody says that there are some, if not how many."""
    out: str | None
    """Why no new pod comes to it."""


def machine_of(
    node: Json,
    catalogue: Catalogue,
    instances: Mapping[str, Instance],
    operator: Mapping[str, float],
    drivers_product: str | None = None,
) -> Machine:
    """The machine of a v1 Node.

    Args:
        node: the object.
        catalogue: that knows the names of GPUs.
        instances: that know the clouds' machine types.
        operator: dollars for a GPU-hour, by machine type or generation; they win over lists.
        drivers_product: what DRA's driver calls its GPUs.
    """
    labels = part(node, "metadata", "labels")
    report = _report(node)
    instance = instances.get(text(labels, "node.kubernetes.io/instance-type") or "")
    told = [text(labels, label) for label in _PRODUCTS]
    own = (drivers_product, report.product if report else None)
    products = [name for name in (*told[:2], *own, *told[2:]) if name]
    # A machine type is more exact than a label such as `a100`, which is the name of two.
    generation = _generation(products, instance, catalogue)
    counted = (
        len(report.uuids) if report else amount(labels, "karpenter.k8s.aws/instance-gpu-count")
    )
    return Machine(
        name=named(node),
        pool=next(filter(None, (text(labels, label) for label in _POOLS)), None),
        product=products[0] if products else None,
        generation=generation,
        clique=text(labels, "nvidia.com/gpu.clique") or (report.clique if report else None),
        gpus=int(counted) if counted is not None else instance.gpus if instance else None,
        report=report,
        price=_price(node, instance, generation, operator),
        has_gpus=bool(products) or any(text(labels, label) == "true" for label in _PRESENT),
        out=_out(node),
    )


def _generation(
    products: list[str], instance: Instance | None, catalogue: Catalogue
) -> Generation | None:
    if instance is not None:
        return catalogue.find(instance.generation)
    return next(filter(None, (catalogue.find(product) for product in products)), None)


def _report(node: Json) -> Report | None:
    """The agent's report; one of a newer schema or an earlier boot tells nothing of now."""
    told = text(part(node, "metadata", "annotations"), REPORT)
    try:
        report = json.loads(told) if told else None
    except ValueError:
        return None
    if not is_object(report) or report.get("schema") != _SCHEMA:
        return None
    boot, now = text(report, "bootId"), text(part(node, "status", "nodeInfo"), "bootID")
    if not isinstance(report.get("gpus"), list) or (boot and now and boot != now):
        return None
    gpus = list(listed(report, "gpus"))
    islands = [gpu.get("island") for gpu in gpus]
    products = {text(gpu, "product") for gpu in gpus}
    return Report(
        uuids=tuple(text(gpu, "uuid") for gpu in gpus),
        islands=tuple(island if isinstance(island, int) else None for island in islands),
        product=products.pop() if len(products) == 1 else None,
        clique=text(report, "clique"),
    )


def _price(
    node: Json,
    instance: Instance | None,
    generation: Generation | None,
    operator: Mapping[str, float],
) -> Price | None:
    own = amount(part(node, "metadata", "annotations"), PRICE)
    if own:
        return Price(usd_per_gpu_hour=own, source=f"annotation {PRICE}")
    labels = part(node, "metadata", "labels")
    machine_type = text(labels, "node.kubernetes.io/instance-type")
    for name in (machine_type, generation.name if generation else None):
        if name is not None and name in operator:
            return Price(usd_per_gpu_hour=operator[name], source="your price list")
    dearer = any(text(labels, label) in values for label, values in _NOT_ON_DEMAND.items())
    if instance is None or instance.usd_per_hour is None or dearer:
        return None
    return Price(
        usd_per_gpu_hour=instance.usd_per_hour / instance.gpus,
        source=instance.source,
    )


def _out(node: Json) -> str | None:
    conditions = {
        text(one, "type"): text(one, "status") for one in listed(part(node, "status"), "conditions")
    }
    if conditions.get("Ready") != "True":
        return "not ready"
    if part(node, "spec").get("unschedulable") is True:
        return "cordoned"
    taints = {text(one, "key") for one in listed(part(node, "spec"), "taints")}
    return "on its way out" if taints & _GOING else None
