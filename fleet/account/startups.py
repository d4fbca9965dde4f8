"""The starts of a cluster's pods and GPU nodes, from the records of its readings.

Timestamps are those of the API server's objects, to the second.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from fleet.account.machines import is_initialized, node_to_come
from fleet.account.places import Place
from fleet.account.starts import NodeStart, PodStart, Starts
from fleet.cluster.fields import condition
from fleet.cluster.gpu_pods import gpu_pods
from fleet.cluster.gpu_resources import WHOLE, counts_gpus
from fleet.cluster.hardware import hardware_of
from fleet.cluster.karpenter import NodeClaim
from fleet.cluster.nodes import KARPENTER_POOL, Node
from fleet.cluster.pods import Pod
from fleet.cluster.pools import pools_of
from fleet.cluster.reading import Cluster
from fleet.snapshot import Known

PODS_MAX: Final = 4096
"""Starts of pods that are remembered after their end."""
NODES_MAX: Final = 1024
"""Starts of nodes that are remembered after their end."""
_GPUS: Final = frozenset(WHOLE)
_DRIVER: Final = "nvidia.com/cuda.driver-version.full"
"""Label of GPU feature discovery."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartUps:
    """The starts of a cluster's pods and nodes."""

    pods: Starts[PodStart] = field(default_factory=lambda: Starts(most=PODS_MAX))
    nodes: Starts[NodeStart] = field(default_factory=lambda: Starts(most=NODES_MAX))

    def read(self, cluster: Cluster, known: Known, now_seconds: float) -> "StartUps":
        """With what a reading adds. Kinds that were not read change nothing."""
        result = self
        if cluster.pods is not None:
            nodes = {node.name: node for node in cluster.nodes}
            there = [
                (pod, pod.created_seconds)
                for pod in cluster.pods
                if pod.created_seconds is not None and not pod.ended
            ]
            settled = self.pods.settled & {pod.uid for pod, _ in there}
            takes_gpus = gpu_pods(cluster)
            pods = [
                _pod_start(pod, created_seconds, nodes, takes_gpus=takes_gpus(pod))
                for pod, created_seconds in there
                if pod.uid not in settled
            ]
            result = replace(result, pods=self.pods.read(pods, now_seconds, settled))
        if cluster.node_claims is not None:
            uids = {claim.uid for claim in cluster.node_claims}
            settled = self.nodes.settled & (uids | {node.uid for node in cluster.nodes})
            machines = list(_node_starts(cluster, known, settled, now_seconds))
            result = replace(result, nodes=self.nodes.read(machines, now_seconds, settled))
        return result

    def with_called_off(
        self, uids: Collection[str], going: Collection[str] = frozenset()
    ) -> "StartUps":
        """With what a round has called off of the machines under way.

        Args:
            uids: of the NodeClaims that it called off; any other is not called off any more.
            going: of those that are or were deleted: what was said of them before stays.
        """
        found = {
            uid: one
            if uid in going or one.called_off == (uid in uids)
            else replace(one, called_off=uid in uids)
            for uid, one in self.nodes.starting.items()
        }
        return replace(self, nodes=replace(self.nodes, starting=found))


def _pod_start(
    pod: Pod, created_seconds: float, nodes: Mapping[str, Node], *, takes_gpus: bool
) -> PodStart:
    scheduled, ready = (condition(pod.conditions, kind) for kind in ("PodScheduled", "Ready"))
    node = nodes.get(pod.node or "")
    node_ready = node.ready_seconds if node is not None else None
    if node_ready is not None and node_ready < created_seconds:
        node_ready = None  # it was ready already
    return PodStart(
        uid=pod.uid,
        name=pod.name,
        workload=pod.workload,
        images=pod.images,
        takes_gpus=takes_gpus,
        node=pod.node,
        place=_place(node) if node is not None else None,
        created_seconds=created_seconds,
        scheduled_seconds=scheduled.since_seconds if scheduled and scheduled.holds else None,
        node_ready_seconds=node_ready,
        image_pulled_seconds=pod.first_container_seconds,
        started_seconds=pod.containers_started_seconds,
        ready_seconds=ready.since_seconds if ready and ready.holds else None,
    )


def _node_starts(
    cluster: Cluster, known: Known, settled: Collection[str], now_seconds: float
) -> Iterator[NodeStart]:
    """Machines with GPUs: by their NodeClaim, or by their node where Karpenter did not make it."""
    nodes = {node.name: node for node in cluster.nodes}
    by_claims = _nodes_of_dra(cluster)
    for claim in cluster.node_claims or ():
        if claim.uid in settled:
            continue
        node = nodes.get(claim.node or "")
        of_gpus = _GPUS & (claim.requests.keys() | claim.capacity.keys())
        machine = node or node_to_come(claim)
        if claim.created_seconds is not None and (of_gpus or _has_gpus(machine, known, by_claims)):
            yield NodeStart(
                uid=claim.uid,
                name=claim.name,
                pool=claim.pool,
                instance_type=claim.instance_type,
                zone=claim.zone,
                capacity_type=claim.capacity_type,
                machine_image=claim.machine_image,
                driver=_driver(node),
                created_seconds=claim.created_seconds,
                launched_seconds=claim.since_seconds("Launched"),
                registered_seconds=claim.since_seconds("Registered"),
                node_ready_seconds=node.ready_seconds if node is not None else None,
                initialized_seconds=claim.since_seconds("Initialized"),
                gpus_seconds=_gpus_seconds(claim, node, by_claims, now_seconds),
            )
    for node in nodes.values():
        made_by_karpenter = KARPENTER_POOL in node.labels
        if node.created_seconds is None or made_by_karpenter or node.uid in settled:
            continue
        if _has_gpus(node, known, by_claims):
            yield NodeStart(
                uid=node.uid,
                name=node.name,
                pool=node.pool,
                instance_type=node.instance_type,
                zone=node.zone,
                capacity_type=node.capacity_type,
                claimed=False,
                driver=_driver(node),
                created_seconds=node.created_seconds,
                node_ready_seconds=node.ready_seconds,
                gpus_seconds=now_seconds if _gives_gpus(node, by_claims) else None,
            )


def _gpus_seconds(
    claim: NodeClaim, node: Node | None, by_claims: frozenset[str], now_seconds: float
) -> float | None:
    """Since when pods can ask for GPUs; None = they never could, as far as is seen."""
    initialized = claim.since_seconds("Initialized")
    if initialized is not None and _GPUS & claim.requests.keys():
        return initialized  # Karpenter waited for them, whatever became of them since
    if node is None or not is_initialized(node, claim):
        return None  # a driver may offer them long before the last startup taint goes
    return now_seconds if _gives_gpus(node, by_claims) else None


def _place(node: Node) -> Place:
    return Place(
        pool=node.pool,
        instance_type=node.instance_type,
        capacity_type=node.capacity_type,
        zone=node.zone,
    )


def _driver(node: Node | None) -> str | None:
    return node.labels.get(_DRIVER) if node is not None else None


def _nodes_of_dra(cluster: Cluster) -> frozenset[str]:
    """Nodes whose GPUs a claim can be given."""
    return frozenset(
        device.node
        for pool in pools_of(cluster.slices or ())
        if pool.missing is None
        for device in pool.devices
        if device.face is not None and device.node is not None
    )


def _has_gpus(node: Node, known: Known, by_claims: frozenset[str]) -> bool:
    hardware = hardware_of(node, known.catalogue, known.prices)
    return hardware.has_gpus or bool(hardware.gpus) or _gives_gpus(node, by_claims)


def _gives_gpus(node: Node, by_claims: frozenset[str]) -> bool:
    """Whether its GPUs are offered to pods, by a device plugin or by claims."""
    if not node.ready:
        return False
    plugged = (amount for name, amount in node.allocatable.items() if counts_gpus(name))
    return node.name in by_claims or any(amount > 0 for amount in plugged)
