"""What changes between rounds: pods that begin to wait, or are gone, and nodes that we tainted."""

from collections.abc import Mapping
from dataclasses import dataclass

from fleet.cluster.reading import Cluster
from policies.levers.release import tainted_seconds
from policies.rounds import EMPTY_SECONDS_MIN, SETTLE_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    waiting: frozenset[str] = frozenset()
    """UIDs of pods that wait for a node with GPUs."""
    used: frozenset[str] = frozenset()
    """Names of Nodes with such pods, also with pods that are about to go."""
    tainted: frozenset[str] = frozenset()
    """UIDs of Nodes with our taint."""


class PodWatch:
    """Compares each reading with the one before."""

    def __init__(self) -> None:
        self._seen = _Seen()
        self._emptied: dict[str, float] = {}

    @property
    def emptied_seconds(self) -> Mapping[str, float]:
        """When Nodes were seen without their last pod, by name; of those that were seen with it."""
        return self._emptied

    def see(self, cluster: Cluster, now_seconds: float) -> frozenset[float]:
        """Take a reading.

        Returns:
            In how many seconds rounds are to be made because of it.
        """
        if cluster.pods is None:
            return frozenset()
        before, self._seen = self._seen, _seen(cluster)
        waiting, used = self._seen.waiting, self._seen.used
        emptied = before.used - used
        there = {node.name for node in cluster.nodes} - used
        known = self._emptied | dict.fromkeys(emptied, now_seconds)
        # A clock that was set back must not leave a moment that is still to come.
        self._emptied = {name: min(at, now_seconds) for name, at in known.items() if name in there}
        bound = {pod.uid for pod in cluster.pods if pod.node is not None}
        calls = {
            0.0: waiting - before.waiting,
            SETTLE_SECONDS: self._seen.tainted - before.tainted,
            EMPTY_SECONDS_MIN: emptied | (before.waiting - waiting - bound),
        }
        return frozenset(within for within, what in calls.items() if what)


def _seen(cluster: Cluster) -> _Seen:
    pods = [pod for pod in cluster.pods or () if pod.may_take_gpus and not pod.ended]
    return _Seen(
        waiting=frozenset(
            pod.uid for pod in pods if pod.node is None and pod.deleted_seconds is None
        ),
        used=frozenset(pod.node for pod in pods if pod.node is not None),
        tainted=frozenset(node.uid for node in cluster.nodes if tainted_seconds(node) is not None),
    )
