"""Why a node cannot take a pod: for now, or however empty it were.

kube-scheduler tries preemption on nodes of the first kind, and never on those of the second.
"""

from dataclasses import dataclass, field

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
    ever = np.append(empty.fits(shape), True)[rows]
    result = Filtered([name for name, ok in zip(names, fits.tolist(), strict=True) if ok])
    for at in np.flatnonzero(~fits).tolist():
        row = int(rows[at])
        if ever[at]:
            result.failed[names[at]] = _lacking(now, row, shape, "free")
        else:
            result.unresolvable[names[at]] = _lacking(empty, row, shape, "in all")
    return result


def _lacking(nodes: Nodes, row: int, shape: Shape, when: str) -> str:
    model = nodes.models[nodes.model[row]]
    if shape.gpus and shape.models and model not in shape.models:
        return f"GPU model {model or 'unknown'}, asked for {' or '.join(sorted(shape.models))}"
    if shape.is_share and nodes.most[row] < shape.gpu_milli:
        return f"no GPU with {shape.gpu_milli} milli {when}"
    if not shape.is_share and nodes.free[row] < shape.gpus:
        return f"{nodes.free[row]} whole GPUs {when}, asked for {shape.gpus}"
    if nodes.cpu[row] < shape.cpu_milli:
        return f"{nodes.cpu[row]} milli CPU {when}, asked for {shape.cpu_milli}"
    return f"{nodes.memory[row]} MiB memory {when}, asked for {shape.memory_mib}"
