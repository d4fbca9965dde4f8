"""One run of one rule: pods that only arrive, or pods that also leave."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from bench._placement_rules import Choice, Fgd, Rule
from bench._placement_trace import arrivals, in_random_order
from scheduler.mix import Mix
from scheduler.placement import Node, Nodes, Shape

_WINDOW = 0.005
_WARM_LIFETIMES = 2.0
_COUNTED_LIFETIMES = 2.0

Make = Callable[[Nodes, Mix], Rule]


@dataclass(slots=True)
class Tally:
    """What was asked for and what was given, in GPU milli and pods."""

    asked_milli: int = 0
    given_milli: int = 0
    wide_asked: int = 0
    wide_given: int = 0
    samples: list[float] = field(default_factory=list)
    fragment: float | None = None

    def count(self, shape: Shape, *, given: bool) -> None:
        self.asked_milli += shape.total_milli
        self.given_milli += given * shape.total_milli
        self.wide_asked += shape.gpus > 1
        self.wide_given += given and shape.gpus > 1

    def wide_percent(self) -> float | None:
        return 100 * self.wide_given / self.wide_asked if self.wide_asked else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Percent of the cluster's GPUs, and of the pods of several GPUs."""

    allocation_100: float
    allocation_130: float | None
    multi_gpu_accepted_100: float | None
    frag_100: float | None
    pods_per_second: float | None
    ceiling_100: float | None = None
    """Where pods leave: what is given out if every pod finds room, which no rule exceeds."""


def put(nodes: Nodes, shape: Shape, choice: Choice | None) -> tuple[int, list[int]] | None:
    """Place the pod as chosen; the row and its GPUs."""
    if choice is None:
        return None
    row, remainder_milli = choice
    devices = nodes.devices(row, shape, remainder_milli)
    nodes.place(row, shape, devices)
    nodes.came(shape)
    return row, devices


def fill_up(
    nodes: Sequence[Node], pods: Sequence[Shape], mix: Mix, seed: int, make: Make
) -> Outcome:
    """Pods arrive one by one, each is tried once, none leaves."""
    random = np.random.default_rng(seed)
    cluster = Nodes(in_random_order(nodes, random))
    capacity = int(cluster.idle.sum())
    rule, tally, arriving = make(cluster, mix), Tally(), arrivals(pods, capacity, random)
    wide_percent: float | None = None
    begun = perf_counter()
    for shape in arriving:
        placed = put(cluster, shape, rule.choose(shape))
        tally.count(shape, given=placed is not None)
        load = tally.asked_milli / capacity
        if abs(load - 1) <= _WINDOW:
            tally.samples.append(100 * tally.given_milli / capacity)
        if load >= 1 and tally.fragment is None:
            # On a small cluster one pod may be more than the window.
            tally.samples = tally.samples or [100 * tally.given_milli / capacity]
            tally.fragment = 100 * Fgd(cluster, mix).fragment_milli() / capacity
            wide_percent = tally.wide_percent()
    return Outcome(
        allocation_100=float(np.mean(tally.samples)),
        allocation_130=100 * tally.given_milli / capacity,
        multi_gpu_accepted_100=wide_percent,
        frag_100=tally.fragment,
        pods_per_second=len(arriving) / (perf_counter() - begun),
    )


def with_departures(
    nodes: Sequence[Node], pods: Sequence[Shape], mix: Mix, seed: int, make: Make, *, load: float
) -> Outcome:
    """Pods arrive as a Poisson process and stay for an exponential time; means over time.

    The cluster is asked for `load` times its GPUs for two lifetimes, and counted for two more.
    """
    random = np.random.default_rng(seed)
    cluster = Nodes(in_random_order(nodes, random))
    capacity = int(cluster.idle.sum())
    rule, tally = make(cluster, mix), Tally()
    pace = load * capacity / float(np.mean([shape.total_milli for shape in pods]))
    staying: list[tuple[float, int, int, Shape, list[int]]] = []
    wanting: list[tuple[float, int]] = []
    ceilings: list[float] = []
    now, arrived, given, wanted = 0.0, 0, 0, 0
    begun = perf_counter()
    while now < _WARM_LIFETIMES + _COUNTED_LIFETIMES:
        now += random.exponential(1 / pace)
        while staying and staying[0][0] <= now:
            _, _, row, shape, devices = heapq.heappop(staying)
            cluster.release(row, shape, devices)
            cluster.left(shape)
            given -= shape.total_milli
        while wanting and wanting[0][0] <= now:
            wanted -= heapq.heappop(wanting)[1]
        shape, stays = pods[int(random.integers(len(pods)))], random.exponential()
        arrived += 1
        heapq.heappush(wanting, (now + stays, shape.total_milli))
        wanted += shape.total_milli
        placed = put(cluster, shape, rule.choose(shape))
        if placed is not None:
            heapq.heappush(staying, (now + stays, arrived, placed[0], shape, placed[1]))
            given += shape.total_milli
        if now >= _WARM_LIFETIMES:
            tally.count(shape, given=placed is not None)
            tally.samples.append(100 * given / capacity)
            ceilings.append(100 * min(wanted / capacity, 1.0))
    return Outcome(
        allocation_100=float(np.mean(tally.samples)),
        allocation_130=None,
        multi_gpu_accepted_100=tally.wide_percent(),
        frag_100=100 * Fgd(cluster, mix).fragment_milli() / capacity,
        pods_per_second=arrived / (perf_counter() - begun),
        ceiling_100=float(np.mean(ceilings)),
    )
