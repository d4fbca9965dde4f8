"""When the pods came that take GPU: for the history of what is expected, and for the turnover."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from scheduler.history import History
from scheduler.placement import Shape
from scheduler.pods import Pod
from scheduler.turnover import Start


@dataclass(frozen=True, slots=True)
class _Came:
    node: str
    at_seconds: float
    gpu_milli: int = 0


class Arrivals:
    """Of one cluster, each pod once."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._running: dict[str, _Came] | None = {}
        """By UID, until their ages were read; None = that was done."""
        self._coming: dict[str, _Came] = {}
        """By UID, pods with claims that are not known to take GPU."""

    def came(self, pod: Pod, node: str, came_seconds: float) -> None:
        """The pod is on the node, and was not seen on one before."""
        self._coming[pod.uid] = _Came(node, came_seconds)
        if not pod.claim_names:
            self.takes(pod.uid, pod.shape)
            self._coming.pop(pod.uid, None)

    def takes(self, uid: str, shape: Shape | None) -> None:
        """This is what the pod takes of its node, its claims' GPUs among it; None = not known."""
        if shape is None or not shape.gpus or uid not in self._coming:
            return
        one = self._coming.pop(uid)
        self._history.saw(shape, one.at_seconds)
        if self._running is not None:
            self._running[uid] = replace(one, gpu_milli=shape.total_milli)

    def forget(self, uid: str) -> None:
        """The pod has ended or was deleted."""
        self._coming.pop(uid, None)
        if self._running is not None:
            self._running.pop(uid, None)

    def starts(self, now_seconds: float, *, but: Collection[str]) -> list[Start]:
        """Of the pods that run, once all were read for the first time; later there are none.

        Args:
            now_seconds: since 1970.
            but: nodes whose pods do not count.
        """
        running, self._running = self._running or {}, None
        return [
            Start(now_seconds - one.at_seconds, one.gpu_milli)
            for one in running.values()
            if one.node not in but
        ]
