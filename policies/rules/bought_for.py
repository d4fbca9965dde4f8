"""What nodes that are ordered soon after a release were bought for, as far as that can be told.

Pods that waited since explain as many nodes as they needed at once, and as many again as have had
pods. Where one goes without a pod, because its start was called off or failed, pods that wait now
explain the next one, once for each node that they needed at once. The pool's own orders since
explain as many as they were. What is left somebody else has bought.
"""

from collections.abc import Collection, Iterator
from typing import Final

from policies.rules.draft import PoolDraft
from policies.rules.no_flap import RELEASED
from policies.rules.waiting_pods import nodes_waited_for
from policies.rules.worth import late_seconds
from policies.situation import PoolNode

_SINCE: Final = "bought-for/since"
"""Noted: the release from which on the next two are counted."""
_BEFORE: Final = "bought-for/before"
"""Noted: the last release before this round, so that the same round decides the same again."""
_WAITED_FOR: Final = "bought-for/waited-for"
"""Noted: the most nodes that pods have waited for at once."""
_WAITED: Final = "bought-for/pods-that-waited/"
"""Noted, by UID: since when pods that waited explain a node that was ordered after a release."""
_SERVED: Final = "bought-for/pods-since/"
"""Noted, by UID: the same of one that has had pods since."""
_OURS: Final = "bought-for/own-order/"
"""Noted, by UID: the same of one that the pool's own orders explain."""
_ORDERS: Final = "bought-for/orders"
"""Noted: how many nodes that the pool has ordered since a release have not been seen yet."""
_ORDERED: Final = "bought-for/ordered"
"""Noted: when it did so last."""


def quiet_seconds(draft: PoolDraft) -> float:
    """After a release: until a node could have been bought for it and a pod could have waited."""
    return draft.pool.lead_time.boot_seconds + late_seconds(draft)


def last_release(draft: PoolDraft) -> float | None:
    """The last one before this round; None = it is too long ago to count."""
    released = draft.remembered.get(RELEASED)
    if released is not None and released >= draft.now_seconds:  # this round's, or a clock went back
        released = draft.remembered.get(_BEFORE)
    if released is None or draft.now_seconds - released >= quiet_seconds(draft):
        return None
    return released


def standing(draft: PoolDraft, prefix: str) -> dict[str, float]:
    """Notes of the last round; a clock that went back must not lengthen what they say."""
    noted = draft.remembered.items()
    return {key: min(at, draft.now_seconds) for key, at in noted if key.startswith(prefix)}


def note_own_orders(draft: PoolDraft) -> None:
    """Note what is ordered after a release; no rule may drop orders later."""
    ordered = sum(order.nodes for order in draft.orders)
    if ordered and last_release(draft) is not None:
        # An order is repeated until its nodes are seen.
        draft.memory[_ORDERS] = max(draft.memory.get(_ORDERS, 0), ordered)
        draft.memory[_ORDERED] = draft.now_seconds


def bought_by_others(
    draft: PoolDraft, released: float, known: Collection[str]
) -> Iterator[PoolNode]:
    """Nodes that were ordered after a release, and neither pods nor own orders explain.

    Args:
        draft: of the pool.
        released: the last release.
        known: UIDs of those that were found before.
    """
    waiting, ours = _unexplained_waits(draft, released), _unseen_orders(draft)
    for node in sorted(draft.pool.nodes, key=lambda node: (node.ordered_seconds, node.name)):
        noted = {prefix + node.uid for prefix in (_WAITED, _SERVED, _OURS)}
        if node.ordered_seconds <= released or node.uid in known or noted & draft.memory.keys():
            continue
        if node.pods:
            draft.memory[_SERVED + node.uid] = draft.now_seconds
        elif waiting > 0:
            waiting -= 1
            draft.memory[_WAITED + node.uid] = draft.now_seconds
        elif ours > 0:
            ours -= 1
            draft.memory[_OURS + node.uid] = draft.now_seconds
        else:
            yield node
    if ours > 0:
        at = min(draft.remembered[_ORDERED], draft.now_seconds)
        draft.memory |= {_ORDERS: ours, _ORDERED: at}


def _unexplained_waits(draft: PoolDraft, released: float) -> float:
    """How many nodes pods have waited for that are not among those seen."""
    now, past = draft.now_seconds, draft.remembered
    since, most = min(past.get(_SINCE, released), now), past.get(_WAITED_FOR, 0.0)
    if now - since >= quiet_seconds(draft):
        since, most = now, 0.0
    waits = nodes_waited_for(draft)
    most = max(most, waits)
    draft.memory |= {_BEFORE: released, _SINCE: since, _WAITED_FOR: most}
    # What goes, because its start was called off, counts as gone before it is.
    there = {node.uid for node in draft.pool.nodes if not node.leaving}
    used = {node.uid for node in draft.pool.nodes if node.pods}
    unused, gone = 0, 0
    for prefix in (_WAITED, _SERVED):
        for key, at in standing(draft, prefix).items():
            if now - at >= quiet_seconds(draft):
                continue
            uid = key.removeprefix(prefix)
            served = prefix == _SERVED or uid in used
            draft.memory[(_SERVED if served else _WAITED) + uid] = at
            if not served and at >= since:
                unused += uid in there
                gone += uid not in there
    return most - unused - max(0.0, gone - min(most, waits))


def _unseen_orders(draft: PoolDraft) -> float:
    """Go on with the notes of own nodes, and tell how many are still to be seen."""
    now, past, lasts = draft.now_seconds, draft.remembered, quiet_seconds(draft)
    draft.memory |= {key: at for key, at in standing(draft, _OURS).items() if now - at < lasts}
    ordered = past.get(_ORDERED)
    return past.get(_ORDERS, 0.0) if ordered is not None and now - ordered < lasts else 0.0
