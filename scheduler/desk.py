"""The extender's answers, from memory: what fits, what is best, and what was answered of late.

A desk knows one set of machines. Pods are told to it as they are bound and as they go; what it
answered itself it takes for granted until it is told or the answer expires.
"""

from collections.abc import Sequence

import numpy as np

from scheduler.fit import Filtered, filtered
from scheduler.ledger import ASSUMED_SECONDS, Assumed, Ledger
from scheduler.machines import Machine
from scheduler.mix import Mix
from scheduler.placement import Float, Int, Nodes, Shape
from scheduler.pods import Pod
from scheduler.preference import Preferences, places_of
from scheduler.rule import FillRule, Ranking

SCORE_MAX = 10
"""kube-scheduler's MaxExtenderPriority."""


class Desk:
    """Answers about one set of machines."""

    def __init__(self, machines: Sequence[Machine], mix: Mix) -> None:
        self._row = {machine.name: row for row, machine in enumerate(machines)}
        self._empty = Nodes(machine.empty() for machine in machines)
        self.nodes = Nodes(machine.empty() for machine in machines)
        self._rule = FillRule(self.nodes, mix)
        self._preferences = Preferences(machines, self.nodes)
        self._ledger = Ledger()
        self._bound: dict[str, Assumed] = {}
        self._groups: dict[str, dict[str, int]] = {}
        for shape in sorted(mix.weights, key=lambda one: -mix.weights[one])[:64]:
            self._rule.rank(shape)

    @property
    def assumed(self) -> int:
        return len(self._ledger)

    def filter(self, pod: Pod, names: list[str], *, now_seconds: float) -> Filtered:
        """Which of `names` can take the pod."""
        self._forget(pod.uid, now_seconds)
        result = filtered(names, self._rows(names), self.nodes, self._empty, pod.shape)
        missing = self._missing(pod)
        if missing is not None:
            result.failed.update(dict.fromkeys(result.passed, missing))
            result.passed.clear()
        elif len(result.passed) == 1:
            # With one node left kube-scheduler does not ask which is best.
            self._assume(pod, result.passed[0], self._rule.rank(pod.shape), now_seconds)
        else:
            self._rule.rank(pod.shape)  # so that the next question finds it ready
        return result

    def prioritise(self, pod: Pod, names: list[str], *, now_seconds: float) -> list[int]:
        """A score of each of `names`, 0 to SCORE_MAX; SCORE_MAX for exactly the one to take.

        With all of a total order in eleven steps, the best node alone has the highest, and the
        others are spread evenly by their worth below it.
        """
        self._forget(pod.uid, now_seconds)
        rows = self._rows(names)
        ranking = self._rule.rank(pod.shape)
        members = self._groups.get(pod.group.name, {}) if pod.group else {}
        scores = ranking.scores + self._preferences.milli(pod, set(members.values()))
        asked = np.append(scores, -np.inf)[rows]
        if not np.isfinite(asked).any():
            return [0] * len(names)
        # Of equals the first row wins, in whatever order the names came.
        ties = np.flatnonzero(asked == asked.max())
        best = int(ties[rows[ties].argmin()])
        self._assume(pod, names[best], ranking, now_seconds)
        return _spread(asked, best)

    def bound(self, pod: Pod, node: str, devices: Sequence[int] | None = None) -> None:
        """The pod runs on the node, on these GPUs; None = not told which.

        Those not told are taken as our answer had them, else as the allocator would give them.
        """
        before = self._ledger.drop(pod.uid) or self._bound.get(pod.uid)
        if before is not None:
            if before.node == node and devices is None:
                self._bound[pod.uid] = before
                return
            self._give_back(before)
        self._bound.pop(pod.uid, None)
        entry = self._placed(pod, node, devices, expires_seconds=np.inf)
        if entry is not None:
            self._bound[pod.uid] = entry

    def gone(self, uid: str) -> None:
        """The pod has ended or was deleted."""
        entry = self._ledger.drop(uid) or self._bound.pop(uid, None)
        if entry is not None:
            self._give_back(entry)

    def expire(self, now_seconds: float) -> int:
        """Give back what was answered and never seen; how many."""
        due = self._ledger.expired(now_seconds)
        for entry in due:
            self._give_back(entry)
        return len(due)

    def _missing(self, pod: Pod) -> str | None:
        """Why the pod's whole group cannot be placed; None if it can, or nobody knows its size."""
        if pod.group is None or pod.group.size is None:
            return None
        members = self._groups.get(pod.group.name, {})
        wanted = pod.group.size - len(members)
        places = int(places_of(self.nodes, pod.shape).sum())
        if wanted <= 1 or places >= wanted:
            return None
        return f"room for {places} of the {wanted} pods that group {pod.group.name} still lacks"

    def _rows(self, names: list[str]) -> Int:
        row = self._row
        return np.array([row.get(name, -1) for name in names], np.int64)

    def _assume(self, pod: Pod, node: str, ranking: Ranking, now_seconds: float) -> None:
        row = self._row.get(node)
        devices = None
        if row is not None and pod.shape.is_share and ranking.remainders[row] >= 0:
            devices = self.nodes.devices(row, pod.shape, int(ranking.remainders[row]))
        entry = self._placed(pod, node, devices, expires_seconds=now_seconds + ASSUMED_SECONDS)
        if entry is not None:
            for crowded in self._ledger.add(entry):
                self._give_back(crowded)

    def _placed(
        self, pod: Pod, node: str, devices: Sequence[int] | None, *, expires_seconds: float
    ) -> Assumed | None:
        row = self._row.get(node)
        if row is None:
            return None
        if devices is None:
            devices = self._free_devices(row, pod.shape)
        self.nodes.place(row, pod.shape, devices)
        if pod.group is not None:
            self._groups.setdefault(pod.group.name, {})[pod.uid] = row
        return Assumed(
            uid=pod.uid,
            node=node,
            shape=pod.shape,
            devices=tuple(devices),
            group=pod.group.name if pod.group else None,
            expires_seconds=expires_seconds,
        )

    def _free_devices(self, row: int, shape: Shape) -> list[int]:
        """As the allocator would give them; none where others took more than we knew of."""
        if shape.is_share and self.nodes.most[row] < shape.gpu_milli:
            return []
        return self.nodes.devices(row, shape)

    def _forget(self, uid: str, now_seconds: float) -> None:
        self.expire(now_seconds)
        entry = self._ledger.drop(uid)
        if entry is not None:
            self._give_back(entry)

    def _give_back(self, entry: Assumed) -> None:
        self.nodes.release(self._row[entry.node], entry.shape, entry.devices)
        if entry.group is not None:
            members = self._groups.get(entry.group, {})
            members.pop(entry.uid, None)
            if not members:
                self._groups.pop(entry.group, None)


def _spread(scores: Float, best: int) -> list[int]:
    known = np.isfinite(scores)
    low = scores[known].min()
    span = scores[best] - low
    share = np.where(known, scores - low, 0.0) / (span or 1.0)
    result = np.floor(share * (SCORE_MAX - 1)).astype(np.int64)
    result[best] = SCORE_MAX
    return [int(score) for score in result.tolist()]
