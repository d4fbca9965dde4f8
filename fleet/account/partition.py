"""The GPUs of a node by reason: parts that are together all of them.

Facts of the reading come first: what pods have, what no pod can have. Only of a node that is empty
and could be used does a plan, or an annotation, say why it is kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fleet.account.node import NodeGpus
from fleet.cluster.nodes import CapacityType
from fleet.reasons import OF_EMPTY, Reason
from fleet.uses import NOBODY, Use


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """GPUs of one node with one reason."""

    reason: Reason
    gpus: float
    model: str | None = None
    """That the pod serves; None = no pod has them, or its labels name no model."""


def parts_of(node: NodeGpus, planned: Reason | None = None) -> Iterator[Part]:
    """The parts of a node.

    Args:
        node: as a reading found it.
        planned: why a plan keeps it while it is empty; None = no plan says anything of it, and its
            annotations count.
    """
    if node.allocated is None:
        yield Part(reason=Reason.UNKNOWN, gpus=float(node.gpus))
        return
    if node.free is None or node.out is None:
        if node.allocated:
            yield from _used(node, node.allocated)
        yield Part(reason=Reason.UNKNOWN, gpus=node.gpus - node.allocated)
        return
    # They are rounded, and parts that do not add up would lose or make money over a month.
    used = node.allocated if node.free or node.out else float(node.gpus)
    free = node.free if node.out else node.gpus - used
    if used:
        yield from _used(node, used)
    yield Part(reason=_of_free(node, planned), gpus=free)
    out = Reason.OUT if node.initialized else Reason.UNINITIALIZED
    yield Part(reason=out, gpus=node.gpus - used - free)


def perhaps_idle(node: NodeGpus) -> float:
    """GPUs that count as serving, and of which it is not measured whether they do any work."""
    serving = sum(part.gpus for part in parts_of(node) if part.reason is Reason.SERVING)
    return serving if node.idle is None else min(serving, node.idle_unknown)


def is_reserved(node: NodeGpus, reason: Reason) -> bool:
    """Whether it costs the same without use."""
    return node.capacity_type is CapacityType.RESERVED or reason is Reason.RESERVED


def _used(node: NodeGpus, used: float) -> Iterator[Part]:
    # Where more is given out than there is, each pod has less than it asked for.
    scale = used / sum(use.gpus for use in node.uses)
    idle = _idle_of_unmarked(node, scale)
    for use in node.uses:
        for reason, gpus in _of_use(use, use.gpus * idle if use.idle is None else use.idle):
            yield Part(reason=reason, gpus=gpus * scale, model=use.model)


def _idle_of_unmarked(node: NodeGpus, scale: float) -> float:
    """The idle part of uses of which it is not known: what is idle on the node beyond the others'.

    0 where nothing is measured.
    """
    unmarked = scale * sum(use.gpus for use in node.uses if use.idle is None)
    known = scale * sum(use.idle for use in node.uses if use.idle is not None)
    idle = max(0.0, (node.idle or 0.0) - known)
    return min(1.0, idle / unmarked) if unmarked else 0.0


def _of_use(use: Use, idle: float) -> Iterator[tuple[Reason, float]]:
    if use.pod == NOBODY:
        yield Reason.OUT, use.gpus
    elif use.placeholder:
        yield Reason.PRE_WARM, use.gpus
    elif use.ready is None:
        yield Reason.UNKNOWN, use.gpus
    elif not use.ready:
        yield Reason.VETO, use.gpus
    else:
        yield Reason.IDLE, idle
        yield Reason.SERVING, use.gpus - idle


def _of_free(node: NodeGpus, planned: Reason | None) -> Reason:
    if not node.initialized:
        return Reason.UNINITIALIZED
    if node.uses:
        return Reason.FRAGMENTATION
    if node.capacity_type is CapacityType.RESERVED:
        return Reason.RESERVED  # whatever keeps it, letting it go saves nothing
    if planned in OF_EMPTY:
        return planned
    return node.kept or Reason.NONE
