"""The extender's answers, from memory: what fits, and what is best.

It follows one set of machines, and the pods on them, as they come, change and go. A node that it
answered counts as taken as long as the pod waits. Too little knowledge never leaves a pod without a
node: what is not known passes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from scheduler.fit import Filtered, filtered, without_sense
from scheduler.gang_gate import hold_back
from scheduler.launcher_state import LauncherState
from scheduler.machines import Machine
from scheduler.mix import Mix
from scheduler.occupancy import Occupancy
from scheduler.offers import Offers
from scheduler.one_island import refuse_split
from scheduler.placement import WHOLE_MILLI, Float, Int, Nodes, Shape
from scheduler.pods import Pod
from scheduler.score.answers import Answers
from scheduler.score.columns import Columns, take_rows, total
from scheduler.score.hot_start import hot_start_columns
from scheduler.score.islands import ISLANDS
from scheduler.score.preference import places_of
from scheduler.score.rule import EXPECTED_PODS, FillRule

SCORE_MAX: Final = 10
"""kube-scheduler's MaxExtenderPriority."""
SHAPES_WARM: Final = 64
"""The most frequent shapes of the mix, whose scores are kept ready."""


@dataclass(frozen=True, slots=True)
class _View:
    """Every node in the eyes of one pod."""

    pod: Pod
    changes: tuple[int, int, int]
    """Of the nodes, and of what is known of their devices and launchers, until then."""
    columns: Columns
    remainders: Int
    shapes: Int
    """Shape ``(N,)``: GPUs that it takes there in all; -1 = the claim does not fit."""
    offers: Offers | None
    places: Int
    """Shape ``(N,)``: how many such pods each node has room for."""


class PlacementState:
    """Answers about one set of machines."""

    def __init__(
        self, machines: Iterable[Machine], mix: Mix, *, rows_at_once: int | None = None
    ) -> None:
        """Know `machines` and expect the pods of `mix`.

        Args:
            machines: those that are there from the start.
            mix: of the pods that are expected.
            rows_at_once: nodes that one answer works out at the most, and `warm` the others; None
                = all, however long it takes.
        """
        self.occupancy = Occupancy(machines)
        self.launchers = LauncherState()
        self.answers = Answers()
        self._rows_at_once = rows_at_once
        self._rule = self._rule_for(mix)
        self._coming: FillRule | None = None
        self._last: _View | None = None

    @property
    def nodes(self) -> Nodes:
        return self.occupancy.nodes

    @property
    def assumed(self) -> int:
        return self.occupancy.assumed

    # -- what is the case ------------------------------------------------------------------------

    def expect(self, mix: Mix) -> None:
        """Place for this mix, as soon as `warm` has worked out its scores."""
        self._coming = self._rule_for(mix)

    def warm(self, *, nodes_max: int) -> bool:
        """Work out up to `nodes_max` scores that will be asked for; whether any was due."""
        if (self._coming or self._rule).warm(nodes_max=nodes_max):
            return True
        if self.occupancy.predictor.warm():
            return True
        if self._coming is not None:
            self._rule, self._coming, self._last = self._coming, None, None
        return False

    def _rule_for(self, mix: Mix) -> FillRule:
        rule = FillRule(self.nodes, mix, rows_at_once=self._rows_at_once)
        frequent = sorted(mix.weights, key=lambda one: -mix.weights[one])[:SHAPES_WARM]
        rule.expect(reversed(frequent))
        for gpus in {shape.gpus for shape in frequent if shape.gpus and not shape.is_share}:
            self.occupancy.predictor.of(None, gpus)
        return rule

    def waits(self, pod: Pod) -> None:
        """The pod is there, and on no node yet."""
        self.occupancy.waits(pod)

    def bound(self, pod: Pod, node: str, devices: list[int] | None = None) -> None:
        """The pod runs on the node, on these GPUs; see `Occupancy.bind`."""
        self.occupancy.bind(pod, node, devices)

    def gone(self, uid: str) -> None:
        """The pod has ended or was deleted."""
        self.occupancy.gone(uid)

    # -- answers ---------------------------------------------------------------------------------

    def filter(self, pod: Pod, names: list[str], *, now_seconds: float) -> Filtered:
        """Which of `names` can take the pod."""
        self._forget(pod.uid, now_seconds)
        if pod.fault is not None:
            return without_sense(names, pod.fault)
        if pod.unknown is not None:
            return Filtered(list(names))
        # What else a node has to have, kube-scheduler has found out itself by now.
        result = filtered(names, self.occupancy.rows(names), self.nodes, pod.shape)
        if result.passed and pod.needs_nvlink:
            refuse_split(self.occupancy, pod, result, self._view(pod).offers)
        if result.passed and pod.group is not None:
            hold_back(self.occupancy, pod, result, now_seconds)
        if result.passed:
            # Worked out here, so that the question that follows costs next to nothing.
            view = self._view(pod)
            if len(result.passed) == 1:
                # With one node left kube-scheduler does not ask which is best.
                self._assume(pod, result.passed[0], view, now_seconds)
                scored = view.columns, [SCORE_MAX]
                rows = self.occupancy.rows(result.passed)
                self.answers.scored(pod, result.passed, rows, scored, now_seconds=now_seconds)
        return result

    def prioritise(self, pod: Pod, names: list[str], *, now_seconds: float) -> list[int]:
        """A score of each of `names`, 0 to SCORE_MAX; SCORE_MAX for exactly the one to take.

        With all of a total order in eleven steps, the best node alone has the highest, and the
        others are spread evenly by their worth below it. Where nothing is known all have 0.
        """
        self._forget(pod.uid, now_seconds)
        if pod.fault is not None or pod.unknown is not None:
            return [0] * len(names)
        view = self._view(pod)
        members = self._members(pod)
        columns = dict(view.columns)
        if (view.shapes > 0).any():
            columns |= self.occupancy.preferences.clique_columns(pod, members, view.places)
        rows = self.occupancy.rows(names)
        asked = np.append(total(columns), -np.inf)[rows]
        if not np.isfinite(asked).any():
            return [0] * len(names)
        # Of equals the first name wins, in whatever order the names came.
        best = min(np.flatnonzero(asked == asked.max()).tolist(), key=lambda at: names[at])
        self._assume(pod, names[best], view, now_seconds)
        scores = _spread(asked, best)
        self.answers.scored(pod, names, rows, (columns, scores), now_seconds=now_seconds)
        return scores

    def _view(self, pod: Pod) -> _View:
        """As the nodes are now; what filter has seen, prioritise need not see again."""
        last, changes = self._last, self._changes
        if last is None or last.changes != changes or last.pod != pod:
            last = self._last = self._seen_by(pod)
        return last

    def _seen_by(self, pod: Pod) -> _View:
        if pod.claim is None:
            shape = pod.shape
            ranking = self._rule.rank(shape)
            offers = self._offers(shape)
            wanted = np.full(len(self.nodes), shape.gpus, np.int64)
            columns, remainders = ranking.columns, ranking.remainders
            places = places_of(self.nodes, shape) if pod.group or self._has_cliques else wanted
        else:
            offers = self.occupancy.predictor.of(pod.claim, 0)
            wanted = np.where(offers.count >= 0, offers.count + pod.shape.gpus, -1)
            columns = {EXPECTED_PODS: np.full(len(self.nodes), -np.inf)}
            remainders = np.full(len(self.nodes), -1, np.int64)
            places = np.zeros(len(self.nodes), np.int64)
            counts = np.unique(wanted[wanted >= 0]).tolist()
            for gpus in counts:
                shape, there = pod.shape_with(gpus - pod.shape.gpus), wanted == gpus
                ranking = self._rule.rank(shape, there, part=1 / len(counts))
                take_rows(columns, ranking.columns, there)
                places[there] = places_of(self.nodes, shape)[there]
        part = pod.shape.gpu_milli / WHOLE_MILLI if pod.claim is None else 1.0
        columns |= self.occupancy.preferences.columns(pod, wanted.clip(0) * part, offers)
        plugged = None if pod.claim is None else self._offers(pod.shape)
        if plugged is not None:
            columns[ISLANDS] = columns[ISLANDS] - plugged.island_milli
        whole = np.zeros_like(wanted) if pod.claim is None and pod.shape.is_share else wanted
        columns |= hot_start_columns(
            self.launchers,
            pod.config,
            whole,
            nodes=self.nodes,
            row=self.occupancy.row,
            machines=self.occupancy.machines,
        )
        return _View(pod, self._changes, columns, remainders, wanted, offers, places)

    @property
    def _changes(self) -> tuple[int, int, int]:
        return self.nodes.changes, self.occupancy.predictor.changes, self.launchers.changes

    @property
    def _has_cliques(self) -> bool:
        return bool((self.occupancy.preferences.clique >= 0).any())

    def _offers(self, shape: Shape) -> Offers | None:
        if shape.gpus == 0 or shape.is_share:
            return None
        return self.occupancy.predictor.of(None, shape.gpus)

    def _members(self, pod: Pod) -> list[int]:
        """The row of each other member of the pod's group that is on a node."""
        nodes = self.occupancy.groups.nodes_of(pod.group.name) if pod.group else []
        return [self.occupancy.row[node] for node in nodes if node in self.occupancy.row]

    def _assume(self, pod: Pod, node: str, view: _View, now_seconds: float) -> None:
        row = self.occupancy.row.get(node)
        if row is None:
            return
        devices: list[int] | None = None
        offer = None if view.offers is None else view.offers.at(row)
        if offer is not None:
            devices = list(offer.slots)
        elif pod.shape.is_share and view.remainders[row] >= 0:
            devices = self.nodes.devices(row, pod.shape, int(view.remainders[row]))
        others = () if offer is None else self.occupancy.predictor.places(row, offer)
        self.occupancy.assume(pod, node, devices, now_seconds, others=others)

    def _forget(self, uid: str, now_seconds: float) -> None:
        self.occupancy.expire(now_seconds)
        self.occupancy.forget_assumed(uid)


def _spread(scores: Float, best: int) -> list[int]:
    known = np.isfinite(scores)
    low = scores[known].min()
    span = float(scores[best] - low)
    share = np.where(known, scores - low, 0.0) / span if span else known.astype(np.float64)
    result = np.floor(share * (SCORE_MAX - 1)).astype(np.int64)
    result[best] = SCORE_MAX
    spread: list[int] = result.tolist()
    return spread
