"""A node whose replica still loads its model is not consolidated.

Karpenter does not see that a model loads: to it, moving such a pod costs nothing, and a pod
disruption budget with `unhealthyPodEvictionPolicy: AlwaysAllow` lets it. The veto is lifted for
certain: it lasts `veto_seconds` from the pod's creation, whatever the clock does, or until loading
is not believed any more, by what loads of its workload take. It is held only a lease at a time, so
that a pod that never gets ready keeps no node.
"""

from typing import Final

from fleet.reasons import Reason
from policies.node_plan import Step
from policies.rules.draft import PoolDraft, per_pool
from policies.situation import NodePod, PoolNode

_RULE: Final = "veto"


@per_pool
def hold_while_loading(draft: PoolDraft) -> None:
    """Hold nodes with a pod that is not ready yet."""
    longest = draft.policy.veto_seconds
    if longest is None:
        return
    for node in draft.pool.nodes:
        if node.loading and node.lasts:
            _hold(draft, node, longest)


def _hold(draft: PoolDraft, node: PoolNode, longest: float) -> None:
    begins = {pod.uid: _begin(draft, pod) for pod in node.loading}
    ends = {pod.uid: _end(pod, begins[pod.uid] + longest) for pod in node.loading}
    last = max(node.loading, key=lambda pod: ends[pod.uid])
    loads, left = draft.now_seconds - begins[last.uid], ends[last.uid] - draft.now_seconds
    if left > 0:
        text = (
            f"pod {last.name} loads its model for {loads / 60:.0f} min; the veto ends in "
            f"{left / 60:.0f} min at the latest"
        )
        until = min(draft.lease_end_seconds, draft.now_seconds + left)
        draft.hold(node, Reason.VETO, until, Step(rule=_RULE, text=text))
    else:
        text = f"pod {last.name} is not ready after {loads / 60:.0f} min: the veto is lifted"
        draft.remark(node, Step(rule=_RULE, text=text))


def _begin(draft: PoolDraft, pod: NodePod) -> float:
    return draft.since(f"veto/{pod.uid}", pod.created_seconds)


def _end(pod: NodePod, latest_seconds: float) -> float:
    believed = pod.loading_until_seconds
    return latest_seconds if believed is None else min(believed, latest_seconds)
