"""A node that still starts is let go where neither demand nor the forecast wants it any more.

It is paid for while it boots, and Karpenter lets it boot to its end. Of two nodes that nothing
uses, one that boots is worth less than an empty one: it costs as much a minute, and serves later.
So the number of nodes that are worth keeping (`policies.rules.worth`) bounds those that boot too,
and empty nodes fill it first. Of those that boot, the dearest go first, then those that are least
far: while both boot they cost the same, and the other one serves sooner.

Nothing is let go while a pod waits that may use it, while a node with pods is about to go, or where
the operator keeps new nodes. What is let go is not ordered again at once
(`policies.rules.no_flap`), and what somebody else orders then is left alone for a while
(`policies.rules.bought_again`).
"""

from typing import Final

from fleet.reasons import Reason
from policies.node_plan import Step
from policies.rules.draft import PoolDraft, cannot_go, is_starting, per_pool
from policies.rules.release import not_releasable
from policies.rules.waiting_pods import nodes_waited_for
from policies.situation import NodeStage, PoolNode

ORDERED_SECONDS_MIN: Final = 30.0
"""From the order on: the pod that a machine was bought for is read by then."""
_RULE: Final = "cancel"
_STAGES: Final = tuple(NodeStage)


@per_pool
def cancel_starts(draft: PoolDraft) -> None:
    """Release what still starts and is above the wanted number, where a forecast tells it."""
    if draft.nodes_wanted is None or draft.policy.keep_new_nodes_seconds:
        return
    surplus, waited_for = _above(draft), nodes_waited_for(draft)
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
    usd = draft.usd_per_hour(node) or 0.0
    return not cannot_go(node), usd, -_STAGES.index(node.stage), node.ordered_seconds, node.name


def _stays(draft: PoolDraft, node: PoolNode) -> str | None:
    """Why this one is not called off although others may be."""
    age = draft.now_seconds - node.ordered_seconds
    if age < ORDERED_SECONDS_MIN:
        return f"it was ordered {age:.0f} s ago, and the pod for it may be about to be read"
    if node.clique is None and any(one.clique is not None for one in draft.pool.nodes):
        return "it does not tell its NVLink domain yet"
    return None


def _step(draft: PoolDraft, node: PoolNode) -> Step:
    since = max(0.0, draft.now_seconds - node.ordered_seconds)
    text = (
        f"ordered {since / 60:.0f} min ago and not ready, above the {_wanted(draft)} nodes that "
        f"are worth keeping, and no pod waits; {draft.frees(node)}"
    )
    return Step(rule=_RULE, text=text)
