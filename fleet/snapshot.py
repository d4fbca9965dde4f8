"""A cluster's GPUs at one moment: which there are, who has them, what they cost.

Numbers are of GPUs, whoever gives them out: a device plugin, DRA, both, whole or in parts. What
nobody told is None, and never 0.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from fleet.account import NodeGpus, account_of
from fleet.activity import Activity
from fleet.catalogue import Catalogue
from fleet.devices import Gpu, devices_of, dra_resources, gpus_of, grants_of, wanted_of
from fleet.documents import Json, amount, named, part
from fleet.instances import Instance
from fleet.nodes import machine_of
from fleet.pods import MODEL_LABELS, Pod, pods_of
from fleet.quotas import WHOLE, quota_of
from fleet.uses import Held

KUBECTL: Final = "`kubectl get nodes,pods,resourceslices,resourceclaims,deviceclasses -A -o json`"
"""What writes down all that tells who has which GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Recorded objects of a cluster."""

    cluster: str
    nodes: tuple[Json, ...] = ()
    # Of these, None = nobody read them, and there may be some.
    pods: tuple[Json, ...] | None = ()
    slices: tuple[Json, ...] | None = ()
    claims: tuple[Json, ...] | None = ()
    classes: tuple[Json, ...] | None = ()
    node_pools: tuple[Json, ...] | None = ()
    remarks: tuple[str, ...] = ()
    """What could not be read."""

    @classmethod
    def of(
        cls, cluster: str, objects: Mapping[str, tuple[Json, ...] | None], remarks: Iterable[str]
    ) -> "World":
        """A cluster by the objects of each field; of a field that is left out there are none."""
        return cls(
            cluster=cluster,
            nodes=objects.get("nodes") or (),
            pods=objects.get("pods", ()),
            slices=objects.get("slices", ()),
            claims=objects.get("claims", ()),
            classes=objects.get("classes", ()),
            node_pools=objects.get("node_pools", ()),
            remarks=tuple(remarks),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known without the cluster."""

    catalogue: Catalogue
    instances: Mapping[str, Instance]
    usd_per_gpu_hour: Mapping[str, float] = field(default_factory=dict)
    """The operator's, by machine type or generation."""
    model_labels: tuple[str, ...] = MODEL_LABELS


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePool:
    """Karpenter's."""

    name: str
    gpus_limit: float | None
    """None = no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSnapshot:
    """A cluster's GPUs."""

    cluster: str
    nodes: tuple[NodeGpus, ...]
    """Those with GPUs."""
    node_pools: tuple[NodePool, ...] | None
    """None = nobody read them."""
    waiting_gpus: float | None
    """That pods without a node ask for, by extended resources or by claims; None = unknown."""
    remarks: tuple[str, ...]
    """What could not be read, and what does not add up."""


def snapshot_of(
    world: World, known: Known, activity: Activity | None, now_seconds: float
) -> FleetSnapshot:
    """What the recorded objects amount to.

    Args:
        world: the objects.
        known: the catalogue, machine types and prices.
        activity: of the GPUs; None = not measured.
        now_seconds: when the objects were read; a pod that began within the window of the
            activity is not idle yet.
    """
    pods = {pod.name: pod for pod in pods_of(world.pods or (), known.model_labels)}
    placed: dict[str | None, list[Pod]] = defaultdict(list)
    for pod in pods.values():
        placed[pod.node].append(pod)
    dra = _dra_by_node(world, known.catalogue)
    nodes, uncounted = [], []
    for document in world.nodes:
        name = named(document)
        held = _held(document, known, placed.get(name, []), dra.pop(name, []))
        held = replace(held, not_read=_not_read(world, held, pods.values()))
        account = account_of(held, known.catalogue, pods, activity, now_seconds)
        if account is not None:
            nodes.append(account)
        elif held.machine.has_gpus:
            uncounted.append(f"node {name} has GPUs that nobody has counted yet")
    told = (remark for node in nodes for remark in node.remarks)
    remarks = [*world.remarks, *_unknown_uses(nodes), *told, *uncounted]
    strays = sum(map(len, dra.values()))
    if strays:
        remarks.append(f"{strays} GPUs in ResourceSlices are on no node that exists")
    return FleetSnapshot(
        cluster=world.cluster,
        nodes=tuple(nodes),
        node_pools=None if world.node_pools is None else tuple(map(_node_pool, world.node_pools)),
        waiting_gpus=_waiting(placed.get(None, []), world),
        remarks=tuple(remarks),
    )


def _held(document: Json, known: Known, pods: list[Pod], dra: list[Gpu]) -> Held:
    product = next((gpu.product for gpu in dra if gpu.product), None)
    machine = machine_of(
        document, known.catalogue, known.instances, known.usd_per_gpu_hour, product
    )
    quota = quota_of(document, machine.generation, machine.gpus)
    return Held(machine=machine, quota=quota, pods=pods, dra=dra)


def _dra_by_node(world: World, catalogue: Catalogue) -> dict[str, list[Gpu]]:
    devices = devices_of(world.slices or ())
    products = {device.product for device in devices if device.product}
    generations = {product: catalogue.find(product) for product in products}
    found: dict[str, list[Gpu]] = defaultdict(list)
    for gpu in gpus_of(devices, grants_of(world.claims or ()), generations):
        found[gpu.node or ""].append(gpu)
    return found


def _not_read(world: World, held: Held, pods: Iterable[Pod]) -> str | None:
    """The kind of object without which nobody knows who has the GPUs of a node."""
    if held.quota.share and world.pods is None:
        return "Pod"
    by_claims = world.pods is None or any(pod.claims for pod in pods)
    if by_claims and held.dra and world.claims is None:
        return "ResourceClaim"
    if by_claims and not held.dra and not held.quota.share and world.slices is None:
        return "ResourceSlice"
    return None


def _unknown_uses(nodes: Iterable[NodeGpus]) -> list[str]:
    """What was not read, and of how many GPUs it would tell who has them."""
    gpus: dict[str, int] = {}
    for node in nodes:
        if node.not_read is not None:
            gpus[node.not_read] = gpus.get(node.not_read, 0) + node.gpus
    return [
        f"no {kind} was read: of {count} GPUs it is unknown which are used or free; {KUBECTL} "
        "writes down what tells"
        for kind, count in gpus.items()
    ]


def _waiting(pods: list[Pod], world: World) -> float | None:
    claims = {claim for pod in pods for claim in pod.claims}  # pods may share one
    claimed = bool(claims) or any(pod.claimed for pod in pods)
    if world.pods is None or (claimed and (world.claims is None or world.classes is None)):
        return None
    resources = {*WHOLE, *dra_resources(world.classes or ())}
    wanted = wanted_of(world.claims or (), world.classes or ())
    plugged = (
        count
        for pod in pods
        for name, count in (*pod.units.items(), *pod.claimed.items())
        if name in resources
    )
    return sum(plugged) + sum(wanted.get(claim, 0.0) for claim in claims)


def _node_pool(document: Json) -> NodePool:
    limits = part(document, "spec", "limits")
    told = [amount(limits, name) for name in WHOLE if name in limits]
    return NodePool(name=named(document), gpus_limit=told[0] if told else None)
