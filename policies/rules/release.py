"""Let go the empty nodes above those that are wanted: the one whose going frees most first.

Only an empty node is released, so running work is never touched; GPUs that are free beside used
ones are worked off by `policies.rules.pod_costs`. Of nodes that share an NVLink domain all go or
none: a part of a domain serves no workload that spans it. A reserved node costs the same without
us, so its release saves nothing. A pool that orders nodes in this round releases none.
"""

from collections import defaultdict
from typing import Final

from fleet.cluster.nodes import CapacityType
from policies.node_plan import Reason, Step
from policies.policy.pool_policy import Lever
from policies.rules.draft import PoolDraft, per_pool
from policies.situation import PoolNode

_RULE: Final = "release"


@per_pool
def release_surplus(draft: PoolDraft) -> None:
    """Release what is empty and above the wanted number, where a forecast tells that number."""
    surplus = _surplus(draft)
    if not surplus:
        return
    why = _not_now(draft)
    if why is not None:
        draft.say(Step(rule=_RULE, text=f"{len(surplus)} empty nodes stay: {why}"))
        return
    domains = _domains(draft)
    for node in surplus:
        others = domains[node.clique] if node.clique is not None else set()
        if others <= {one.uid for one in surplus}:
            draft.release(node, Reason.NONE, _step(draft, node))
        else:
            text = f"its NVLink domain {node.clique} would be broken, so Karpenter decides"
            draft.remark(node, Step(rule=_RULE, text=text))


def _surplus(draft: PoolDraft) -> list[PoolNode]:
    """Empty nodes that nothing wants, the first to go first."""
    if draft.nodes_wanted is None:
        return []
    above = draft.empty[max(0, draft.nodes_wanted - len(draft.used)) :]
    return [
        node
        for node in reversed(above)
        if node.uid not in draft.holds
        and not node.held_by_others
        and node.capacity_type is not CapacityType.RESERVED
    ]


def _not_now(draft: PoolDraft) -> str | None:
    if Lever.NODE_RELEASE not in draft.policy.levers:
        return "the policy does not allow releases"
    if draft.orders:
        return f"the pool orders {sum(order.nodes for order in draft.orders)} in this round"
    if draft.settling:
        return "Foresail has just started without a state"
    return None


def _domains(draft: PoolDraft) -> dict[str, set[str]]:
    """UIDs of the pool's nodes by NVLink domain."""
    found: dict[str, set[str]] = defaultdict(set)
    for node in draft.pool.nodes:
        if node.clique is not None and not node.leaving:
            found[node.clique].add(node.uid)
    return found


def _step(draft: PoolDraft, node: PoolNode) -> Step:
    empty = draft.now_seconds - (node.empty_since_seconds or draft.now_seconds)
    usd = draft.usd_per_hour(node)
    price = "an unknown price" if usd is None else f"${usd:.2f} an hour"
    text = (
        f"empty for {empty / 60:.0f} min and above the {draft.nodes_wanted} nodes that are worth "
        f"keeping; it frees {node.gpus} GPUs and {price}"
    )
    return Step(rule=_RULE, text=text)
