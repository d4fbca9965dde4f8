"""A node that still starts is let go where neither demand nor the forecast wants it any more.

It is paid for while it boots, and Karpenter lets it boot to its end. Of two nodes that nothing
uses, one that boots is worth less than an empty one: it costs as much a minute, and serves later.
So the number of nodes that are worth keeping (`policies.rules.worth`) bounds those that boot too,
and empty nodes fill it first. Of those that boot, the dearest go first, then those that are least
far: while both boot they cost the same, and the other one serves sooner.

Nothing is let go while a pod waits that may use it, while a node with pods is about to go, or where
the operator keeps new nodes. What is let go is not ordered again at once
(`policies.rules.no_flap`), and what somebody else orders then is not let go for as long: a buffer
of another owner may want it. Pods that waited since explain as many machines as they needed at
once, and those may go; more than these are not called off within the time of one such wait.
"""

import math
from typing import Final

from fleet.cluster.nodes import CapacityType
from fleet.reasons import Reason
from policies.node_plan import Step
from policies.rules.draft import PoolDraft, is_starting, per_pool
from policies.rules.no_flap import RELEASED
from policies.rules.release import not_releasable
from policies.rules.worth import late_seconds
from policies.situation import NodeStage, PoolNode

ORDERED_SECONDS_MIN: Final = 30.0
"""From the order on: the pod that a machine was bought for is read by then."""
_RULE: Final = "cancel"
_SINCE: Final = "cancel/since"
"""Noted: the release from which on the next two are counted."""
_WAITED_FOR: Final = "cancel/waited-for"
"""Noted: the most nodes that pods have waited for at once."""
_BEFORE: Final = "cancel/before"
"""Noted: the last release before this round, so that the same round decides the same again."""
_AGAIN: Final = "cancel/again/"
"""Noted, by UID: nodes called off that were ordered after a release."""
_STAGES: Final = tuple(NodeStage)
_NOISE: Final = 1e-9


@per_pool
def cancel_starts(draft: PoolDraft) -> None:
    """Release what still starts and is above the wanted number, where a forecast tells it."""
    waited_for = _nodes_waited_for(draft)
    _count(draft, waited_for)
    if draft.nodes_wanted is None or draft.policy.keep_new_nodes_seconds:
        return
    surplus = _above(draft)
    if waited_for and surplus:
        text = f"{len(surplus)} starts above the {_wanted(draft)} wanted nodes go on: pods wait"
        draft.say(Step(rule=_RULE, text=f"{text} that may get them, or will soon"))
    if waited_for:
        return
    refused = not_releasable(draft, surplus)
    for node in surplus:
        why = refused.get(node.uid) or _stays(draft, node)
        if why is None:
            draft.release(node, Reason.UNINITIALIZED, _step(draft, node))
        else:
            draft.remark(node, Step(rule=_RULE, text=f"not called off: {why}"))


def _nodes_waited_for(draft: PoolDraft) -> int:
    """How many nodes pods wait for, or may wait for before another could be there."""
    pool = draft.pool
    gangs = {gang.workload for gang in pool.gangs}  # no part of the demand
    bound = sum(pod.gpus for node in pool.nodes for pod in node.pods if pod.workload not in gangs)
    moving = sum(pod.gpus for node in pool.nodes if not node.lasts for pod in node.pods)
    of_gangs = sum(gang.waiting_pods * gang.gpus_per_pod for gang in pool.gangs)
    gpus = max(0.0, pool.demand_gpus - bound) + moving + of_gangs
    known = math.ceil(gpus / pool.gpus_per_node - _NOISE)
    unknown = (
        pool.pods_wait
        or any(gang.waiting_pods for gang in pool.gangs)
        or any(node.pods and not node.lasts for node in pool.nodes)
    )
    return max(known, 1 if unknown else 0)


def _count(draft: PoolDraft, waited_for: int) -> None:
    """Go on with the notes since a release, or begin anew when its time is over."""
    lasts = draft.pool.lead_time.boot_seconds + late_seconds(draft)
    past, now = draft.remembered, draft.now_seconds
    released = past.get(RELEASED)
    if released is not None and released >= now:  # of this round, or a clock has gone back
        released = past.get(_BEFORE)
    if released is None or now - released >= lasts:
        return
    draft.memory[_BEFORE] = released
    since = min(past.get(_SINCE, released), now)
    if now - since >= lasts:
        since, past = now, {}
    draft.memory[_SINCE] = since
    draft.memory[_WAITED_FOR] = max(past.get(_WAITED_FOR, 0.0), waited_for)
    draft.memory |= {uid: at for uid, at in past.items() if uid.startswith(_AGAIN)}


def _above(draft: PoolDraft) -> list[PoolNode]:
    """Nodes that start and are above the wanted number, the first to go first."""
    starting = [node for node in draft.coming if is_starting(node)]
    with_pods = sum(bool(node.pods) for node in draft.coming)
    empty = sum(node.uid not in draft.releases for node in draft.empty)
    missing = _wanted(draft) - len(draft.used) - with_pods - empty
    kept = sorted(starting, key=lambda node: _keeping(draft, node))
    return kept[max(0, missing) :][::-1]


def _wanted(draft: PoolDraft) -> int:
    return max(draft.nodes_wanted or 0, draft.demand_nodes, draft.nodes_kept)


def _keeping(draft: PoolDraft, node: PoolNode) -> tuple[bool, float, int, float, str]:
    """In the order in which they are kept: the last is the first to go."""
    stays = node.held_by_others or node.capacity_type is CapacityType.RESERVED
    usd = draft.usd_per_hour(node) or 0.0
    return not stays, usd, -_STAGES.index(node.stage), node.ordered_seconds, node.name


def _stays(draft: PoolDraft, node: PoolNode) -> str | None:
    """Why this one is not called off although others may be."""
    age = draft.now_seconds - node.ordered_seconds
    if age < ORDERED_SECONDS_MIN:
        return f"it was ordered {age:.0f} s ago, and the pod for it may be about to be read"
    if node.clique is None and any(one.clique is not None for one in draft.pool.nodes):
        return "it does not tell its NVLink domain yet"
    released = draft.memory.get(_BEFORE)
    if released is None or node.ordered_seconds <= released:
        return None
    again = {key for key in draft.memory if key.startswith(_AGAIN)} | {_AGAIN + node.uid}
    if len(again) <= draft.memory[_WAITED_FOR]:
        draft.memory.setdefault(_AGAIN + node.uid, draft.now_seconds)
        return None
    return "it was ordered after the last one was let go, and no pod that waited since explains it"


def _step(draft: PoolDraft, node: PoolNode) -> Step:
    since = max(0.0, draft.now_seconds - node.ordered_seconds)
    text = (
        f"ordered {since / 60:.0f} min ago and not ready, above the {_wanted(draft)} nodes that "
        f"are worth keeping, and no pod waits; {draft.frees(node)}"
    )
    return Step(rule=_RULE, text=text)
