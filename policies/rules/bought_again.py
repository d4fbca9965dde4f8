"""What somebody buys after a node was let go, and no pod explains, is left alone for a while.

Another owner may want it: Karpenter keeps room for any CapacityBuffer, no pod is on that room, and
what goes is bought again at once. Nothing here reads such buffers; what is bought gives them away.

After a release, and until a node could have been bought for it and a pod could have waited for one,
nodes that are ordered are counted. Pods that waited since explain as many of them as they needed at
once, and as many again as have had pods; the pool's own orders since explain as many as they were.
These may go again. Any other is left alone until it has had a pod: for as long as that time at
first, and twice as long after each further release that is answered so. Karpenter may remove it,
where `consolidateAfter` and the disruption budgets let it.
Once such a node has had a pod, the next is left alone as if it were the first. Once a release is
not answered, and no such node is left, all this is forgotten.
"""

from collections.abc import Sequence
from typing import Final

from policies.rules.draft import PoolDraft, per_pool
from policies.rules.no_flap import RELEASED
from policies.rules.waiting_pods import nodes_waited_for
from policies.rules.worth import late_seconds
from policies.situation import PoolNode

LEFT_SECONDS_MAX: Final = 86_400.0
_DOUBLINGS_MAX: Final = 16.0
_SINCE: Final = "bought-again/since"
"""Noted: the release from which on the next two are counted."""
_BEFORE: Final = "bought-again/before"
"""Noted: the last release before this round, so that the same round decides the same again."""
_WAITED_FOR: Final = "bought-again/waited-for"
"""Noted: the most nodes that pods have waited for at once."""
_EXPLAINED: Final = "bought-again/explained/"
"""Noted, by UID: since when pods that waited explain a node that was ordered after a release."""
_SERVED: Final = "bought-again/served/"
"""Noted, by UID: the same of one that has had pods since."""
_OURS: Final = "bought-again/ours/"
"""Noted, by UID: the same of one that the pool's own orders explain."""
_ORDERS: Final = "bought-again/orders"
"""Noted: how many nodes that the pool has ordered since a release have not been seen yet."""
_ORDERED: Final = "bought-again/ordered"
"""Noted: when it did so last."""
_LEFT: Final = "bought-again/left/"
"""Noted, by UID: since when a node is left alone."""
_TIMES: Final = "bought-again/times"
"""Noted: after how many releases in a row something was bought that no pod explains."""
_COUNTED: Final = "bought-again/counted"
"""Noted: the last of these releases."""


@per_pool
def leave_what_others_buy(draft: PoolDraft) -> None:
    """Note which nodes are left alone."""
    noted = _standing(draft, _LEFT)
    of_pool = {_LEFT + node.uid: node for node in draft.pool.nodes if _LEFT + node.uid in noted}
    left = {key: noted[key] for key, node in of_pool.items() if not node.pods}
    released = _last_release(draft)
    if len(left) == len(of_pool) and (released is not None or left):
        for key in {_TIMES, _COUNTED} & draft.remembered.keys():
            draft.memory[key] = draft.remembered[key]
    draft.memory |= left
    if released is not None:
        _count(draft, released)


@per_pool
def note_orders(draft: PoolDraft) -> None:
    """Note what is ordered after a release; no other rule may drop orders later."""
    ordered = sum(order.nodes for order in draft.orders)
    if ordered and _last_release(draft) is not None:
        # An order is repeated until its nodes are seen.
        draft.memory[_ORDERS] = max(draft.memory.get(_ORDERS, 0), ordered)
        draft.memory[_ORDERED] = draft.now_seconds


def bought_again(draft: PoolDraft, nodes: Sequence[PoolNode]) -> dict[str, str]:
    """Why some of these nodes are left alone, by UID; the rule has to run before."""
    found = {}
    doublings = min(_DOUBLINGS_MAX, draft.memory.get(_TIMES, 1.0) - 1)
    lasts = min(LEFT_SECONDS_MAX, _quiet_seconds(draft) * 2**doublings)
    for node in nodes:
        since = draft.memory.get(_LEFT + node.uid)
        if since is not None and draft.now_seconds - since < lasts:
            minutes = (since + lasts - draft.now_seconds) / 60
            found[node.uid] = (
                "it was ordered after the last one was let go, and no pod that waited since "
                f"explains it: others may want it, and it is left alone for {minutes:.0f} min"
            )
    return found


def _quiet_seconds(draft: PoolDraft) -> float:
    return draft.pool.lead_time.boot_seconds + late_seconds(draft)


def _standing(draft: PoolDraft, prefix: str) -> dict[str, float]:
    """Notes of the last round; a clock that went back must not lengthen what they say."""
    noted = draft.remembered.items()
    return {key: min(at, draft.now_seconds) for key, at in noted if key.startswith(prefix)}


def _last_release(draft: PoolDraft) -> float | None:
    """The last one before this round; None = it is too long ago to count."""
    released = draft.remembered.get(RELEASED)
    if released is not None and released >= draft.now_seconds:  # this round's, or a clock went back
        released = draft.remembered.get(_BEFORE)
    if released is None or draft.now_seconds - released >= _quiet_seconds(draft):
        return None
    return released


def _count(draft: PoolDraft, released: float) -> None:
    """Tell what was ordered since a release by what pods waited for."""
    now, past, lasts = draft.now_seconds, draft.remembered, _quiet_seconds(draft)
    since, waited_for = min(past.get(_SINCE, released), now), past.get(_WAITED_FOR, 0.0)
    if now - since >= lasts:
        since, waited_for = now, 0.0
    waited_for = max(waited_for, nodes_waited_for(draft))
    draft.memory |= {_BEFORE: released, _SINCE: since, _WAITED_FOR: waited_for}
    room = waited_for - _explained(draft, since)
    ours = _ours(draft)
    for node in sorted(draft.pool.nodes, key=lambda node: (node.ordered_seconds, node.name)):
        noted = {prefix + node.uid for prefix in (_EXPLAINED, _SERVED, _OURS, _LEFT)}
        if node.ordered_seconds <= released or noted & draft.memory.keys():
            continue
        if node.pods:
            draft.memory[_SERVED + node.uid] = now
        elif room > 0:
            room -= 1
            draft.memory[_EXPLAINED + node.uid] = now
        elif ours > 0:
            ours -= 1
            draft.memory[_OURS + node.uid] = now
        else:
            draft.memory[_LEFT + node.uid] = now
            _count_answer(draft, released)
    if ours > 0:
        draft.memory |= {_ORDERS: ours, _ORDERED: min(past[_ORDERED], now)}


def _ours(draft: PoolDraft) -> float:
    """Go on with the notes of own nodes, and tell how many are still to be seen."""
    now, past, lasts = draft.now_seconds, draft.remembered, _quiet_seconds(draft)
    draft.memory |= {key: at for key, at in _standing(draft, _OURS).items() if now - at < lasts}
    ordered = past.get(_ORDERED)
    return past.get(_ORDERS, 0.0) if ordered is not None and now - ordered < lasts else 0.0


def _explained(draft: PoolDraft, since: float) -> int:
    """Go on with the notes of explained nodes, and count those that have had no pod."""
    used = {node.uid for node in draft.pool.nodes if node.pods}
    unused = 0
    for prefix in (_EXPLAINED, _SERVED):
        for key, at in _standing(draft, prefix).items():
            if draft.now_seconds - at < _quiet_seconds(draft):
                uid = key.removeprefix(prefix)
                served = prefix == _SERVED or uid in used
                draft.memory[(_SERVED if served else _EXPLAINED) + uid] = at
                unused += not served and at >= since
    return unused


def _count_answer(draft: PoolDraft, released: float) -> None:
    """Once a release, whatever number of nodes is bought for it."""
    if draft.memory.get(_COUNTED) != released:
        draft.memory[_COUNTED] = released
        draft.memory[_TIMES] = draft.memory.get(_TIMES, 0.0) + 1
