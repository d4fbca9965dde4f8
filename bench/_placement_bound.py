"""How much GPU any placement could give out: a linear programme over classes of equal nodes.

It knows every arrival beforehand, may refuse any, and ignores that a node is one piece: an upper
bound, loose by an unknown amount. Variables: pods of each shape on each class, and GPUs of each
class cut by each pattern of share sizes. Patterns are found as Gilmore and Gomory did for rolls of
paper (1961): solve, price the shares by the duals, add each class's best knapsack, until none pays.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_matrix

from scheduler.placement import WHOLE_MILLI, Node, Shape

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


def bound_milli(nodes: Sequence[Node], pods: Iterable[Shape]) -> float:
    """GPU milli that no placement of `pods` on the empty `nodes` exceeds.

    Raises:
        RuntimeError: the solver gave up.
    """
    classes = [
        _Class(cpu, memory, model, gpus, count)
        for (cpu, memory, model, gpus), count in Counter(
            (n.cpu_milli, n.memory_mib, n.model, len(n.gpus_milli)) for n in nodes
        ).items()
    ]
    demand = Counter(pods)
    sizes = sorted({shape.gpu_milli for shape in demand if shape.is_share})
    patterns = [
        _Pattern(owner, ((size, WHOLE_MILLI // size),))
        for owner, one in enumerate(classes)
        if one.gpus
        for size in sizes
    ]
    for _ in range(_ROUNDS_MAX):
        worth, gpu_price, share_price = _solve(classes, demand, sizes, patterns)
        added = [
            found
            for owner, one in enumerate(classes)
            if one.gpus and sizes
            for found in _cut(owner, sizes, share_price[owner], gpu_price[owner])
        ]
        if not added:
            return worth
        patterns += added
    message = f"the bound did not settle in {_ROUNDS_MAX} rounds of new patterns"
    raise RuntimeError(message)


def _solve(
    classes: Sequence[_Class],
    demand: Counter[Shape],
    sizes: Sequence[int],
    patterns: Sequence[_Pattern],
) -> tuple[float, list[float], list[list[float]]]:
    """The optimum, the price of a GPU of each class, and of each share size on each class."""
    shapes = list(demand)
    at_size = {size: index for index, size in enumerate(sizes)}
    cpu_row, memory_row, gpu_row = 0, len(classes), 2 * len(classes)
    share_row = 3 * len(classes)
    demand_row = share_row + len(classes) * len(sizes)
    entries: list[tuple[int, int, float]] = []
    gains: list[float] = []
    for owner, index in _pairs(classes, shapes):
        shape, column = shapes[index], len(gains)
        gains.append(-float(shape.total_milli))
        entries += [
            (cpu_row + owner, column, shape.cpu_milli / 1000),
            (memory_row + owner, column, shape.memory_mib / 1024),
            (demand_row + index, column, 1.0),
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
    limits = np.concatenate(
        [
            [one.nodes * one.cpu_milli / 1000 for one in classes],
            [one.nodes * one.memory_mib / 1024 for one in classes],
            [one.nodes * one.gpus for one in classes],
            np.zeros(len(classes) * len(sizes)),
            [demand[shape] for shape in shapes],
        ]
    )
    rows, columns, values = zip(*entries, strict=True)
    matrix = coo_matrix((values, (rows, columns)), shape=(len(limits), len(gains))).tocsc()
    solved = linprog(gains, A_ub=matrix, b_ub=limits, method="highs")
    if solved.status != 0:
        message = f"the solver of the bound stopped: {solved.message}"
        raise RuntimeError(message)
    prices = -solved.ineqlin.marginals
    share_prices = prices[share_row:demand_row].reshape(len(classes), len(sizes))
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
