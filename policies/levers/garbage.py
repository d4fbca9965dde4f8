"""Collect what is ours and has outlived its lease, whoever made it.

A controller that crashed, was replaced, or lost a pool from its policies leaves objects behind that
no plan speaks of any more. Each tells when its lease ends; after that this lever takes it away, in
the same careful steps as the lever that made it. A lease that cannot be read, or that
no lever writes, keeps nothing. What a
lever of this round has just changed is left to it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from fleet.cluster.karpenter import NodePool
from policies.levers.capacity_buffer import drained
from policies.levers.change import Address, Change, Verb
from policies.levers.deletion_cost import ranked_by_us, ranked_until, unranked
from policies.levers.hold import let_go
from policies.levers.objects import PRIORITY_CLASS, MadeObject, Objects
from policies.levers.placeholder import removed
from policies.levers.quiet_hours import standing_budget, taken_out
from policies.levers.release import TAINT_LEASE_SECONDS, tainted_seconds, untainted
from policies.levers.static_pool import BEFORE, SET, marked, scale, size_mark, sized_back, unmarked
from policies.levers.wanted import takes_gpus

LEVER: Final = "garbage"
LEASE_SECONDS_MAX: Final = 7 * 86_400.0 + 3600.0
"""The longest `holdLease`, and an hour: a lease beyond it is of a clock that was wrong."""
_OVER: Final = "its lease has ended"


def collect(
    objects: Objects, now_seconds: float, cared_for: Iterable[Address] = ()
) -> tuple[Change, ...]:
    """What to take away.

    Args:
        objects: of the whole cluster.
        now_seconds: of this round.
        cared_for: what levers of this round changed or keep.
    """
    kept = frozenset(cared_for)
    found = [
        *_made(objects, now_seconds),
        *_of_nodes(objects, now_seconds),
        *_of_pods(objects, now_seconds),
        *_of_pools(objects, now_seconds),
    ]
    return tuple(
        replace(one, lever=LEVER, why=f"{_OVER}: {one.why}")
        for one in found
        if one.address not in kept
    )


def _ended(end_seconds: float | None, now_seconds: float) -> bool:
    return end_seconds is None or not 0 < end_seconds - now_seconds <= LEASE_SECONDS_MAX


def _made(objects: Objects, now_seconds: float) -> Iterator[Change]:
    ours = [one for one in objects.made.values() if one.ours and not one.going]
    used = {one.template for one in ours if one.address.kind == "CapacityBuffer"}
    placeholders = any(one.address.kind == "Deployment" for one in ours)
    for one in ours:
        if not _ended(one.lease_end_seconds, now_seconds):
            continue
        match one.address.kind:
            case "CapacityBuffer":
                yield from drained(one, objects, now_seconds).changes
            case "Deployment":
                yield removed(one)
            case "PodTemplate" if one.address.name not in used:
                yield _deleted(one, "no buffer names it")
            case "PriorityClass" if one.address == PRIORITY_CLASS and not placeholders:
                yield _deleted(one, "no pod has it")
            case _:
                pass


def _deleted(made: MadeObject, why: str) -> Change:
    return Change(verb=Verb.DELETE, address=made.address, lever=LEVER, why=why, uid=made.uid)


def _of_nodes(objects: Objects, now_seconds: float) -> Iterator[Change]:
    for node in objects.nodes.values():
        if node.hold_marked and _ended(node.kept_until_seconds, now_seconds):
            yield let_go(node, "nobody renewed the hold")
        since = tainted_seconds(node)
        if since is not None and not abs(now_seconds - since) < TAINT_LEASE_SECONDS:
            yield untainted(node, "the release was not carried on")


def _of_pods(objects: Objects, now_seconds: float) -> Iterator[Change]:
    for pod in objects.pods.values():
        ours = ranked_by_us(pod) and pod.deleted_seconds is None
        if ours and _ended(ranked_until(pod), now_seconds):
            yield unranked(pod, "nobody renewed its cost")


def _of_pools(objects: Objects, now_seconds: float) -> Iterator[Change]:
    for record in objects.pools.values():
        budget = standing_budget(record)
        if budget is not None and (budget.end_seconds or 0.0) <= now_seconds:
            yield taken_out(record, budget, "quiet hours are over")
        mark = size_mark(record)
        if mark is None:
            if BEFORE in record.annotations or SET in record.annotations:
                yield unmarked(record)
        elif _ended(mark.lease_end_seconds, now_seconds):
            yield from _size_back(record, objects)


def _size_back(record: NodePool, objects: Objects) -> Iterator[Change]:
    """The size of before, but no node that a pod uses goes for it."""
    mark = size_mark(record)
    assert mark is not None
    replicas = record.replicas
    if replicas is None or replicas not in mark.sizes or replicas == mark.before:
        # Nothing was set, it was set back, or somebody else has set it since.
        yield unmarked(record)
        return
    target = max(mark.before, min(replicas, _used_nodes(record.name, objects)))
    if target == replicas:
        return
    why = f"back to {target} nodes; it had {mark.before} before"
    if target == mark.before:
        yield from sized_back(record, target, why)
    else:
        end = mark.lease_end_seconds or 0.0
        yield marked(record, mark.before, target, mark.because, end)
        yield scale(record, target, why)


def _used_nodes(pool: str, objects: Objects) -> int:
    names = {node.name for node in objects.nodes.values() if node.pool == pool}
    return len({pod.node for pod in objects.pods.values() if takes_gpus(pod)} & names)
