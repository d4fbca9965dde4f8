"""Let go the empty nodes above those that are wanted: the one whose going frees most first.

Only an empty node is released, and none with a pod that asks for no GPU and is no DaemonSet's, so
running work is never touched; GPUs that are free beside used ones are worked off by
`policies.rules.pod_costs`. Of nodes that share an NVLink domain all go or none: a part of a domain
serves no workload that spans it. A reserved node costs the same without us, so its release saves
nothing. Where demand has fallen since the forecast was made, the nodes
that it filled then go at once only if a pod that comes back soon is worth little beside a node. A
pool that orders nodes in this round releases none, and what another owner may have bought again
after a release is left alone (`policies.rules.bought_again`).
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from fleet.cluster.nodes import CapacityType
from fleet.reasons import Reason
from policies.node_plan import Step
from policies.policy.pool_policy import Lever
from policies.rounds import ROUND_SECONDS
from policies.rules.bought_again import bought_again
from policies.rules.draft import PoolDraft, per_pool
from policies.rules.worth import late_seconds
from policies.situation import PoolNode

_RULE: Final = "release"


@per_pool
def release_surplus(draft: PoolDraft) -> None:
    """Release what is empty and above the wanted number, where a forecast tells that number."""
    if draft.nodes_wanted is None:
        return
    empty, used = draft.empty, len(draft.used)
    stay = max(0, draft.nodes_wanted - used)
    wait = max(stay, _nodes_filled_before(draft) - used)
    for node in empty[stay:wait]:
        if node.uid not in draft.kept:
            _leave_to_next_forecast(draft, node)
    surplus = [node for node in reversed(empty[wait:]) if node.uid not in draft.kept]
    refused = not_releasable(draft, surplus)
    for node in surplus:
        why = refused.get(node.uid)
        if why is None:
            draft.release(node, Reason.NONE, _step(draft, node))
        else:
            draft.remark(node, Step(rule=_RULE, text=f"not released: {why}"))


def not_releasable(draft: PoolDraft, nodes: Sequence[PoolNode]) -> dict[str, str]:
    """Why some of these nodes may not be released now, by UID."""
    why = _none_now(draft)
    if why is not None:
        return {node.uid: why for node in nodes}
    refused = bought_again(draft, nodes)
    refused |= {node.uid: found for node in nodes if (found := _never(node)) is not None}
    waits = draft.wanted_by_gangs
    refused |= {node.uid: "a gang waits that could use it" for node in nodes if node.uid in waits}
    going = {node.uid for node in nodes} - refused.keys()
    domains = _domains(draft)
    for node in nodes:
        if node.uid in going and node.clique is not None and not domains[node.clique] <= going:
            refused[node.uid] = f"the rest of its NVLink domain {node.clique} stays"
    return refused


def _none_now(draft: PoolDraft) -> str | None:
    if Lever.NODE_RELEASE not in draft.policy.levers:
        return "the policy does not allow releases"
    if draft.orders:
        return f"the pool orders {sum(order.nodes for order in draft.orders)} in this round"
    if draft.settling:
        return "Foresail has just started without a state"
    return None


def _never(node: PoolNode) -> str | None:
    if node.held_by_others:
        return "others hold it"
    if node.cpu_pod is not None:
        return f"pod {node.cpu_pod}, which asks for no GPU, is on it"
    return "it is reserved" if node.capacity_type is CapacityType.RESERVED else None


def _nodes_filled_before(draft: PoolDraft) -> int:
    """Nodes that demand filled when the forecast was made, where they are worth a while more.

    The forecast takes that demand to be there, and says too little of its return once it has
    fallen. A node idles for two minutes until one knows of the fall, or for up to four where a
    reading was high between two. It is worth two if an even chance that one pod comes back
    meanwhile is worth more.
    """
    pool = draft.pool
    saved = draft.policy.rho * late_seconds(draft) * pool.gpus_per_pod / 2
    if pool.forecast is None or saved <= pool.gpus_per_node * ROUND_SECONDS:
        return 0
    return draft.filled_by(pool.forecast.last_value)


def _leave_to_next_forecast(draft: PoolDraft, node: PoolNode) -> None:
    assert draft.pool.forecast is not None
    text = (
        f"not released: demand was {draft.pool.forecast.last_value:g} GPUs when the forecast was "
        "made, and the next one decides"
    )
    draft.keep_standing(node, Reason.FORECAST_HOLD, Step(rule=_RULE, text=text))
    if node.uid not in draft.kept:
        text = f"{text}, unless Karpenter removes it before"
        draft.remark(node, Step(rule=_RULE, text=text))


def _domains(draft: PoolDraft) -> dict[str, set[str]]:
    """UIDs of the pool's nodes by NVLink domain."""
    found: dict[str, set[str]] = defaultdict(set)
    for node in draft.pool.nodes:
        if node.clique is not None and node.lasts:
            found[node.clique].add(node.uid)
    return found


def _step(draft: PoolDraft, node: PoolNode) -> Step:
    since = node.empty_since_seconds
    empty = draft.now_seconds - (draft.now_seconds if since is None else since)
    text = (
        f"empty for {empty / 60:.0f} min and above the {draft.nodes_wanted} nodes that are worth "
        f"keeping; {draft.frees(node)}"
    )
    return Step(rule=_RULE, text=text)
