"""What else speaks for or against a node: islands, price, warmth, cliques, and a pod's group.

What is not known counts for nothing: an unknown price is not a low one, an unlabelled node is in no
clique.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import numpy as np

from scheduler.indices import Indices
from scheduler.machines import Machine
from scheduler.naming import image_name
from scheduler.offers import Offers
from scheduler.placement import WHOLE_MILLI, Float, Int, Nodes, Shape
from scheduler.pods import Pod
from scheduler.score.bus_bandwidth import BUS_BANDWIDTH, bus_bandwidth_column
from scheduler.score.columns import Columns, Term, signed
from scheduler.score.islands import ISLANDS

PRICE_MILLI = 200.0
"""Of each GPU, for each time that it costs the cheapest known one's price more."""
ALTERNATIVE_MILLI = 4000.0
"""Of each place down a claim's alternatives: the claim's author has ranked them, which decides."""
WARM_IMAGE_MILLI = 50.0
WARM_WEIGHTS_MILLI = 150.0
"""Weights take minutes to load, images seconds to a minute: worth a bad fit, not a lost GPU."""
WHOLE_CLIQUE_MILLI = 300.0
"""Of taking the first GPU of a clique of several nodes that nobody uses."""
GROUP_MILLI = 3000.0
"""Of being in the clique where the group is, or has room as a whole: it decides."""

PRICE: Final = Term(
    name="price",
    meaning="each GPU, for each time it costs the cheapest one's price more",
    amount=signed(-PRICE_MILLI),
)
ALTERNATIVES: Final = Term(
    name="alternatives",
    meaning="each place down a claim's `firstAvailable`",
    amount=signed(-ALTERNATIVE_MILLI),
)
IMAGE: Final = Term(
    name="image",
    meaning="an image of the pod is there (from 500 MiB on)",
    amount=signed(WARM_IMAGE_MILLI),
)
WEIGHTS: Final = Term(
    name="weights",
    meaning="the weights that the pod loads are there",
    amount=signed(WARM_WEIGHTS_MILLI),
)
CLIQUES: Final = Term(
    name="cliques",
    meaning="the first GPU of an unused clique of several nodes",
    amount=signed(-WHOLE_CLIQUE_MILLI),
)
GROUP: Final = Term(
    name="group",
    meaning="the clique where the pod's group is, or the tightest one with room for all of it",
    amount=signed(GROUP_MILLI),
)

_Warm = tuple[str, str]


class Preferences:
    """The same for all pods until the nodes change."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._warm: defaultdict[_Warm, set[int]] = defaultdict(set)
        self._warm_of: dict[int, frozenset[_Warm]] = {}
        self._cliques = Indices()
        self.clique: Int = np.empty(0, np.int64)
        """Of each node, shape ``(N,)``; -1 = in none."""
        self._price: Float = np.empty(0)
        self._bus_share: Float = np.empty(0)
        self._total: Int = np.empty(0, np.int64)

    def put(self, row: int, machine: Machine | None) -> None:
        """The node of `row` is now this one."""
        more = (0, len(self._nodes) - len(self.clique))
        if more[1]:
            self.clique = np.pad(self.clique, more, constant_values=-1)
            self._price = np.pad(self._price, more, constant_values=np.nan)
            self._bus_share = np.pad(self._bus_share, more, constant_values=np.nan)
            self._total = np.pad(self._total, more)
        warm = frozenset(_warm(machine)) if machine else frozenset()
        before = self._warm_of.pop(row, frozenset())
        for gone in before - warm:
            self._warm[gone].discard(row)
            if not self._warm[gone]:
                del self._warm[gone]
        for new in warm - before:
            self._warm[new].add(row)
        if warm:
            self._warm_of[row] = warm
        name = machine.clique if machine else None
        clique = self._cliques.take(name) if name else -1
        if self.clique[row] >= 0:
            self._cliques.leave(int(self.clique[row]))
        self.clique[row] = clique
        self._price[row] = (machine.usd_per_gpu_hour if machine else None) or np.nan
        self._bus_share[row] = (machine.bus_share if machine else None) or np.nan
        self._total[row] = machine.gpus * WHOLE_MILLI if machine else 0

    def columns(self, pod: Pod, gpus: Float, offers: Offers | None) -> Columns:
        """What speaks for each node by itself; negative = against.

        Args:
            pod: the pod to place.
            gpus: shape ``(N,)``, GPUs and parts of one that it would take on each node.
            offers: which GPUs it would get; None = it shares one, or takes none.
        """
        columns: Columns = {PRICE: self._times_dearer(offers) * gpus * -PRICE_MILLI}
        if pod.images:
            images = sorted(set(map(image_name, pod.images)))
            columns[IMAGE] = self._warm_milli("image", images, WARM_IMAGE_MILLI)
        if pod.weights is not None:
            columns[WEIGHTS] = self._warm_milli("weights", [pod.weights], WARM_WEIGHTS_MILLI)
        if offers is not None:
            columns[ALTERNATIVES] = offers.position * np.float64(-ALTERNATIVE_MILLI)
            columns[ISLANDS] = -offers.island_milli
            columns[BUS_BANDWIDTH] = bus_bandwidth_column(self._bus_share, gpus)
        return columns

    def clique_columns(self, pod: Pod, members: Collection[int], places: Int) -> Columns:
        """What a pod's group says of each node, else the wholeness of cliques.

        Args:
            pod: the pod to place, which takes GPUs.
            members: the row of each other member of its group that is on a node.
            places: shape ``(N,)``, how many such pods each node has room for.
        """
        clique, nodes = self.clique, self._nodes
        inside = clique >= 0
        if not inside.any():
            return {}
        count = int(clique.max()) + 1
        in_clique = np.bincount(clique[inside], places[inside], count)
        here = sorted({int(clique[row]) for row in members if clique[row] >= 0})
        if any(in_clique[one] for one in here):
            return {GROUP: np.where(np.isin(clique, here), GROUP_MILLI, 0.0)}
        if pod.group is not None and pod.group.size is not None:
            enough = np.flatnonzero(in_clique >= pod.group.size - len(members))
            if len(enough):
                # The tightest clique that takes the whole group keeps the roomy ones for others.
                tightest = enough[in_clique[enough].argmin()]
                return {GROUP: np.where(clique == tightest, GROUP_MILLI, 0.0)}
        used = np.bincount(clique[inside], (self._total - nodes.idle)[inside], count)
        size = np.bincount(clique[inside], minlength=count)
        whole = np.append((used == 0) & (size > 1), False)
        return {CLIQUES: np.where(whole[clique], -WHOLE_CLIQUE_MILLI, 0.0)}

    def _warm_milli(self, kind: str, names: Iterable[str], milli: float) -> Float:
        column = np.zeros(len(self._nodes))
        for name in names:
            column[list(self._warm.get((kind, name), ()))] += milli
        return column

    def _times_dearer(self, offers: Offers | None) -> Float:
        """How many times the cheapest price a GPU costs more, shape ``(N,)``; 0 = not known.

        The cheapest of the same alternative: between alternatives whoever wrote the claim has
        decided, and by what a token costs, which a dearer GPU may serve for less.
        """
        position = np.zeros(len(self._price), np.int64) if offers is None else offers.position
        known = np.isfinite(self._price)
        if offers is not None:
            known &= offers.count >= 0
        cheapest = np.full(int(position.max(initial=0)) + 1, np.inf)
        np.minimum.at(cheapest, position[known], self._price[known])
        return np.where(known, self._price / cheapest[position] - 1, 0.0)


def _warm(machine: Machine) -> Iterator[_Warm]:
    yield from (("image", image_name(image)) for image in machine.images)
    yield from (("weights", weights) for weights in machine.weights)


def places_of(nodes: Nodes, shape: Shape) -> Int:
    """How many such pods each node has room for, shape ``(N,)``."""
    room = np.full(len(nodes), 2**31, np.int64)
    for left, asked in (
        (nodes.cpu, shape.cpu_milli),
        (nodes.memory, shape.memory_mib),
        (nodes.free, 0 if shape.is_share else shape.gpus),
    ):
        if asked:
            room = np.minimum(room, left // asked)
    if shape.is_share:
        room = np.minimum(room, (nodes.gpus.clip(0) // shape.gpu_milli).sum(axis=1))
    return np.where(nodes.fits(shape), room, 0)
