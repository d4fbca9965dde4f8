"""The placement rules that the benchmark compares: ours, and our reading of its peers'.

Every rule answers with a row of the nodes, the first among equals, and how much is left of the GPU
that a share goes to. FGD and BestFit: Weng et al., USENIX ATC 2023, and its artefact's settings.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from scheduler.gains import outcomes
from scheduler.history import History
from scheduler.mix import Mix
from scheduler.placement import WHOLE_MILLI, Bool, Float, Int, Nodes, Shape
from scheduler.score.constants import SHIPPED, RuleConstants
from scheduler.score.fragments import Fragments
from scheduler.score.rule import FillRule

_CPU_SCALE_MILLI = 128_000
_GPU_SCALE = 8

_POD_SECONDS = 60.0
"""Between pods, by the clock of the history: the trace takes some days."""
_FIRST_MIX = 32
_MIX_GROWTH = 1.5
"""The mix is made anew after 32 pods, and when half as many more have come: what was worked out is
worked out again then. `foresail scheduler` does it every ten minutes."""

Choice = tuple[int, int | None]
"""Row of the node, and what is left of the GPU to share; None = the least that is enough."""


class Rule(Protocol):
    """What chooses a node."""

    def choose(self, shape: Shape) -> Choice | None:
        """Where the pod goes; None if it fits nowhere."""


class Foresail:
    """The shipped rule, with its own constants or others."""

    def __init__(self, nodes: Nodes, mix: Mix, constants: RuleConstants = SHIPPED) -> None:
        self._rule = FillRule(nodes, mix, constants=constants)

    def choose(self, shape: Shape) -> Choice | None:
        return _chosen(self._rule, shape)


class ForesailLearning:
    """The shipped rule where nobody says which pods to expect: the mix is learnt as they come."""

    def __init__(self, nodes: Nodes, mix: Mix) -> None:
        self._nodes = nodes
        self._history = History()
        self._came, self._renewed_at = 0, _FIRST_MIX
        self._rule = FillRule(nodes, self._history.mix(0.0))

    def choose(self, shape: Shape) -> Choice | None:
        now_seconds = self._came * _POD_SECONDS
        if self._came == self._renewed_at:
            self._rule = FillRule(self._nodes, self._history.mix(now_seconds))
            self._renewed_at = int(self._came * _MIX_GROWTH)
        self._came += 1
        if shape.gpus:
            self._history.saw(shape, now_seconds)
        return _chosen(self._rule, shape)


class Fgd:
    """Least growth of the GPU that the typical pods cannot use."""

    def __init__(self, nodes: Nodes, mix: Mix) -> None:
        self._nodes = nodes
        self._fragments = Fragments(mix, nodes.models)
        self._kept: dict[Shape, tuple[Int, Float, Int]] = {}

    def choose(self, shape: Shape) -> Choice | None:
        nodes = self._nodes
        if shape not in self._kept:
            never = np.full(len(nodes), -1, np.int64)
            self._kept[shape] = never, np.full(len(nodes), -np.inf), never.copy()
        version, scores, remainders = self._kept[shape]
        stale = np.flatnonzero(version != nodes.version)
        version[stale] = nodes.version[stale]
        scores[stale] = -np.inf
        rows = stale[nodes.fits(shape)[stale]]
        if len(rows):
            scores[rows], remainders[rows] = self._scores(shape, rows)
        row = int(scores.argmax())
        if not np.isfinite(scores[row]):
            return None
        return row, int(remainders[row]) if shape.is_share else None

    def fragment_milli(self) -> float:
        """GPU milli left that a typical pod cannot use, over all nodes."""
        nodes = self._nodes
        return float(self._fragments.milli(nodes.cpu, nodes.gpus, nodes.model).sum())

    def _scores(self, shape: Shape, rows: Int) -> tuple[Float, Int]:
        nodes = self._nodes
        whence, gpus, remainders = outcomes(shape, np.sort(nodes.gpus[rows], axis=1))
        taking = rows[whence]
        before = self._fragments.milli(nodes.cpu[rows], nodes.gpus[rows], nodes.model[rows])
        after = self._fragments.milli(
            nodes.cpu[taking] - shape.cpu_milli, gpus, nodes.model[taking]
        )
        drop = before[whence] - after
        scores = np.floor(100 / (1 + np.exp(-drop / WHOLE_MILLI)))
        order = np.lexsort((remainders, -scores, whence))
        best = order[np.r_[True, whence[order][1:] != whence[order][:-1]]]
        return scores[best], remainders[best]


class BestFit:
    """Least left over, CPU and GPU weighted alike."""

    def __init__(self, nodes: Nodes, mix: Mix) -> None:
        self._nodes = nodes

    def choose(self, shape: Shape) -> Choice | None:
        nodes = self._nodes
        cpu_left = (nodes.cpu - shape.cpu_milli) / _CPU_SCALE_MILLI
        gpu_left = (nodes.idle - shape.total_milli) / (WHOLE_MILLI * _GPU_SCALE)
        return _first_best(nodes.fits(shape), -(cpu_left + gpu_left) / 2)


class Packing:
    """A GPU in use first, then a node in use, then an idle node."""

    def __init__(self, nodes: Nodes, mix: Mix) -> None:
        self._nodes = nodes
        self._total = nodes.gpus.clip(0).sum(axis=1)

    def choose(self, shape: Shape) -> Choice | None:
        nodes = self._nodes
        partly = (nodes.gpus >= shape.gpu_milli) & (nodes.gpus < WHOLE_MILLI)
        in_use = nodes.idle < self._total
        tier = 2.0 * (partly.any(axis=1) & shape.is_share) + in_use
        return _first_best(nodes.fits(shape), tier)


class Random:
    """Any node that fits, any of its GPUs that is enough."""

    def __init__(self, nodes: Nodes, mix: Mix) -> None:
        self._nodes = nodes
        self._random = np.random.default_rng(len(nodes))

    def choose(self, shape: Shape) -> Choice | None:
        rows = np.flatnonzero(self._nodes.fits(shape))
        if not len(rows):
            return None
        row = int(self._random.choice(rows))
        if not shape.is_share:
            return row, None
        left = self._nodes.gpus[row]
        return row, int(self._random.choice(left[left >= shape.gpu_milli]))


def _chosen(rule: FillRule, shape: Shape) -> Choice | None:
    ranking = rule.rank(shape)
    row = ranking.best()
    if row is None:
        return None
    return row, int(ranking.remainders[row]) if shape.is_share else None


def _first_best(fits: Bool, scores: Float) -> Choice | None:
    row = int(np.where(fits, scores, -np.inf).argmax())
    return (row, None) if fits[row] else None


RULES: dict[str, Callable[[Nodes, Mix], Rule]] = {
    "foresail": Foresail,
    "foresail-learning": ForesailLearning,
    "fgd": Fgd,
    "bestfit": BestFit,
    "packing": Packing,
    "random": Random,
}
