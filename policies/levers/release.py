"""Let empty nodes go: taint, look again, and delete the NodeClaim.

A step a round, and each looks at a new reading. The taint keeps pods off while we look: a pod that
was bound before it was seen is found in a later round, which takes the taint off again. A node that
has just become empty is not tainted yet: where a pod is replaced, as when Karpenter replaces a node
that drifted, the next pod would wait, and Karpenter buy one more node for it. When the
delete is sent, the pods of the node are listed once more. Karpenter gives no budget a say in it,
and starts no other node first.
"""

from typing import Final

from fleet.annotations import RELEASE_TAINT
from fleet.cluster.karpenter import NodeClaim
from fleet.cluster.nodes import Node
from policies.levers.change import Body, Change, LeverResult, Verb, expect
from policies.levers.objects import claim_address, node_address
from policies.levers.round import PoolRound, said
from policies.levers.static_pool import scale_refused
from policies.levers.wanted import takes_gpus
from policies.node_plan import Step, Verdict
from policies.policy.pool_policy import Lever
from policies.rounds import SETTLE_SECONDS, taint_due_seconds
from policies.rules.draft import is_empty, is_starting
from policies.situation import PoolNode

LEVER: Final = "release"
TAINT_LEASE_SECONDS: Final = 300.0
"""After which anybody takes the taint off."""


def release_nodes(round_: PoolRound) -> LeverResult:
    """The next step for each node of the pool that is to go, or no longer is."""
    result = LeverResult()
    taking = {pod.node: pod.name for pod in round_.objects.pods.values() if takes_gpus(pod)}
    for node in round_.pool.nodes:
        found = round_.objects.node_named(node.name)
        if found is None or node.leaving or _is_called_off(round_, node):
            continue
        why = _not_now(round_, node, found, taking.get(found.name))
        if why is None:
            result += _next_step(round_, node, found)
        elif tainted_since_seconds(found) is not None:
            result += LeverResult(changes=(untainted(found, why),))
        elif round_.verdict(node) is Verdict.RELEASE:
            result += LeverResult(steps=said(LEVER, f"{found.name} stays: {why}"))
    return result


def _is_called_off(round_: PoolRound, node: PoolNode) -> bool:
    """Whether `policies.levers.cancel` lets it go."""
    return is_starting(node) and round_.verdict(node) is Verdict.RELEASE


def tainted_since_seconds(node: Node) -> float | None:
    """When our taint was put on; None = it has none. One that makes no sense is of long ago."""
    for taint in node.taints:
        if taint.key == RELEASE_TAINT:
            return float(taint.value) if taint.value.isdecimal() else 0.0
    return None


def untainted(node: Node, why: str) -> Change:
    """Take our taint off."""
    at = next(i for i, taint in enumerate(node.taints) if taint.key == RELEASE_TAINT)
    path = f"/spec/taints/{at}"
    operations = (
        expect("/metadata/uid", node.uid),
        expect(f"{path}/key", RELEASE_TAINT),
        {"op": "remove", "path": path},
    )
    return _patch(node, operations, why, None)


def _not_now(round_: PoolRound, node: PoolNode, found: Node, taken_by: str | None) -> str | None:
    """Why the node does not go, or not this way; None = it goes.

    Args:
        taken_by: a pod on it that takes devices, also such as the plan does not count.
    """
    if round_.verdict(node) is not Verdict.RELEASE:
        return f"the plan says {round_.verdict(node).value}"
    if taken_by is not None or not is_empty(node):
        return f"pod {taken_by} is on it" if taken_by else "a pod has come"
    if not round_.may(Lever.NODE_RELEASE):
        return "the policy does not allow releases"
    if found.do_not_disrupt and not found.hold_marked:
        return "others keep it"
    if round_.pool.static:
        why = scale_refused(round_)
        return f"its pool is static, and its size {f'stays: {why}' if why else 'falls instead'}"
    claim = round_.objects.claims.get(node.name)
    return None if claim is not None else "no NodeClaim of Karpenter's made it"


def _next_step(round_: PoolRound, node: PoolNode, found: Node) -> LeverResult:
    decision = round_.decisions[node.uid]
    text = "; ".join(step.text for step in decision.steps) or "it is empty and not wanted"
    since = tainted_since_seconds(found)
    empty_since = node.empty_since_seconds
    empty_since = round_.now_seconds if empty_since is None else empty_since
    from_seconds = taint_due_seconds(empty_since, node.replaced_until_seconds)
    if since is None and round_.now_seconds < from_seconds:
        empty = round_.now_seconds - empty_since
        wait = f"{found.name} has been empty for {empty:.0f} s: a pod may be about to come"
        return LeverResult(steps=said(LEVER, wait))
    if since is None:
        return LeverResult(
            changes=(_tainted(found, round_.now_seconds, text),),
            steps=(Step(rule=LEVER, text=f"{found.name} is tainted, and looked at again"),),
        )
    left = since + SETTLE_SECONDS - round_.now_seconds
    # A clock that went back must not keep the node for longer than it takes to settle.
    if 0 < left <= SETTLE_SECONDS:
        wait = f"{found.name} is tainted; its NodeClaim is deleted in {left:.0f} s, if still empty"
        return LeverResult(steps=said(LEVER, wait))
    return LeverResult(changes=(_deleted(round_.objects.claims[node.name], found, text),))


def _tainted(node: Node, now_seconds: float, why: str) -> Change:
    taint = {"key": RELEASE_TAINT, "value": str(int(now_seconds)), "effect": "NoSchedule"}
    uid = expect("/metadata/uid", node.uid)
    operations: tuple[Body, ...]
    if node.taints:
        # The list has no owner by field: it is added to, and the API server refuses a second one.
        operations = (uid, {"op": "add", "path": "/spec/taints/-", "value": taint})
    else:
        none = expect("/spec/taints", None)
        operations = (uid, none, {"op": "add", "path": "/spec/taints", "value": [taint]})
    return _patch(node, operations, why, now_seconds + TAINT_LEASE_SECONDS)


def _patch(node: Node, operations: tuple[Body, ...], why: str, lease: float | None) -> Change:
    return Change(
        verb=Verb.PATCH,
        address=node_address(node.name),
        lever=LEVER,
        why=why,
        body=operations,
        uid=node.uid,
        lease_end_seconds=lease,
    )


def _deleted(claim: NodeClaim, node: Node, why: str) -> Change:
    return Change(
        verb=Verb.DELETE,
        address=claim_address(claim.name),
        lever=LEVER,
        why=why,
        uid=claim.uid,
        empty_node=node.name,
    )
