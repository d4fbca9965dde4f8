"""How much GPU any placement could give out: a linear programme over classes of equal nodes.

It knows every arrival beforehand and ignores that a node is one piece: an upper bound, loose by an
unknown amount. Variables: pods of each shape on each class, and GPUs of each class cut by each
pattern of share sizes. Patterns are found as Gilmore and Gomory did for rolls of paper (1961):
solve, price the shares by the duals, add each class's best knapsack, until none pays.

A placement that may refuse pods keeps the GPU for others that waste less. kube-scheduler places
each pod that finds room, so that the second bound has one more variable for each shape and turn:
whether a pod of this shape still fits when the turn begins (`bench._placement_turns`).
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import block_array, coo_matrix, csc_array

from bench._placement_turns import arrivals_by_turn, lasting, turns
from scheduler.placement import WHOLE_MILLI, Float, Node, Shape

_ROUNDS_MAX = 100
_PAYS = 1e-6
"""A pattern pays when it is worth so much more than the GPU it cuts."""


@dataclass(frozen=True, slots=True)
class _Class:
    cpu_milli: int
    memory_mib: int
    model: str
    gpus: int
    nodes: int


@dataclass(frozen=True, slots=True)
class _Pattern:
    """How often each share size is cut from one GPU of a class."""

    owner: int
    cuts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class _Limits:
    """What limits the pods that are placed, as rows over the pods of each shape and more variables.

    Those are from 0 to 1.
    """

    placed: csc_array
    more: csc_array
    at_most: Float


def bound_milli(nodes: Sequence[Node], pods: Iterable[Shape]) -> float:
    """GPU milli that no placement of `pods` on the empty `nodes` exceeds.

    Raises:
        RuntimeError: the solver gave up.
    """
    demand = Counter(pods)
    programme = _Programme(nodes, list(demand))
    return programme.optimum(_refusing(demand))


def bound_taking_all_milli(nodes: Sequence[Node], arriving: Sequence[Shape]) -> float:
    """GPU milli that no rule exceeds which places each pod of `arriving` that finds room.

    Raises:
        RuntimeError: the solver gave up.
    """
    demand = Counter(arriving)
    programme = _Programme(nodes, list(demand))
    programme.optimum(_refusing(demand))  # most patterns, from the smaller programme
    counts = arrivals_by_turn(arriving, list(demand), turns(len(arriving)))
    return programme.optimum(_taking_all(list(demand), counts))


def _refusing(demand: Counter[Shape]) -> _Limits:
    count = len(demand)
    return _Limits(
        placed=csc_array(np.eye(count)),
        more=csc_array((count, 0)),
        at_most=np.array([float(asked) for asked in demand.values()]),
    )


def _taking_all(shapes: Sequence[Shape], counts: Float) -> _Limits:
    """More variables, shape ``(S, T + 1)`` laid out by rows: whether each shape still fits."""
    count, length = counts.shape
    identity = np.eye(count)
    begins, ends = np.eye(length, length + 1), np.eye(length, length + 1, 1)
    # Of a turn that begins with room some pods may be placed; of one that ends with room all are.
    some = np.vstack([np.kron(identity[at], counts[at] @ begins) for at in range(count)])
    all_of_it = np.vstack([np.kron(identity[at], counts[at] @ ends) for at in range(count)])
    over_time = np.kron(identity, ends - begins)
    outlasts = [
        np.kron(identity[shorter] - identity[longer], np.eye(length + 1))
        for longer, shorter in lasting(shapes)
    ]
    order = np.vstack([over_time, *outlasts])
    none = np.zeros((len(order), count))
    return _Limits(
        placed=csc_array(np.vstack([identity, -identity, none])),
        more=csc_array(np.vstack([-some, all_of_it, order])),
        at_most=np.zeros(2 * count + len(order)),
    )


class _Programme:
    """The linear programme, which keeps the patterns that it has found."""

    def __init__(self, nodes: Sequence[Node], shapes: Sequence[Shape]) -> None:
        self._classes = [
            _Class(cpu, memory, model, gpus, count)
            for (cpu, memory, model, gpus), count in Counter(
                (n.cpu_milli, n.memory_mib, n.model, len(n.gpus_milli)) for n in nodes
            ).items()
        ]
        self._shapes = shapes
        self._sizes = sorted({shape.gpu_milli for shape in shapes if shape.is_share})
        self._patterns = [
            _Pattern(owner, ((size, WHOLE_MILLI // size),))
            for owner, one in enumerate(self._classes)
            if one.gpus
            for size in self._sizes
        ]

    def optimum(self, limits: _Limits) -> float:
        classes, sizes = self._classes, self._sizes
        for _ in range(_ROUNDS_MAX):
            worth, gpu_price, share_price = _solve(
                classes, self._shapes, sizes, self._patterns, limits
            )
            added = [
                found
                for owner, one in enumerate(classes)
                if one.gpus and sizes
                for found in _cut(owner, sizes, share_price[owner], gpu_price[owner])
            ]
            if not added:
                return worth
            self._patterns += added
        message = f"the bound did not settle in {_ROUNDS_MAX} rounds of new patterns"
        raise RuntimeError(message)


def _solve(
    classes: Sequence[_Class],
    shapes: Sequence[Shape],
    sizes: Sequence[int],
    patterns: Sequence[_Pattern],
    limits: _Limits,
) -> tuple[float, list[float], list[list[float]]]:
    """The optimum, the price of a GPU of each class, and of each share size on each class."""
    at_size = {size: index for index, size in enumerate(sizes)}
    cpu_row, memory_row, gpu_row = 0, len(classes), 2 * len(classes)
    share_row = 3 * len(classes)
    rows_end = share_row + len(classes) * len(sizes)
    entries: list[tuple[int, int, float]] = []
    gains: list[float] = []
    of_shape: list[int] = []
    for owner, index in _pairs(classes, shapes):
        shape, column = shapes[index], len(gains)
        gains.append(-float(shape.total_milli))
        of_shape.append(index)
        entries += [
            (cpu_row + owner, column, shape.cpu_milli / 1000),
            (memory_row + owner, column, shape.memory_mib / 1024),
        ]
        if shape.is_share:
            row = share_row + owner * len(sizes) + at_size[shape.gpu_milli]
            entries.append((row, column, 1.0))
        elif shape.gpus:
            entries.append((gpu_row + owner, column, float(shape.gpus)))
    for pattern in patterns:
        column = len(gains)
        gains.append(0.0)
        entries.append((gpu_row + pattern.owner, column, 1.0))
        for size, times in pattern.cuts:
            row = share_row + pattern.owner * len(sizes) + at_size[size]
            entries.append((row, column, -float(times)))
    room = np.concatenate(
        [
            [one.nodes * one.cpu_milli / 1000 for one in classes],
            [one.nodes * one.memory_mib / 1024 for one in classes],
            [one.nodes * one.gpus for one in classes],
            np.zeros(len(classes) * len(sizes)),
        ]
    )
    rows, columns, values = zip(*entries, strict=True)
    placed = coo_matrix(
        (np.ones(len(of_shape)), (of_shape, range(len(of_shape)))), (len(shapes), len(gains))
    )
    more = limits.more.shape[1]
    matrix = block_array(
        [
            [
                coo_matrix((values, (rows, columns)), shape=(rows_end, len(gains))),
                coo_matrix((rows_end, more)),
            ],
            [limits.placed @ placed, limits.more],
        ]
    ).tocsc()
    solved = linprog(
        gains + [0.0] * more,
        A_ub=matrix,
        b_ub=np.concatenate([room, limits.at_most]),
        bounds=[(0.0, None)] * len(gains) + [(0.0, 1.0)] * more,
        method="highs",
    )
    if solved.status != 0:
        message = f"the solver of the bound stopped: {solved.message}"
        raise RuntimeError(message)
    prices = -solved.ineqlin.marginals
    share_prices = prices[share_row:rows_end].reshape(len(classes), len(sizes))
    return -solved.fun, prices[gpu_row:share_row].tolist(), share_prices.tolist()


def _pairs(classes: Sequence[_Class], shapes: Sequence[Shape]) -> Iterator[tuple[int, int]]:
    """Places of each class and each shape that may run on it."""
    for owner, one in enumerate(classes):
        for index, shape in enumerate(shapes):
            if shape.gpus <= one.gpus and (not shape.models or one.model in shape.models):
                yield owner, index


def _cut(
    owner: int, sizes: Sequence[int], prices: Sequence[float], gpu_price: float
) -> list[_Pattern]:
    """The best way to cut one GPU at these prices, if it is worth more than the GPU."""
    step = reduce(math.gcd, sizes, WHOLE_MILLI)
    best = [0.0] * (WHOLE_MILLI // step + 1)
    choice = [0] * len(best)
    for room in range(1, len(best)):
        best[room] = best[room - 1]
        for size, price in zip(sizes, prices, strict=True):
            if size <= room * step and best[room - size // step] + price > best[room] + _PAYS:
                best[room], choice[room] = best[room - size // step] + price, size
    if best[-1] <= gpu_price + _PAYS:
        return []
    cuts: Counter[int] = Counter()
    room = len(best) - 1
    while room > 0:
        if choice[room]:
            cuts[choice[room]] += 1
            room -= choice[room] // step
        else:
            room -= 1
    return [_Pattern(owner, tuple(sorted(cuts.items())))]
