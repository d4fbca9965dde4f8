"""What runs out first if the expected mix goes on: places for wide pods, and GPU models.

While a cluster fills up no horizon is needed. Of the F GPU milli that are free in the cluster, a
class of pods with the part f of the demand would ask for f x F before the cluster is full; the
ratio of that to the room that the class has left says how scarce its room is. Where pods leave as
others come, demand has no such end, and places for wide pods are scarce by `Nodes.turnover`.

The price of a place for wide pods grows smoothly with that ratio. A constant price beside a worth
in whole steps can make many choices flip together when either is changed a little.
"""

from math import sqrt
from typing import Final

import numpy as np

from scheduler.mix import Mix
from scheduler.placement import WHOLE_MILLI, Bool, Float, Int, Nodes
from scheduler.score.columns import Term, signed
from scheduler.score.constants import SHIPPED, RuleConstants

_WIDTHS = (2, 4, 8, 16)
_WIDEST_UNEXPECTED = 8
"""Few nodes have more GPUs."""
_CPU_QUANTILE = 0.75
_MODEL_SETS_MAX = 1024

WIDE_PLACES: Final = Term(
    name="wide_places",
    meaning="places for wider pods that go, by the square root of the part of such places that the "
    f"expected pods ask for; to {1 + SHIPPED.turnover_factor:g} times that where pods come and go",
    amount=f"to {signed(-SHIPPED.width_price_milli)} a GPU",
)
GPU_MODELS: Final = Term(
    name="gpu_models",
    meaning="a GPU model that other pods insist on, where it gets scarce",
    amount=f"to {signed(-SHIPPED.model_price_milli)}",
)


class Widths:
    """Places for pods of several GPUs, and what taking one costs."""

    def __init__(self, mix: Mix, constants: RuleConstants = SHIPPED) -> None:
        self._constants = constants
        demand = mix.demand_milli()
        self._parts: dict[int, float] = {}
        self._cpu_milli: dict[int, int] = {}
        self.expected: frozenset[int] = frozenset(
            width for width in _WIDTHS if any(shape.gpus >= width for shape in demand)
        )
        """Widths that the mix has, or wider ones; of others it may be wrong."""
        for width in _WIDTHS if demand else ():
            wide = {shape: milli for shape, milli in demand.items() if shape.gpus >= width}
            if wide:
                exact = [shape for shape in wide if shape.gpus == width]
                part = sum(wide.values()) / sum(demand.values())
                cpu = [(shape.cpu_milli, mix.weights[shape]) for shape in exact or wide]
                self._cpu_milli[width] = _typical(cpu)
            elif width <= _WIDEST_UNEXPECTED:
                part = 0.0
                cpu = [(shape.cpu_milli // shape.gpus, mix.weights[shape]) for shape in demand]
                self._cpu_milli[width] = width * _typical(cpu)
            else:
                break
            self._parts[width] = max(part, constants.unexpected_part)

    def above(self, gpus: int) -> list[int]:
        """The widths that a pod of so many GPUs can spoil."""
        return [width for width in self._parts if width > gpus]

    def places(self, width: int, free: Int, cpu: Int) -> Int:
        """Pods of `width` GPUs that states with `free` whole GPUs and `cpu` milli have room for."""
        return np.minimum(free // width, cpu // self._cpu_milli[width])

    def price_milli(self, width: int, nodes: Nodes) -> float:
        """What one place of this width is worth now, in GPU milli."""
        room = width * WHOLE_MILLI * float(self.places(width, nodes.free, nodes.cpu).sum())
        asked = self._parts[width] * float(nodes.idle.sum())
        # The square root, as for spare staff: the fewer wide pods are expected, the less evenly
        # they come, and the more room each needs. It has no threshold, nor a least price.
        scarce = sqrt(min(asked / room, 1.0)) if room > 0 else 1.0
        # Where pods leave as others come there is no end until which the free places have to last:
        # what is asked for has none, and a place that is broken opens again only by chance.
        turnover = nodes.turnover
        if width in self.expected:
            scarce += (1 - scarce) * turnover
            scarce *= 1 + self._constants.turnover_factor * turnover
        else:
            scarce *= 1 - turnover
        return self._constants.width_price_milli * width * scarce


class Models:
    """GPU models that pods insist on, and what putting any pod on them costs.

    By Hall's theorem the bound pods all find room exactly if no set of models has less room than
    the pods ask for whose models all lie in the set; only unions of asked sets can be the tightest.
    """

    def __init__(self, mix: Mix, nodes: Nodes, constants: RuleConstants = SHIPPED) -> None:
        self._constants = constants
        demand = mix.demand_milli()
        whole, there = sum(demand.values()), frozenset(nodes.models)
        bound: dict[frozenset[str], float] = {}
        for shape, milli in demand.items():
            # Models that no node has are no room; pods that ask for no other ones take none.
            if asked := shape.models & there:
                bound[asked] = bound.get(asked, 0.0) + milli / whole
        sets: set[frozenset[str]] = set()
        for asked in sorted(bound, key=lambda models: (-bound[models], sorted(models))):
            if 2 * len(sets) < _MODEL_SETS_MAX:
                sets |= {asked | other for other in sets} | {asked}
        self._sets: list[tuple[Bool, float]] = [
            (nodes.allows(union), sum(part for asked, part in bound.items() if asked <= union))
            for union in sorted(sets, key=sorted)
        ]

    def price_milli(self, nodes: Nodes) -> Float:
        """What a place on each model costs now, shape ``(M,)``, in GPU milli."""
        prices = np.zeros(len(nodes.models))
        dearest, start = self._constants.model_price_milli, self._constants.model_scarce_from
        if self._sets:
            idle = np.bincount(nodes.model, nodes.idle, len(nodes.models))
            for among, part in self._sets:
                asked, room = part * float(idle.sum()), float(idle[among].sum())
                prices[among] = np.maximum(prices[among], dearest * _ramp(asked, room, start))
        return prices


def _typical(weighted: list[tuple[int, float]]) -> int:
    """What three of four of these pods, each with its frequency, need at most; at least 1."""
    ordered = sorted(weighted)
    covered = np.cumsum([weight for _, weight in ordered])
    at = int(np.searchsorted(covered, _CPU_QUANTILE * covered[-1]))
    return max(ordered[at][0], 1)


def _ramp(asked: float, room: float, start: float) -> float:
    """From 0 where `asked` is `start` of `room`, to 1 where it is all of it or more."""
    if room <= 0:
        return 1.0
    return min(max((asked / room - start) / (1 - start), 0.0), 1.0)
