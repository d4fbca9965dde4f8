"""What changes between rounds: pods that begin to wait, or are gone, and nodes that we tainted."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleet.cluster.pods import Pod
from fleet.cluster.reading import Cluster
from policies.levers.release import tainted_since_seconds
from policies.rounds import EMPTY_SECONDS_MIN, SETTLE_SECONDS, Emptied, replaced_seconds

_Pods = Mapping[str, Pod]
"""By UID."""
_NONE: _Pods = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    waiting: _Pods = field(default_factory=dict)
    """Pods that wait for a node with GPUs."""
    on_nodes: Mapping[str, _Pods] = field(default_factory=dict)
    """By the Node's name, such pods on it, also those that are about to go."""
    tainted: frozenset[str] = frozenset()
    """UIDs of Nodes with our taint."""


class PodWatch:
    """Compares each reading with the one before."""

    def __init__(self) -> None:
        self._seen = _Seen()
        self._left: dict[str, Emptied] = {}
        """By the Node's name, of those that pods have left; the others may have pods still."""
        self.ranking_changed = False
        """By the last reading a pod of a ReplicaSet, which goes by ranks, left a node to others of
        such. Pods of other kinds may be gone for a while before the next one waits."""

    @property
    def emptied(self) -> Mapping[str, Emptied]:
        """How Nodes lost their pods, by name; of those that were seen with them."""
        used = self._seen.on_nodes
        return {name: left for name, left in self._left.items() if name not in used}

    def see(self, cluster: Cluster, now_seconds: float) -> frozenset[float]:
        """Take a reading.

        Returns:
            In how many seconds rounds are to be made because of it.
        """
        self.ranking_changed = False
        if cluster.pods is None:
            return frozenset()
        before, seen = self._seen, _seen(cluster)
        self._seen = seen
        self._take_leaves(before, cluster, now_seconds)
        bound = {pod.uid for pod in cluster.pods if pod.node is not None}
        over = before.waiting.keys() - seen.waiting.keys() - bound
        emptied = (before.on_nodes.keys() - seen.on_nodes.keys()) & self._left.keys()
        calls = {_replaced_seconds(before.waiting[uid]) for uid in over}
        calls |= {self._left[name].replaced_until_seconds - now_seconds for name in emptied}
        if seen.waiting.keys() - before.waiting.keys():
            calls.add(0.0)
        if seen.tainted - before.tainted:
            calls.add(SETTLE_SECONDS)
        return frozenset(calls)

    def _take_leaves(self, before: _Seen, cluster: Cluster, now_seconds: float) -> None:
        """Note which nodes pods have left, and until when others may come in their place."""
        known = {name: _not_after(left, now_seconds) for name, left in self._left.items()}
        for name, pods in before.on_nodes.items():
            rest = self._seen.on_nodes.get(name, _NONE)
            gone = pods.keys() - rest.keys()
            if gone:
                self.ranking_changed |= any(_goes_by_rank(pods[uid]) for uid in gone) and any(
                    _goes_by_rank(pod) for pod in rest.values()
                )
                until = now_seconds + max(_replaced_seconds(pods[uid]) for uid in gone)
                if name in known:
                    until = max(until, known[name].replaced_until_seconds)
                known[name] = Emptied(at_seconds=now_seconds, replaced_until_seconds=until)
        there = {node.name for node in cluster.nodes}
        self._left = {name: left for name, left in known.items() if name in there}


def _not_after(left: Emptied, now_seconds: float) -> Emptied:
    """A clock that was set back must not leave a moment that is still to come."""
    return Emptied(
        at_seconds=min(left.at_seconds, now_seconds),
        replaced_until_seconds=min(left.replaced_until_seconds, now_seconds + EMPTY_SECONDS_MIN),
    )


def _seen(cluster: Cluster) -> _Seen:
    waiting: dict[str, Pod] = {}
    on_nodes: dict[str, dict[str, Pod]] = {}
    for pod in cluster.pods or ():
        if not pod.may_take_gpus or pod.ended:
            continue
        if pod.node is not None:
            on_nodes.setdefault(pod.node, {})[pod.uid] = pod
        elif pod.deleted_seconds is None:
            waiting[pod.uid] = pod
    return _Seen(
        waiting=waiting,
        on_nodes=on_nodes,
        tainted=frozenset(
            node.uid for node in cluster.nodes if tainted_since_seconds(node) is not None
        ),
    )


def _replaced_seconds(pod: Pod) -> float:
    """How long after its end a pod in its place may come."""
    return replaced_seconds(_controller(pod))


def _goes_by_rank(pod: Pod) -> bool:
    return _controller(pod) == "ReplicaSet"


def _controller(pod: Pod) -> str | None:
    return next((one.kind for one in pod.owners if one.controls), None)
