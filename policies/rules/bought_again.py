"""What somebody buys after a node was let go, and no pod explains, is left alone for a while.

Another owner may want it: Karpenter keeps room for any CapacityBuffer, no pod is on that room, and
what goes is bought again at once. Nothing here reads such buffers; what is bought gives them away
(`policies.rules.bought_for`).

Such a node is left alone until it has had a pod: at first for as long as a node takes to be bought
and a pod may wait for one, and twice as long after each further release that is answered so.
Karpenter may remove it, where `consolidateAfter` and the disruption budgets let it. Once such a
node has had a pod, the next is left alone as if it were the first. Once a release is not answered,
and no such node is left, all this is forgotten.
"""

from collections.abc import Sequence
from typing import Final

from policies.rules.bought_for import (
    bought_by_others,
    last_release,
    note_own_orders,
    quiet_seconds,
    standing,
)
from policies.rules.draft import PoolDraft, per_pool
from policies.situation import PoolNode

LEFT_SECONDS_MAX: Final = 86_400.0
_DOUBLINGS_MAX: Final = 16.0
_LEFT: Final = "bought-again/left/"
"""Noted, by UID: since when a node is left alone."""
_TIMES: Final = "bought-again/times"
"""Noted: after how many releases in a row something was bought that no pod explains."""
_COUNTED: Final = "bought-again/counted"
"""Noted: the last of these releases."""


@per_pool
def leave_what_others_buy(draft: PoolDraft) -> None:
    """Note which nodes are left alone."""
    noted = standing(draft, _LEFT)
    of_pool = {_LEFT + node.uid: node for node in draft.pool.nodes if _LEFT + node.uid in noted}
    left = {key: noted[key] for key, node in of_pool.items() if not node.pods}
    released = last_release(draft)
    if len(left) == len(of_pool) and (released is not None or left):
        for key in {_TIMES, _COUNTED} & draft.remembered.keys():
            draft.memory[key] = draft.remembered[key]
    draft.memory |= left
    if released is None:
        return
    known = {key.removeprefix(_LEFT) for key in left}
    for node in bought_by_others(draft, released, known):
        draft.memory[_LEFT + node.uid] = draft.now_seconds
        _count_answer(draft, released)


@per_pool
def note_orders(draft: PoolDraft) -> None:
    """Note what the pool orders itself."""
    note_own_orders(draft)


def bought_again(draft: PoolDraft, nodes: Sequence[PoolNode]) -> dict[str, str]:
    """Why some of these nodes are left alone, by UID; the rule has to run before."""
    found = {}
    doublings = min(_DOUBLINGS_MAX, draft.memory.get(_TIMES, 1.0) - 1)
    lasts = min(LEFT_SECONDS_MAX, quiet_seconds(draft) * 2**doublings)
    for node in nodes:
        since = draft.memory.get(_LEFT + node.uid)
        if since is not None and draft.now_seconds - since < lasts:
            minutes = (since + lasts - draft.now_seconds) / 60
            found[node.uid] = (
                "it was ordered after the last one was let go, and no pod that waited since "
                f"explains it: others may want it, and it is left alone for {minutes:.0f} min"
            )
    return found


def _count_answer(draft: PoolDraft, released: float) -> None:
    """Once a release, whatever number of nodes is bought for it."""
    if draft.memory.get(_COUNTED) != released:
        draft.memory[_COUNTED] = released
        draft.memory[_TIMES] = draft.memory.get(_TIMES, 0.0) + 1
