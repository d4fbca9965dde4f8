"""The openb traces: nodes and pods from CSV, and the arrivals that the protocol makes of them."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scheduler.mix import Mix
from scheduler.placement import ANY_MODEL, WHOLE_MILLI, Node, Shape

DEMAND_MAX = 1.3
"""Arrivals go on until so much of the cluster's GPUs is asked for."""


def nodes_of(path: Path) -> list[Node]:
    """The nodes of a CSV with the columns sn, cpu_milli, memory_mib, gpu, model."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Node(
                name=row["sn"],
                cpu_milli=int(float(row["cpu_milli"])),
                memory_mib=int(float(row["memory_mib"])),
                model=row["model"],
                gpus_milli=(WHOLE_MILLI,) * int(float(row["gpu"])),
            )
            for row in csv.DictReader(file)
        ]


def pods_of(path: Path) -> list[Shape]:
    """The pods of a CSV, by name.

    Columns: name, cpu_milli, memory_mib, num_gpu, gpu_milli, and gpu_spec where there is one.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["name"])
    return [_shape(row) for row in rows]


def _shape(row: dict[str, str]) -> Shape:
    gpus = int(float(row["num_gpu"] or 0))
    milli = WHOLE_MILLI if gpus > 1 else int(float(row["gpu_milli"] or 0))
    models = frozenset(filter(None, (row.get("gpu_spec") or "").split("|")))
    return Shape(
        cpu_milli=int(float(row["cpu_milli"])),
        memory_mib=int(float(row["memory_mib"])),
        gpus=gpus,
        gpu_milli=milli if gpus else 0,
        models=models if gpus else ANY_MODEL,
    )


def mix_of(pods: Sequence[Shape]) -> Mix:
    """The mix that a trace is drawn from."""
    return Mix({shape: float(count) for shape, count in Counter(pods).items()})


def in_random_order(nodes: Sequence[Node], random: np.random.Generator) -> list[Node]:
    """The nodes as one run has them: ties go to the first."""
    return [nodes[index] for index in random.permutation(len(nodes))]


def arrivals(
    pods: Sequence[Shape], capacity_milli: int, random: np.random.Generator
) -> list[Shape]:
    """The trace in a random order, then pods drawn from it, until DEMAND_MAX is asked for.

    The protocol of Weng et al., USENIX ATC 2023.
    """
    arriving: list[Shape] = []
    asked, order = 0, iter(random.permutation(len(pods)))
    while asked < DEMAND_MAX * capacity_milli:
        index = next(order, None)
        pod = pods[int(random.integers(len(pods)) if index is None else index)]
        arriving.append(pod)
        asked += pod.total_milli
    return arriving
