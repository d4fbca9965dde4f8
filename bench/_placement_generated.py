"""Clusters and mixes of pods that are made up, to choose the rule's constants on.

None is drawn from a trace that the rule is judged on. A family says which resource is hard to
place; a seed draws the nodes, the kinds of pods and how frequent each kind is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.placement import ANY_MODEL, WHOLE_MILLI, Node, Shape

NODES = 128
KINDS = 60
PODS = 2000
"""Drawn from the kinds by their frequency: the trace that a mix is counted from."""
_MODELS = ("small", "medium", "large")
_MODEL_PARTS = (0.5, 0.3, 0.2)
"""Of the nodes, and of the kinds that are bound: no model is asked for much more than there is."""
_SIZES = (1, 2, 4, 8)
_SIZE_PARTS = (1.0, 1.0, 2.0, 4.0)
"""Of a Dirichlet distribution: most nodes have eight GPUs, as where pods of eight are run."""
_CORES_PER_GPU = (8, 12, 16)
_MEMORY_PER_CORE_MIB = 8 * 1024

Draw = Callable[[np.random.Generator], int]


@dataclass(frozen=True, slots=True)
class Family:
    """How likely a kind of pod is to be of each sort, and what it asks for beside GPUs."""

    none: float
    """Of a kind that takes no GPU."""
    share: float
    wide: float
    """Of a kind of 2, 4 or 8 GPUs; the rest takes one."""
    bound: float = 0.0
    """Of a kind with GPUs that runs on some models only."""
    cores_per_gpu: float = 6.0
    """Median; the nodes have 8, 12 or 16."""


FAMILIES = {
    "whole": Family(none=0.1, share=0.0, wide=0.1),
    "shares": Family(none=0.1, share=0.8, wide=0.05),
    "shares-only": Family(none=0.1, share=0.9, wide=0.0),
    "wide": Family(none=0.1, share=0.2, wide=0.4),
    "few-wide": Family(none=0.15, share=0.5, wide=0.03),
    "cores": Family(none=0.2, share=0.4, wide=0.1, cores_per_gpu=10.0),
    "models": Family(none=0.1, share=0.4, wide=0.1, bound=0.3),
}


def generated(family: str, seed: int) -> tuple[list[Node], list[Shape]]:
    """The nodes, and the pods of a trace.

    Raises:
        KeyError: there is no such family.
    """
    random = np.random.default_rng([list(FAMILIES).index(family), seed])
    kinds = [_kind(FAMILIES[family], random) for _ in range(KINDS)]
    # A few kinds make up most of the pods, as where a few teams run most of the workloads.
    frequencies = random.pareto(1.2, KINDS) + 0.05
    drawn = random.choice(KINDS, PODS, p=frequencies / frequencies.sum())
    return _nodes(random), [kinds[at] for at in drawn]


def _nodes(random: np.random.Generator) -> list[Node]:
    shapes = random.dirichlet(_SIZE_PARTS)
    nodes = []
    for at in range(NODES):
        gpus = int(random.choice(_SIZES, p=shapes))
        cores = gpus * int(random.choice(_CORES_PER_GPU))
        nodes.append(
            Node(
                name=f"node-{at:03}",
                cpu_milli=cores * 1000,
                memory_mib=cores * _MEMORY_PER_CORE_MIB,
                model=str(random.choice(_MODELS, p=_MODEL_PARTS)),
                gpus_milli=(WHOLE_MILLI,) * gpus,
            )
        )
    return nodes


def _kind(family: Family, random: np.random.Generator) -> Shape:
    sort = random.random()
    cores_per_gpu = family.cores_per_gpu * random.lognormal(0.0, 0.5)
    if sort < family.none:
        return _shape(cores=2 * cores_per_gpu, gpus=0, milli=0, models=ANY_MODEL)
    if sort < family.none + family.share:
        milli = 10 * int(random.integers(5, 95))
        gpus = 1
    elif sort < family.none + family.share + family.wide:
        milli, gpus = WHOLE_MILLI, int(random.choice((2, 4, 8), p=(0.4, 0.3, 0.3)))
    else:
        milli, gpus = WHOLE_MILLI, 1
    models = ANY_MODEL
    if random.random() < family.bound:
        count = int(random.integers(1, 3))
        models = frozenset(map(str, random.choice(_MODELS, count, replace=False, p=_MODEL_PARTS)))
    return _shape(cores=cores_per_gpu * gpus * milli / WHOLE_MILLI, gpus=gpus, milli=milli,
                  models=models)  # fmt: skip


def _shape(*, cores: float, gpus: int, milli: int, models: frozenset[str]) -> Shape:
    # Requests are written in halves of a core, and few ask for more than a GPU's share of a node.
    cpu_milli = max(500, min(round(2 * cores) * 500, 16_000 * max(gpus, 1)))
    memory_mib = cpu_milli * 4
    return Shape(cpu_milli=cpu_milli, memory_mib=memory_mib, gpus=gpus, gpu_milli=milli,
                 models=models)  # fmt: skip


def pairs(families: Sequence[str], seeds: Sequence[int]) -> list[tuple[str, int]]:
    """Every cluster with its mix, by family and seed."""
    return [(family, seed) for family in families for seed in seeds]
