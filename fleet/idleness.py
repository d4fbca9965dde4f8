"""Allocated GPUs that do nothing, and the pods that hold them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fleet.activity import Activity, Host
from fleet.cluster.gpus import Gpu
from fleet.uses import Held, Use, rounded


def idle_of(
    held: Held, uses: Sequence[Use], gpus: int, activity: Activity | None, now_seconds: float
) -> tuple[float | None, list[Use]]:
    """Idle GPUs of a node, None where they are not measured, and each use with its idle part.

    Allocated GPUs beyond the busy ones are idle. The exporter's mapping to pods, or DRA's devices,
    tell which pod holds them. GPUs of a pod that started within the window are not idle: it had no
    time to do anything.
    """
    if activity is None or not held.uses_known:
        return None, list(uses)
    if not uses:
        return 0.0, []
    host = activity.hosts.get(held.node.name)
    if host is None or len(host.busy) != gpus:
        # Fewer are not all measured. More are not all of this node, but of one called so before it,
        # or in another cluster.
        return None, list(uses)
    since = now_seconds - activity.window_seconds
    young = {(use.namespace, use.pod) for use in uses if (use.started_seconds or since) > since}
    busy = sum(host.busy.values())
    allocated = min(gpus, sum(use.gpus for use in uses))
    waiting = sum(use.gpus for use in uses if (use.namespace, use.pod) in young)
    idle = max(0.0, allocated - busy - waiting)
    marks = _marks(host, held.dra)
    marked = []
    for use in uses:
        mine: float | None
        if (use.namespace, use.pod) in young or not idle:
            mine = 0.0
        elif not busy:
            mine = use.gpus
        else:
            seen = marks.get(f"{use.namespace}/{use.pod}")
            mine = rounded(use.gpus * (1 - sum(seen) / len(seen))) if seen else None
        marked.append(replace(use, idle=mine))
    return idle, marked


def _marks(host: Host, dra: Sequence[Gpu]) -> Mapping[str, list[bool]]:
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
