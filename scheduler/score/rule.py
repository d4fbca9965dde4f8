"""Where a pod goes: the node that loses least of what the expected pods could still get from it.

    expected_pods(n) = W(n with the pod) - W(n)          down to whole steps
    begun_nodes(n)   = -price x GPUs idle on n           keeps filling the nodes that are in use
    wide_places(n)   = -price of the places for wider pods that go
    gpu_models(n)    = -price of the GPU model           both: `scheduler.score.scarcity`

While the cluster fills up, W is what the expected pods will get of the node, to the last of them:
`scheduler.score.fill`. Where pods leave as others come there is no last of them, and W is what the
next one cannot use, below zero: `scheduler.score.fragments`.

The largest score wins and the first node among equals, so that the order is total. Coarse steps
keep nodes together that lose about the same: filling one of them after the other leaves the others
whole for pods of several GPUs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from scheduler.gains import Gains, Measure
from scheduler.mix import Mix, sequences
from scheduler.placement import WHOLE_MILLI, Bool, Float, Int, Nodes, Shape
from scheduler.score.columns import Columns, Term, signed, total
from scheduler.score.constants import SHIPPED, RuleConstants
from scheduler.score.fill import Rollouts
from scheduler.score.fragments import Fragments
from scheduler.score.scarcity import GPU_MODELS, WIDE_PLACES, Models, Widths

EXPECTED_PODS: Final = Term(
    name="expected_pods",
    meaning="while the cluster fills up: what the expected pods could still get from the node "
    "afterwards, less what they could before; where pods leave as others come (from "
    f"{SHIPPED.leaving_from:.0%} of it on): what the next expected pod could not use",
    amount=f"the loss, in steps of {SHIPPED.step_milli:g}; where pods leave, of "
    f"{SHIPPED.leaving_step_milli:g}, or of {SHIPPED.fine_step_milli:g} where no pod of several "
    "GPUs is expected",
)
BEGUN_NODES: Final = Term(
    name="begun_nodes",
    meaning="each idle GPU of the node: fill what is begun",
    amount=signed(-SHIPPED.idle_price_milli),
)


@dataclass(frozen=True, slots=True)
class Ranking:
    """How good each node is for one pod; the larger the better, -inf where it does not fit."""

    columns: Columns
    remainders: Int
    """Shape ``(N,)``: what is left of the GPU that the pod should share; only for shares."""

    @property
    def scores(self) -> Float:
        """Shape ``(N,)``, in GPU milli."""
        return total(self.columns)

    def best(self) -> int | None:
        """Row of the best node, None if the pod fits nowhere."""
        scores = self.scores
        row = int(scores.argmax()) if len(scores) else 0
        return row if len(scores) and np.isfinite(scores[row]) else None


class FillRule:
    """The rule over one set of nodes, whose changes it follows."""

    def __init__(
        self,
        nodes: Nodes,
        mix: Mix,
        *,
        constants: RuleConstants = SHIPPED,
        seed: int = 0,
        rows_at_once: int | None = None,
    ) -> None:
        """Follow `nodes`, expecting the pods of `mix`.

        Args:
            nodes: as they are now, and as they become.
            mix: of the pods that are expected.
            constants: what the terms weigh.
            seed: of the sequences that stand for the mix.
            rows_at_once: nodes that `rank` works out at the most; None = all that are due.
        """
        self._nodes = nodes
        self._mix = mix
        self._constants = constants
        self._widths = Widths(mix, constants)
        self._models_known = nodes.models
        self._models = Models(mix, nodes, constants)
        pods = sequences(mix, seed=seed)

        def filling(models: tuple[str, ...]) -> Measure:
            return Rollouts(pods, models).values

        def balanced(models: tuple[str, ...]) -> Measure:
            fragments = Fragments(mix, models)
            return lambda cpu, _memory, gpus, model: -fragments.milli(cpu, gpus, model)

        self._filling = Gains(nodes, filling, self._widths, rows_at_once=rows_at_once)
        self._balanced = Gains(nodes, balanced, self._widths, rows_at_once=rows_at_once)

    def rank(self, shape: Shape, among: Bool | None = None, *, part: float = 1.0) -> Ranking:
        """Every node's score for a pod of this shape, as the nodes are now.

        Args:
            shape: of the pod.
            among: shape ``(N,)``, the nodes whose scores are wanted; None = all.
            part: of `rows_at_once` that may be worked out.
        """
        nodes = self._nodes
        kept, step = self._gains.of(shape, among, part=part), self._step_milli
        columns: Columns = {
            EXPECTED_PODS: np.floor(kept.gains / step) * step,
            BEGUN_NODES: nodes.idle * np.float64(-self._constants.idle_price_milli / WHOLE_MILLI),
        }
        widths = self._widths.above(shape.gpus)
        if widths:
            columns[WIDE_PLACES] = -sum(
                (
                    self._widths.price_milli(width, nodes) * lost
                    for lost, width in zip(kept.places, widths, strict=True)
                ),
                np.zeros(len(nodes)),
            )
        if shape.gpus:
            if self._models_known != nodes.models:
                self._models_known = nodes.models
                self._models = Models(self._mix, nodes, self._constants)
            columns[GPU_MODELS] = -self._models.price_milli(nodes)[nodes.model]
        return Ranking(columns, kept.remainders)

    def expect(self, shapes: Iterable[Shape]) -> None:
        """Pods of these shapes will be asked about; `warm` works out their scores beforehand."""
        expected = list(shapes)
        self._filling.expect(expected)
        self._balanced.expect(expected)

    def warm(self, *, nodes_max: int) -> bool:
        """Work out some scores that are out of date on many nodes; whether there were any."""
        return self._gains.warm(nodes_max=nodes_max)

    @property
    def _is_balanced(self) -> bool:
        return self._nodes.turnover >= self._constants.leaving_from

    @property
    def _gains(self) -> Gains:
        return self._balanced if self._is_balanced else self._filling

    @property
    def _step_milli(self) -> float:
        if not self._is_balanced:
            return self._constants.step_milli
        if self._widths.expected:
            return self._constants.leaving_step_milli
        return self._constants.fine_step_milli
