"""Events about decisions on GPU nodes: one when a decision changes, on the Node or the NodePool.

Of a machine without a Node it is on the NodeClaim. Events are bounded as all of ours are: what does
not fit is posted in a later round, if it is still decided then.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter

from fleet.cluster.reading import Cluster
from foresail.placement.event_queue import EventQueue, Post, event_of
from policies.node_plan import NodePlan, PoolPlan, Step, Verdict
from policies.rules.draft import SPECULATIVE

CONTROLLER: Final = "foresail.io/controller"
_REASONS: Final = {
    (Verdict.HOLD, True): "Holding",
    (Verdict.HOLD, False): "WouldHold",
    (Verdict.RELEASE, True): "Releasing",
    (Verdict.RELEASE, False): "WouldRelease",
}
_ORDERS: Final = {True: "Ordering", False: "WouldOrder"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What an Event says, and by what it is known again."""

    about: Mapping[str, str]
    reason: str
    topic: str
    """Such as the Node; an Event is due when what is said of it changes."""
    said: str
    """What counts as the same."""
    note: str


class NodeEvents:
    """Takes plans without waiting, and posts one Event after the other."""

    def __init__(self, post: Post, registry: CollectorRegistry) -> None:
        outcomes = Counter(
            "foresail_controller_events",
            "Events about decisions: posted, failed, or dropped because too many waited.",
            ["outcome"],
            registry=registry,
        )
        self._queue = EventQueue(post, outcomes)
        self._said: dict[str, str] = {}

    def take(
        self, plan: NodePlan, cluster: Cluster, *, acts: bool, more: Iterable[Decision] = ()
    ) -> None:
        """Post what changed since the last plan.

        Args:
            plan: of this round.
            cluster: that it is of.
            acts: whether decisions of policies that act are carried out.
            more: decisions that are not in the plan.
        """
        said: dict[str, str] = {}
        for one in chain(decisions_of(plan, cluster, acts=acts), more):
            same = self._said.get(one.topic) == one.said
            event = event_of(
                one.about,
                by=CONTROLLER,
                action="Planning",
                reason=one.reason,
                note=one.note,
                unix_seconds=plan.at_seconds,
            )
            if same or self._queue.put(event):
                said[one.topic] = one.said
        self._said = said

    async def run(self) -> None:
        """Post what waits, until cancelled."""
        await self._queue.run()


def decisions_of(plan: NodePlan, cluster: Cluster, *, acts: bool) -> Iterator[Decision]:
    """The decisions of a plan that are worth an Event."""
    pools = {one.name: one.uid for one in cluster.node_pools or ()}
    nodes = {node.name: node.uid for node in cluster.nodes}
    machines = {name: reference("v1", "Node", name, uid) for name, uid in nodes.items()}
    for claim in cluster.node_claims or ():
        itself = reference("karpenter.sh/v1", "NodeClaim", claim.name, claim.uid)
        machines[claim.name] = machines.get(claim.node or "", itself)
    for pool in plan.pools:
        yield from _of_nodes(pool, machines, acts=acts and pool.act)
        if pool.pool in pools:
            about = reference("karpenter.sh/v1", "NodePool", pool.pool, pools[pool.pool])
            yield from _of_orders(pool, about, acts=acts and pool.act)


def _of_nodes(
    pool: PoolPlan, machines: Mapping[str, Mapping[str, str]], *, acts: bool
) -> Iterator[Decision]:
    """Of each on its Node, or on its NodeClaim where it has no Node yet."""
    for one in pool.nodes:
        why = one.reason.value if one.reason is not None else ""
        # What Karpenter would do by itself is no news, nor is a model that loads.
        if one.verdict is Verdict.LEAVE or one.node not in machines:
            continue
        if one.verdict is Verdict.HOLD and one.reason not in SPECULATIVE:
            continue
        yield Decision(
            about=machines[one.node],
            reason=_REASONS[one.verdict, acts],
            topic=f"node/{one.uid}",
            said=f"{one.verdict} {why} {acts}",
            note=_note(f"{one.verdict.value}: {why}", one.steps),
        )


def _of_orders(pool: PoolPlan, about: Mapping[str, str], *, acts: bool) -> Iterator[Decision]:
    for one in pool.orders:
        kind = f" {one.capacity_type.value}" if one.capacity_type is not None else ""
        of = f" of {one.workload}" if one.workload is not None else ""
        text = f"{one.nodes}{kind} nodes: {one.reason.value}{of}"
        yield Decision(
            about=about,
            reason=_ORDERS[acts],
            topic=f"order/{pool.pool}/{one.reason}/{kind}/{one.workload}",
            said=f"{one.nodes} {acts}",
            note=_note(text, one.steps),
        )


def _note(head: str, steps: tuple[Step, ...]) -> str:
    return "; ".join([head, *(step.text for step in steps)])


def reference(api_version: str, kind: str, name: str, uid: str) -> dict[str, Any]:
    """An object, as an Event names it."""
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid}
