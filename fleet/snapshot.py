"""A cluster's GPUs at one moment: which there are, which pods have them, what they cost.

Numbers count GPUs, whether a device plugin, DRA or both give them out, whole or in parts. What is
not known is None, never 0.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from fleet.account.machines import claims_of_nodes, nodes_to_come
from fleet.account.node import NodeGpus, account_of
from fleet.account.node_ends import node_ends
from fleet.account.remembered_accounts import Account, MadeOf, RememberedAccounts
from fleet.activity import Activity
from fleet.catalogue import Catalogue
from fleet.cluster.asked_gpus import AskedGpus
from fleet.cluster.gpu_resources import WHOLE
from fleet.cluster.gpus import Gpu, gpus_by_node
from fleet.cluster.hardware import Prices, hardware_of
from fleet.cluster.karpenter import NodePool as NodePoolRecord
from fleet.cluster.nodes import Node
from fleet.cluster.platform import platforms
from fleet.cluster.pods import Pod
from fleet.cluster.quotas import quota_of
from fleet.cluster.reading import Cluster
from fleet.cluster.taint_rules import by_pool, tainted
from fleet.remark_text import first_of
from fleet.uses import MODEL_LABELS, TAINT_RULE, Held, rounded

KUBECTL: Final = "`kubectl get nodes,pods,resourceslices,resourceclaims,deviceclasses -A -o json`"
"""The command that writes all objects which tell the pods of each GPU."""
_POD: Final = "Pod"
_CLAIM: Final = "ResourceClaim"
_SLICE: Final = "ResourceSlice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The catalogue, prices and labels: known without the cluster."""

    catalogue: Catalogue
    prices: Prices = field(default_factory=Prices)
    model_labels: tuple[str, ...] = MODEL_LABELS


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePool:
    """Karpenter's."""

    name: str
    gpus_limit: float | None
    """None = no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BroughtNodes:
    """The nodes that one controller brings, such as EKS Auto Mode."""

    who: str
    nodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingNode:
    """A node whose end is known."""

    node: str
    at_seconds: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSnapshot:
    """A cluster's GPUs."""

    cluster: str
    nodes: tuple[NodeGpus, ...]
    """Those with GPUs."""
    coming: tuple[NodeGpus, ...] | None = ()
    """Machines that are launched, and so paid for, and have no node yet; None = NodeClaims were not
    read, and there may be some."""
    node_pools: tuple[NodePool, ...] | None
    """None = nobody read them."""
    brought_by: tuple[BroughtNodes, ...] = ()
    """Who brings its nodes, those without GPUs among them."""
    ends: tuple[EndingNode, ...] = ()
    """Nodes with GPUs that go whatever anybody does, the next first."""
    waiting_gpus: float | None
    """That pods without a node ask for, by extended resources or by claims; None = unknown, also
    where one asks for parts of GPUs, or by a claim that is to be made."""
    remarks: tuple[str, ...]
    """What could not be read, and what does not add up."""


def snapshot_of(
    cluster: Cluster,
    known: Known,
    activity: Activity | None,
    now_seconds: float,
    remembered: RememberedAccounts | None = None,
) -> FleetSnapshot:
    """The GPUs of a cluster, by its records.

    Args:
        cluster: the records.
        known: the catalogue, machine types and prices.
        activity: of the GPUs; None = not measured.
        now_seconds: when the objects were read; a pod that began within the window of the
            activity is not idle yet.
        remembered: accounts of an earlier reading of the same cluster, by the same `known`, without
            activity; those of this one take their place.
    """
    pods = {pod.name: pod for pod in cluster.pods or () if not pod.ended}
    placed: dict[str | None, list[Pod]] = defaultdict(list)
    for pod in pods.values():
        placed[pod.node].append(pod)
    rules = by_pool(cluster.taint_rules or ())
    slices = [tainted(one, rules) for one in cluster.slices or ()]
    # Without slices, what claims have is unknown, and not gone.
    claims = () if cluster.slices is None else cluster.claims or ()
    dra = gpus_by_node(slices, claims, known.catalogue)
    made_by = claims_of_nodes(cluster)
    by_claims = cluster.pods is None or any(pod.claims for pod in pods.values())
    remembered = RememberedAccounts() if remembered is None or activity is not None else remembered
    unread = _unread(cluster)
    nodes, uncounted = [], []
    for node in cluster.nodes:
        of_dra = dra.pop(node.name, [])
        made_of = MadeOf(
            node=node,
            claim=made_by.get(node.name),
            pods=placed.get(node.name, []),
            unread=unread,
            by_claims=by_claims,
        )
        account = None if of_dra else remembered.find(made_of)
        if account is None:
            held = held_on(node, known, made_of.pods, of_dra)
            not_read = _not_read(held, unread, by_claims=by_claims)
            held = replace(held, not_read=not_read, claim=made_of.claim)
            account = Account(
                gpus=account_of(held, known.catalogue, pods, activity, now_seconds),
                has_gpus=held.hardware.has_gpus,
            )
        if not of_dra:
            remembered.remember(made_of, account)
        if account.gpus is not None:
            nodes.append(account.gpus)
        elif account.has_gpus:
            uncounted.append(f"node {node.name} has GPUs, and their number is not known yet")
    remembered.end()
    of_nodes = (remark for node in nodes for remark in node.remarks)
    waiting_gpus, of_waiting = _waiting(placed.get(None, []), cluster)
    remarks = [*cluster.remarks, *_unknown_uses(nodes), *of_nodes, *uncounted, *of_waiting]
    strays = sum(not gpu.gone for of_dra in dra.values() for gpu in of_dra)
    if strays:
        remarks.append(f"{strays} GPUs in ResourceSlices are on no node that exists")
    pools = cluster.node_pools
    return FleetSnapshot(
        cluster=cluster.name,
        nodes=tuple(nodes),
        coming=None if cluster.node_claims is None else tuple(_coming(cluster, known, now_seconds)),
        node_pools=None if pools is None else tuple(map(_node_pool, pools)),
        brought_by=tuple(
            BroughtNodes(who=who, nodes=count)
            for who, count in platforms(cluster.nodes, pools or ()).items()
        ),
        ends=_ends(cluster, nodes),
        waiting_gpus=waiting_gpus,
        remarks=tuple(remarks),
    )


def _ends(cluster: Cluster, nodes: Iterable[NodeGpus]) -> tuple[EndingNode, ...]:
    ends = node_ends(cluster)
    found = [
        EndingNode(node=one.node, at_seconds=ends[one.node].at_seconds, why=ends[one.node].why)
        for one in nodes
        if one.node in ends
    ]
    return tuple(sorted(found, key=lambda one: (one.at_seconds, one.node)))


def _coming(cluster: Cluster, known: Known, now_seconds: float) -> Iterator[NodeGpus]:
    for node, claim in nodes_to_come(cluster):
        held = replace(held_on(node, known, [], []), claim=claim)
        account = account_of(held, known.catalogue, {}, None, now_seconds)
        if account is not None:
            yield account


def held_on(node: Node, known: Known, pods: Sequence[Pod], dra: Sequence[Gpu]) -> Held:
    """A node with everything that holds or gives out its GPUs.

    Args:
        node: the node.
        known: the catalogue, machine types and prices.
        pods: that are on it and have not ended.
        dra: its GPUs that DRA gives out, or gave out.
    """
    product = next((gpu.product for gpu in dra if gpu.product), None)
    hardware = hardware_of(node, known.catalogue, known.prices, product)
    held = Held(
        node=node,
        hardware=hardware,
        quota=quota_of(node, hardware),
        pods=pods,
        dra=[gpu for gpu in dra if not gpu.gone],
        gone=[gpu for gpu in dra if gpu.gone],
        model_labels=known.model_labels,
    )
    if known.prices.measured:  # of the whole node, so its GPUs are counted first
        price = known.prices.of(node, hardware.generation, held.gpus)
        held = replace(held, hardware=replace(hardware, price=price))
    return held


def _unread(cluster: Cluster) -> frozenset[str]:
    """The kinds of a cluster that were not read, of those which tell the use of GPUs."""
    kinds = {
        _POD: cluster.pods,
        _CLAIM: cluster.claims,
        _SLICE: cluster.slices,
        TAINT_RULE: cluster.taint_rules,
    }
    return frozenset(kind for kind, records in kinds.items() if records is None)


def _not_read(held: Held, unread: frozenset[str], *, by_claims: bool) -> str | None:
    """The kind of object that is missing to tell which GPUs of a node are used or free.

    Args:
        held: the node.
        unread: the kinds that were not read.
        by_claims: a pod of the cluster has claims, or may have.
    """
    if (held.quota.share or held.quota.gone) and _POD in unread:
        return _POD
    driverless = not held.dra and not held.quota.share
    if by_claims and driverless and _SLICE in unread:
        return _SLICE
    # Pods may have claims on a node whose driver is gone.
    claimed = driverless and (_POD in unread or any(pod.claims for pod in held.pods))
    if by_claims and (held.dra or claimed) and _CLAIM in unread:
        return _CLAIM
    if TAINT_RULE in unread and _may_be_tainted(held):
        return TAINT_RULE
    return None


def _may_be_tainted(held: Held) -> bool:
    """Whether a rule that is not known would take GPUs from new pods."""
    return held.out is None and any(gpu.out is None and rounded(gpu.taken) < 1 for gpu in held.dra)


def _unknown_uses(nodes: Iterable[NodeGpus]) -> list[str]:
    """A remark for each kind that was not read, with the number of GPUs that it leaves unknown."""
    gpus: dict[str, int] = {}
    for node in nodes:
        if node.not_read is not None:
            gpus[node.not_read] = gpus.get(node.not_read, 0) + node.gpus
    return [
        f"not every {kind} was read: {count} GPUs may be tainted, so it is unknown which are free"
        if kind == TAINT_RULE
        else f"no {kind} was read: of {count} GPUs it is unknown which are used or free; {KUBECTL} "
        "writes down what tells"
        for kind, count in gpus.items()
    ]


def _waiting(pods: Sequence[Pod], cluster: Cluster) -> tuple[float | None, list[str]]:
    """GPUs that pods without a node ask for, and a remark where it is unknown how many."""
    if cluster.pods is None:
        return None, []
    gpus, unknown = AskedGpus(cluster).of_waiting(pods)
    if not unknown:
        return gpus, []
    remark = (
        f"pods without a node ask for {rounded(gpus):g} GPUs, and for an unknown number: "
        f"{first_of(unknown)} by parts of GPUs, by claims that are not made yet, or by what was "
        "not read"
    )
    return None, [remark]


def _node_pool(pool: NodePoolRecord) -> NodePool:
    limits = [float(pool.limits[name]) for name in WHOLE if name in pool.limits]
    return NodePool(name=pool.name, gpus_limit=limits[0] if limits else None)
