"""Which pods of a Deployment go when it shrinks, by the ReplicaSet controller's ranking.

The order is that of `ActivePodsWithRanks` in `controller_utils.go`: without a node first, then
those that do not run yet, those that are not ready, the lower deletion cost, more pods of the same
ReplicaSet on the node, and the younger one by a logarithm of its age, with the UID between equals.
Restarts of containers are left out: none happens here.
"""

from collections import Counter
from collections.abc import Sequence
from math import frexp

from replay.cluster.live import LivePod
from replay.cluster.settings import PodChoice

_Key = tuple[float, ...]


def first_to_go(
    pods: Sequence[LivePod], count: int, choice: PodChoice, now_seconds: float
) -> list[LivePod]:
    """The pods that go when `count` replicas are removed at once."""
    on_node = Counter(id(pod.node) for pod in pods)
    emptiest = _ranks(pods) if choice is PodChoice.EMPTIEST_NODE else None

    def key(pod: LivePod) -> _Key:
        node = id(pod.node)
        if pod.node is None:
            return (0, 0, 0, 0, 0, -pod.created_seconds, pod.tie)
        return (
            1,
            now_seconds >= pod.served_from_seconds,
            now_seconds >= pod.ready_seconds,
            pod.deletion_cost if emptiest is None else emptiest[node],
            -on_node[node],
            _logarithm(now_seconds - pod.ready_seconds),
            pod.tie,
        )

    return sorted(pods, key=key)[:count]


def _ranks(pods: Sequence[LivePod]) -> dict[int, int]:
    """By node: 0 for the one with the fewest GPUs in use, of equal ones the younger."""
    nodes = {id(pod.node): pod.node for pod in pods if pod.node is not None}
    ranked = sorted(nodes.values(), key=lambda n: (n.used_gpus, -n.ordered_seconds, n.name))
    return {id(node): place for place, node in enumerate(ranked)}


def _logarithm(age_seconds: float) -> int:
    """To base two, of nanoseconds, and -1 for none: as the controller compares ages."""
    return frexp(age_seconds * 1e9)[1] - 1 if age_seconds > 0 else -1
