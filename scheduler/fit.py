"""Why a node cannot take a pod: for now, or however empty it were.

kube-scheduler tries preemption on nodes of the first kind, and never on those of the second.
"""

from dataclasses import dataclass, field
from functools import cache
from itertools import compress

import numpy as np

from scheduler.placement import Int, Nodes, Shape


@dataclass(frozen=True, slots=True)
class Filtered:
    """Which of the nodes that were asked about can take the pod."""

    passed: list[str]
    failed: dict[str, str] = field(default_factory=dict)
    """For now: room may come."""
    unresolvable: dict[str, str] = field(default_factory=dict)
    """However empty the node is."""


def filtered(names: list[str], rows: Int, now: Nodes, empty: Nodes, shape: Shape) -> Filtered:
    """Sort `names` by whether the pod fits.

    A node that is not known passes: kube-scheduler has seen it, and we say nothing about it.

    Args:
        names: nodes that were asked about.
        rows: shape ``(len(names),)``, their rows; -1 = not known.
        now: as the nodes are.
        empty: as they are when nothing runs.
        shape: what the pod asks for.
    """
    fits = np.append(now.fits(shape), True)[rows]
    if fits.all():
        return Filtered(list(names))
    result = Filtered(list(compress(names, fits.tolist())))
    ever = np.append(empty.fits(shape), True)
    short = np.flatnonzero(~fits)
    able = ever[rows[short]]
    for at, reason in zip(
        short[able].tolist(), _lacking(now, rows[short[able]], shape, "free"), strict=True
    ):
        result.failed[names[at]] = reason
    unable = short[~able]
    for at, reason in zip(
        unable.tolist(), _lacking(empty, rows[unable], shape, "in all"), strict=True
    ):
        result.unresolvable[names[at]] = reason
    return result


def _lacking(nodes: Nodes, rows: Int, shape: Shape, when: str) -> list[str]:
    """What each of these nodes lacks; thousands lack the same, so each text is made once."""
    model = nodes.models
    wrong_model = np.zeros(len(rows), np.bool_)
    if shape.gpus and shape.models:
        wrong_model = ~nodes.allows(shape.models)[nodes.model[rows]]
    if shape.is_share:
        few, told = nodes.most[rows] < shape.gpu_milli, np.zeros(len(rows), np.int64)
    else:
        few, told = nodes.free[rows] < shape.gpus, nodes.free[rows]
    kind = np.select([wrong_model, few, nodes.cpu[rows] < shape.cpu_milli], [0, 1, 2], 3)
    value = np.select(
        [wrong_model, few, nodes.cpu[rows] < shape.cpu_milli],
        [nodes.model[rows], told, nodes.cpu[rows]],
        nodes.memory[rows],
    )  # fmt: skip

    @cache
    def text(kind: int, value: int) -> str:
        match kind:
            case 0:
                wanted = " or ".join(sorted(shape.models))
                return f"GPU model {model[value] or 'unknown'}, asked for {wanted}"
            case 1 if shape.is_share:
                return f"no GPU with {shape.gpu_milli} milli {when}"
            case 1:
                return f"{value} whole GPUs {when}, asked for {shape.gpus}"
            case 2:
                return f"{value} milli CPU {when}, asked for {shape.cpu_milli}"
            case _:
                return f"{value} MiB memory {when}, asked for {shape.memory_mib}"

    return list(map(text, kind.tolist(), value.tolist()))
