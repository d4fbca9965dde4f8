"""What else speaks for or against a node: islands, price, warmth, cliques, and a pod's group.

All of it is in GPU milli and added to the placement rule's score. What is not known counts for
nothing: an unknown price is not a low one, an unlabelled node is in no clique.
"""

from collections.abc import Collection, Sequence

import numpy as np

from scheduler.islands import island_price_milli
from scheduler.machines import Machine
from scheduler.placement import WHOLE_MILLI, Float, Int, Nodes, Shape
from scheduler.pods import Pod

PRICE_MILLI = 200.0
"""Of each GPU, for each time that it costs the cheapest known one's price more."""
WARM_IMAGE_MILLI = 50.0
WARM_WEIGHTS_MILLI = 150.0
"""Weights take minutes to load, images seconds to a minute: worth a bad fit, not a lost GPU."""
WHOLE_CLIQUE_MILLI = 300.0
"""Of taking the first GPU of a clique of several nodes that nobody uses."""
GROUP_MILLI = 3000.0
"""Of being in the clique where the group is, or has room as a whole: it decides."""


class Preferences:
    """The same for all pods until the nodes change."""

    def __init__(self, machines: Sequence[Machine], nodes: Nodes) -> None:
        self._machines = machines
        self._nodes = nodes
        prices = np.array([one.usd_per_gpu_hour or np.nan for one in machines], np.float64)
        known = prices[np.isfinite(prices)]
        cheapest = known.min() if len(known) else 1.0
        self._dearer: Float = np.nan_to_num(prices / cheapest - 1)
        """How many times the cheapest price a GPU costs more; 0 where no price is known."""
        self._warm: dict[tuple[str, str], list[int]] = {}
        for row, one in enumerate(machines):
            for image in one.images:
                self._warm.setdefault(("image", image), []).append(row)
            for weights in one.weights:
                self._warm.setdefault(("weights", weights), []).append(row)
        names = sorted({one.clique for one in machines if one.clique is not None})
        index = {name: at for at, name in enumerate(names)}
        self.clique: Int = np.array([index.get(one.clique or "", -1) for one in machines], np.int64)
        """Of each node; -1 = in none."""
        self._total: Int = np.array([one.gpus * WHOLE_MILLI for one in machines], np.int64)
        self._several = [row for row, one in enumerate(machines) if len(set(one.islands)) > 1]
        self._islands: dict[int, tuple[Int, Float]] = {}

    def milli(self, pod: Pod, members: Collection[int]) -> Float:
        """What speaks for each node, shape ``(N,)``; negative = against.

        Args:
            pod: the pod to place.
            members: rows of the nodes where others of its group are.
        """
        shape = pod.shape
        speaks: Float = self._dearer * (-PRICE_MILLI * shape.total_milli / WHOLE_MILLI)
        for image in pod.images:
            speaks[self._warm.get(("image", image), [])] += WARM_IMAGE_MILLI
        if pod.weights is not None:
            speaks[self._warm.get(("weights", pod.weights), [])] += WARM_WEIGHTS_MILLI
        if shape.gpus and not shape.is_share and self._several:
            speaks -= self._island_prices(shape)
        if shape.gpus and (self.clique >= 0).any():
            speaks += self._cliques(pod, members)
        return speaks

    def _island_prices(self, shape: Shape) -> Float:
        nodes = self._nodes
        version, prices = self._islands.setdefault(
            shape.gpus, (np.full(len(nodes), -1, np.int64), np.zeros(len(nodes)))
        )
        for row in self._several:
            if version[row] != nodes.version[row]:
                version[row] = nodes.version[row]
                free = np.flatnonzero(nodes.gpus[row] == WHOLE_MILLI).tolist()
                given = nodes.devices(row, shape) if len(free) >= shape.gpus else []
                prices[row] = island_price_milli(self._machines[row].islands, free, given)
        return prices

    def _cliques(self, pod: Pod, members: Collection[int]) -> Float:
        nodes, clique = self._nodes, self.clique
        here = [int(clique[row]) for row in members if clique[row] >= 0]
        if here:
            return np.where(np.isin(clique, here), GROUP_MILLI, 0.0)
        count = int(clique.max()) + 1
        inside = clique >= 0
        if pod.group is not None and pod.group.size is not None:
            places = np.bincount(clique[inside], places_of(nodes, pod.shape)[inside], count)
            enough = np.flatnonzero(places >= pod.group.size)
            if len(enough):
                # The tightest clique that takes the whole group keeps the roomy ones for others.
                return np.where(clique == enough[places[enough].argmin()], GROUP_MILLI, 0.0)
        used = np.bincount(clique[inside], (self._total - nodes.idle)[inside], count)
        size = np.bincount(clique[inside], minlength=count)
        whole = np.append((used == 0) & (size > 1), False)
        return np.where(whole[clique], -WHOLE_CLIQUE_MILLI, 0.0)


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
