"""Allocated GPUs that do nothing, and the pods that hold them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fleet.activity import Activity, Host
from fleet.cluster.gpus import Gpu
from fleet.uses import Held, Use, rounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Idleness:
    """Of a node."""

    gpus: float | None
    """Allocated ones that did nothing, at least; None = not measured."""
    perhaps: float
    """Further ones that may have done nothing."""
    uses: Sequence[Use]
    """Each with its idle part, where that is known."""


def idleness_of(
    held: Held, uses: Sequence[Use], gpus: int, activity: Activity | None, now_seconds: float
) -> Idleness:
    """What of a node's allocated GPUs did nothing.

    The exporter's mapping to pods, or DRA's devices, tell which GPUs a pod holds. GPUs of a pod
    that started within the window are not idle: it had no time to do anything. Where nothing tells
    whose the busy GPUs are, they may be those of such a pod, or of one that has ended since.
    """
    if activity is None or not held.uses_known:
        return Idleness(gpus=None, perhaps=0.0, uses=uses)
    if not uses:
        return Idleness(gpus=0.0, perhaps=0.0, uses=uses)
    host = activity.hosts.get(held.node.name)
    if host is None or len(host.busy) != gpus:
        # Fewer are not all measured. More are not all of this node, but of one called so before it,
        # or in another cluster.
        return Idleness(gpus=None, perhaps=0.0, uses=uses)
    since = now_seconds - activity.window_seconds
    young = {(use.namespace, use.pod) for use in uses if (use.started_seconds or since) > since}
    busy = sum(host.busy.values())
    marks = _marks(host, held.dra)
    marked = []
    for use in uses:
        mine: float | None = None
        seen = marks.get(f"{use.namespace}/{use.pod}")
        if (use.namespace, use.pod) in young or busy == gpus:
            mine = 0.0
        elif not busy:
            mine = use.gpus
        elif seen:
            mine = rounded(use.gpus * (1 - sum(seen) / len(seen)))
        marked.append(replace(use, idle=mine))
    old = [use for use in marked if (use.namespace, use.pod) not in young]
    # Where more is given out than there is, each pod has less than it asked for.
    scale = min(1.0, gpus / sum(use.gpus for use in uses))
    known = scale * sum(use.idle or 0.0 for use in old)
    unmarked = scale * sum(use.gpus for use in old if use.idle is None)
    least = max(known, scale * sum(use.gpus for use in old) - busy) if unmarked else known
    most = known + min(unmarked, gpus - busy)
    return Idleness(gpus=least, perhaps=max(0.0, most - least), uses=marked)


def _marks(host: Host, dra: Iterable[Gpu]) -> Mapping[str, list[bool]]:
    """For each pod, whether each GPU is busy that it is known to hold."""
    found: dict[str, list[bool]] = {}
    for gpu, owners in host.owners.items():
        for owner in owners if gpu in host.busy else ():
            found.setdefault(owner, []).append(host.busy[gpu])
    for one in dra:
        for taking in one.takings if one.name in host.busy else ():
            for pod in taking.claim.pods:
                found.setdefault(pod, []).append(host.busy[one.name])
    return found
