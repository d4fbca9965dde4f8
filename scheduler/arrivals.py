"""When the pods came that take GPU: for the history of what is expected, and for the turnover."""

from collections.abc import Collection
from dataclasses import dataclass

from scheduler.history import History
from scheduler.pods import Pod
from scheduler.turnover import Start


@dataclass(frozen=True, slots=True)
class _Came:
    node: str
    at_seconds: float
    gpu_milli: int


class Arrivals:
    """Of one cluster, each pod once."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._running: dict[str, _Came] | None = {}
        """By UID, until their ages were read; None = that was done."""

    def saw(self, pod: Pod, node: str, came_seconds: float) -> None:
        """The pod is on the node, and was not seen on one before."""
        shape = pod.shape if pod.given is None else pod.shape_with(len(pod.given))
        if shape.gpus:
            self._history.saw(shape, came_seconds)
            if self._running is not None:
                self._running[pod.uid] = _Came(node, came_seconds, shape.total_milli)

    def forget(self, uid: str) -> None:
        """The pod has ended or was deleted."""
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
