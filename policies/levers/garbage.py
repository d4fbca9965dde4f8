"""Collect what is ours and has outlived its lease, whoever made it.

A controller that crashed, was replaced, or lost a pool from its policies leaves objects behind that
no plan speaks of any more. Each tells when its lease ends; after that this lever takes it away, in
the same careful steps as the lever that made it. A lease that cannot be read, or that
no lever writes, keeps nothing. What a
lever of this round has just changed is left to it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from fleet.cluster.karpenter import NodePool
from policies.levers.capacity_buffer import drained
from policies.levers.change import Address, Change, Verb
from policies.levers.deletion_cost import ranked_by_us, ranked_until, unranked
from policies.levers.hold import let_go
from policies.levers.objects import (
    PRIORITY_CLASS,
    MadeObject,
    Objects,
    node_address,
    pod_address,
    pool_address,
)
from policies.levers.placeholder import removed
from policies.levers.quiet_hours import standing_budget, taken_out
from policies.levers.release import TAINT_LEASE_SECONDS, tainted_since_seconds, untainted
from policies.levers.static_pool import BEFORE, SET, marked, scale, size_mark, sized_back, unmarked
from policies.levers.wanted import takes_gpus
from policies.policy.pool_policy import Lever

LEVER: Final = "garbage"
LEASE_SECONDS_MAX: Final = 7 * 86_400.0 + 3600.0
"""The longest `holdLease`, and an hour: a lease beyond it is of a clock that was wrong."""
_OVER: Final = "its lease has ended"
_LEVER_BY_KIND: Final = {
    "CapacityBuffer": Lever.CAPACITY_BUFFER,
    "PodTemplate": Lever.CAPACITY_BUFFER,
    "Deployment": Lever.PLACEHOLDER,
    "PriorityClass": Lever.PLACEHOLDER,
}
_ALL: Final = frozenset(Lever)


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
    found = _found(objects, now_seconds, every=False)
    return tuple(
        replace(one, lever=LEVER, why=f"{_OVER}: {one.why}")
        for _, one in found
        if one.address not in kept
    )


def withdraw(
    objects: Objects, now_seconds: float, levers: frozenset[Lever] = _ALL
) -> tuple[Change, ...]:
    """What to take away where nothing of these levers shall stay: as if every lease had ended."""
    return tuple(
        replace(one, lever=LEVER, why=f"all is taken back: {one.why}")
        for lever, one in _found(objects, now_seconds, every=True)
        if lever in levers
    )


def ours_left(objects: Objects, levers: frozenset[Lever] = _ALL) -> tuple[str, ...]:
    """What of these levers is there, each named for a person."""
    named = (str(one) for lever, one in _left(objects) if lever in levers)
    return tuple(dict.fromkeys(named))


def lever_of(made: MadeObject) -> Lever:
    """Of an object of a kind that we make."""
    return _LEVER_BY_KIND[made.address.kind]


def _left(objects: Objects) -> Iterator[tuple[Lever, Address]]:
    for one in objects.made.values():
        if one.ours:
            yield lever_of(one), one.address
    for pod in objects.pods.values():
        if ranked_by_us(pod) and pod.deleted_seconds is None:
            yield Lever.POD_DELETION_COST, pod_address(pod)
    yield from _nodes_left(objects)


def _nodes_left(objects: Objects) -> Iterator[tuple[Lever, Address]]:
    for node in objects.nodes.values():
        if node.hold_marked:
            yield Lever.NODE_HOLD, node_address(node.name)
        if tainted_since_seconds(node) is not None:
            yield Lever.NODE_RELEASE, node_address(node.name)
    for pool in objects.pools.values():
        if standing_budget(pool) is not None:
            yield Lever.QUIET_HOURS, pool_address(pool.name)
        if BEFORE in pool.annotations or SET in pool.annotations:
            yield Lever.STATIC_POOL, pool_address(pool.name)


def _found(objects: Objects, now_seconds: float, *, every: bool) -> Iterator[tuple[Lever, Change]]:
    """With `every`, what has a lease that runs too."""
    clock = _Leases(now_seconds=now_seconds, every_over=every)
    yield from _made(objects, clock)
    yield from _of_nodes(objects, clock)
    yield from _of_pods(objects, clock)
    yield from _of_pools(objects, clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leases:
    """Says which leases are over."""

    now_seconds: float
    every_over: bool

    def ended(self, end_seconds: float | None) -> bool:
        if self.every_over or end_seconds is None:
            return True
        return not 0 < end_seconds - self.now_seconds <= LEASE_SECONDS_MAX


def _made(objects: Objects, leases: _Leases) -> Iterator[tuple[Lever, Change]]:
    ours = [one for one in objects.made.values() if one.ours and not one.going]
    used = {one.template for one in ours if one.address.kind == "CapacityBuffer"}
    placeholders = any(one.address.kind == "Deployment" for one in ours)
    for one in ours:
        if not leases.ended(one.lease_end_seconds):
            continue
        lever = lever_of(one)
        match one.address.kind:
            case "CapacityBuffer":
                retry = not leases.every_over
                for change in drained(one, objects, leases.now_seconds, retry=retry).changes:
                    yield lever, change
            case "Deployment":
                yield lever, removed(one)
            case "PodTemplate" if one.address.name not in used:
                yield lever, _deleted(one, "no buffer names it")
            case "PriorityClass" if one.address == PRIORITY_CLASS and not placeholders:
                yield lever, _deleted(one, "no pod has it")
            case _:
                pass


def _deleted(made: MadeObject, why: str) -> Change:
    return Change(verb=Verb.DELETE, address=made.address, lever=LEVER, why=why, uid=made.uid)


def _of_nodes(objects: Objects, leases: _Leases) -> Iterator[tuple[Lever, Change]]:
    for node in objects.nodes.values():
        if node.hold_marked and leases.ended(node.kept_until_seconds):
            yield Lever.NODE_HOLD, let_go(node, "nobody renewed the hold")
        since = tainted_since_seconds(node)
        if since is not None and (
            leases.every_over or not abs(leases.now_seconds - since) < TAINT_LEASE_SECONDS
        ):
            yield Lever.NODE_RELEASE, untainted(node, "the release was not carried on")


def _of_pods(objects: Objects, leases: _Leases) -> Iterator[tuple[Lever, Change]]:
    for pod in objects.pods.values():
        ours = ranked_by_us(pod) and pod.deleted_seconds is None
        if ours and leases.ended(ranked_until(pod)):
            yield Lever.POD_DELETION_COST, unranked(pod, "nobody renewed its cost")


def _of_pools(objects: Objects, leases: _Leases) -> Iterator[tuple[Lever, Change]]:
    for record in objects.pools.values():
        budget = standing_budget(record)
        if budget is not None and (
            leases.every_over or (budget.end_seconds or 0.0) <= leases.now_seconds
        ):
            yield Lever.QUIET_HOURS, taken_out(record, budget, "quiet hours are over")
        mark = size_mark(record)
        if mark is None:
            if BEFORE in record.annotations or SET in record.annotations:
                yield Lever.STATIC_POOL, unmarked(record)
        elif leases.ended(mark.lease_end_seconds):
            for change in _size_back(record, objects, last=leases.every_over):
                yield Lever.STATIC_POOL, change


def _size_back(record: NodePool, objects: Objects, *, last: bool) -> Iterator[Change]:
    """The size of before, but no node that a pod uses goes for it.

    With `last` there is no later round: what pods use then stays, and the pool is its owner's.
    """
    mark = size_mark(record)
    assert mark is not None
    replicas = record.replicas
    ours = replicas in mark.sizes and not record.built_in and record.replicas_in_git is None
    if replicas is None or not ours or replicas == mark.before:
        # Nothing was set, it was set back, or somebody else has set it since; or the marks came
        # with a copy, because no lever sets the size of such a pool.
        yield unmarked(record)
        return
    target = max(mark.before, min(replicas, _used_nodes(record.name, objects)))
    if target == replicas:
        if last:
            why = (
                f"pods use its {target} nodes, so it stays larger than the {mark.before} of before"
            )
            yield replace(unmarked(record), why=why)
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
    used = {pod.node for pod in objects.pods.values() if takes_gpus(pod)}
    return len((used | objects.cpu_pod_by_node.keys()) & names)
