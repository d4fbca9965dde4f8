"""What each node gains or loses by taking a pod, kept until the node changes.

Who cannot wait gets an answer from the nodes most likely to be best: no node loses more than its
idle GPUs and what its cores are worth, so those with least idle come first, and the others count as
losing all of it until they are worked out.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from scheduler.placement import WHOLE_MILLI, Bool, Float, Int, Nodes, Shape
from scheduler.score.scarcity import Widths

_SHAPES_MAX = 512
"""Shapes whose gains are kept; of more, those asked longest ago are worked out again."""
_SHAPES_WARM_MAX = 64
ROWS_IN_A_HURRY = 24
"""Nodes that are worked out in the millisecond or two that an answer may take."""
_CORES_MILLI = 1000.0
"""What the cores of a node are worth at the most, beside its GPUs."""

Measure: TypeAlias = Callable[[Int, Int, Int, Int], Float]
"""Worth of states in GPU milli, shape ``(S,)``, of their CPU, memory, GPUs ``(S, G)`` and model."""


@dataclass(slots=True)
class Kept:
    """Of one shape of pods."""

    version: Int
    """Of each node, when its entries were worked out; -1 = never."""
    gains: Float
    remainders: Int
    places: Int
    """Shape ``(W, N)``: places for wider pods that go."""

    def grow(self, rows: int) -> None:
        more = (0, rows - len(self.version))
        self.version = np.pad(self.version, more, constant_values=-1)
        self.gains = np.pad(self.gains, more, constant_values=-np.inf)
        self.remainders = np.pad(self.remainders, more, constant_values=-1)
        self.places = np.pad(self.places, ((0, 0), more))


class Gains:
    """Gains by one measure over one set of nodes, whose changes it follows."""

    def __init__(
        self,
        nodes: Nodes,
        measure_for: Callable[[tuple[str, ...]], Measure],
        widths: Widths,
        *,
        rows_at_once: int | None = None,
    ) -> None:
        """Follow `nodes`.

        Args:
            nodes: as they are now, and as they become.
            measure_for: the measure, for nodes of these GPU models.
            widths: of the wider pods whose places are counted.
            rows_at_once: nodes that `of` works out at the most; None = all that are due.
        """
        self._nodes = nodes
        self._measure_for = measure_for
        self._models: tuple[str, ...] = nodes.models
        self._measure: Measure | None = None
        """Made when it is first needed: that takes as long as some answers."""
        self._widths = widths
        self._rows_at_once = rows_at_once
        self._values = np.zeros(len(nodes))
        self._values_version = np.full(len(nodes), -1, np.int64)
        self._shapes: OrderedDict[Shape, Kept] = OrderedDict()

    def of(self, shape: Shape, among: Bool | None = None, *, part: float = 1.0) -> Kept:
        """As the nodes are now, or as near as `rows_at_once` allows.

        Args:
            shape: of the pod.
            among: shape ``(N,)``, the nodes that are asked about; None = all. Of the others
                nothing is brought up to date.
            part: of `rows_at_once` that may be worked out.
        """
        kept = self._kept_of(shape)
        due = self._due(shape, kept)
        if among is not None:
            due = due[among[due]]
        if self._rows_at_once is not None:
            most = max(1, int(self._rows_at_once * part))
            if len(due) > most:
                due = self._likeliest(kept, due, most)
        if len(due):
            self._work_out(shape, kept, due)
        return kept

    def expect(self, shapes: Iterable[Shape]) -> None:
        """Pods of these shapes will be asked about; `warm` works out their gains beforehand."""
        for shape in shapes:
            self._kept_of(shape)

    def warm(self, *, nodes_max: int) -> bool:
        """Work out some gains that are out of date on many nodes; whether there were any.

        A few are cheaper to work out when they are asked for: most are out of date again by then.
        """
        for shape in list(reversed(self._shapes))[:_SHAPES_WARM_MAX]:
            kept = self._kept_of(shape, is_asked=False)
            if np.count_nonzero(kept.version != self._nodes.version) > ROWS_IN_A_HURRY:
                due = self._due(shape, kept)
                if len(due) > ROWS_IN_A_HURRY:
                    self._work_out(shape, kept, due[:nodes_max])
                    return True
        return False

    def _likeliest(self, kept: Kept, due: Int, count: int) -> Int:
        """The rows with least idle; the others are taken at their worst."""
        idle = self._nodes.idle[due]
        order = np.argsort(idle, kind="stable")
        later = due[order[count:]]
        kept.gains[later] = -self._nodes.idle[later] - _CORES_MILLI
        kept.remainders[later] = -1
        return due[order[:count]]

    def _kept_of(self, shape: Shape, *, is_asked: bool = True) -> Kept:
        rows = len(self._nodes)
        if self._models != self._nodes.models:
            # One that was never seen before changes no node's worth, only who may go there.
            self._models = self._nodes.models
            self._measure = None
        if len(self._values) < rows:
            more = (0, rows - len(self._values))
            self._values = np.pad(self._values, more)
            self._values_version = np.pad(self._values_version, more, constant_values=-1)
        kept = self._shapes.get(shape)
        if kept is None:
            kept = self._shapes[shape] = Kept(
                version=np.full(rows, -1, np.int64),
                gains=np.full(rows, -np.inf),
                remainders=np.full(rows, -1, np.int64),
                places=np.zeros((len(self._widths.above(shape.gpus)), rows), np.int64),
            )
            if len(self._shapes) > _SHAPES_MAX:
                self._shapes.popitem(last=False)
        elif len(kept.version) < rows:
            kept.grow(rows)
        if is_asked:
            self._shapes.move_to_end(shape)
        return kept

    def _due(self, shape: Shape, kept: Kept) -> Int:
        """Rows that the pod fits and whose score is out of date."""
        nodes = self._nodes
        stale = np.flatnonzero(kept.version != nodes.version)
        if not len(stale):
            return stale
        fits = nodes.fits(shape)[stale]
        gone = stale[~fits]
        kept.version[gone] = nodes.version[gone]
        kept.gains[gone] = -np.inf
        return stale[fits]

    def _work_out(self, shape: Shape, kept: Kept, rows: Int) -> None:
        nodes = self._nodes
        whence, gpus, remainders = outcomes(shape, np.sort(nodes.gpus[rows], axis=1))
        taking = rows[whence]
        before = rows[self._values_version[rows] != nodes.version[rows]]
        worth = self._worth(
            np.concatenate([nodes.cpu[taking] - shape.cpu_milli, nodes.cpu[before]]),
            np.concatenate([nodes.memory[taking] - shape.memory_mib, nodes.memory[before]]),
            np.concatenate([gpus, nodes.gpus[before]]),
            np.concatenate([nodes.model[taking], nodes.model[before]]),
        )
        self._values[before] = worth[len(taking) :]
        self._values_version[before] = nodes.version[before]
        after = worth[: len(taking)]
        # Best first within a node; of equals the fullest GPU.
        order = np.lexsort((remainders, -after, whence))
        best = order[np.r_[True, whence[order][1:] != whence[order][:-1]]]
        kept.version[rows] = nodes.version[rows]
        kept.gains[rows] = after[best] - self._values[rows]
        kept.remainders[rows] = remainders[best]
        opened = remainders[best] == WHOLE_MILLI if shape.is_share else shape.gpus
        for lost, width in zip(kept.places, self._widths.above(shape.gpus), strict=True):
            lost[rows] = self._widths.places(
                width, nodes.free[rows], nodes.cpu[rows]
            ) - self._widths.places(
                width, nodes.free[rows] - opened, nodes.cpu[rows] - shape.cpu_milli
            )

    def _worth(self, cpu: Int, memory: Int, gpus: Int, model: Int) -> Float:
        """The measure of each state, worked out once for those that are equal."""
        states = np.column_stack([cpu, memory, model, np.sort(gpus, axis=1)])
        # Equal states have equal sums; two different ones have the same by a chance of 2^-64.
        weights = np.random.default_rng(1).integers(-(2**62), 2**62, states.shape[1])
        _, first, which = np.unique(states @ weights, return_index=True, return_inverse=True)
        some = states[first]
        if self._measure is None:
            self._measure = self._measure_for(self._models)
        return self._measure(some[:, 0], some[:, 1], some[:, 3:], some[:, 2])[which]


def outcomes(shape: Shape, gpus: Int) -> tuple[Int, Int, Int]:
    """The GPUs of each node with the pod on it, once for each different GPU it could share.

    Args:
        shape: what fits every one of the nodes.
        gpus: shape ``(R, G)``, milli left, in ascending order.

    Returns:
        Of each outcome: the row it comes from, its GPUs, and what was left of the GPU shared.
    """
    rows = np.arange(len(gpus))
    if not shape.is_share:
        taken = gpus.copy()
        if shape.gpus:
            taken[:, -shape.gpus :] = 0
        return rows, taken, np.full(len(gpus), -1, np.int64)
    enough = gpus >= shape.gpu_milli
    enough[:, 1:] &= gpus[:, 1:] != gpus[:, :-1]
    whence, slot = np.nonzero(enough)
    taken = gpus[whence]
    at = np.arange(len(whence))
    remainders = taken[at, slot]
    taken[at, slot] -= shape.gpu_milli
    return whence, taken, remainders
