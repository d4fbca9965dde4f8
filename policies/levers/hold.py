"""Hold nodes: `karpenter.sh/do-not-disrupt` with our reason and lease beside it.

A node that the Cluster Autoscaler brought, as in GKE's and AKS's own node pools and in EKS's node
groups, has its annotation instead: Karpenter's would stop nothing there.

Server-side apply knows whose field it is. Where somebody else has written the same annotation it
stays when ours is taken off, and where they have written another value nothing is overwritten.
"""

from typing import Final

from fleet.cluster.nodes import Node, keeping_annotation
from policies.levers.change import Change, LeverResult, Verb, applied
from policies.levers.marks import lease_marks, lease_to_write
from policies.levers.objects import node_address
from policies.levers.round import PoolRound, said
from policies.node_plan import NodeDecision, Verdict
from policies.policy.pool_policy import Lever

LEVER: Final = "hold"


def hold_nodes(round_: PoolRound) -> LeverResult:
    """Hold what the plan holds, and let go what it does not."""
    result = LeverResult()
    for decision in round_.plan.nodes:
        node = round_.objects.node_named(decision.node)
        if decision.verdict is Verdict.HOLD and round_.may(Lever.NODE_HOLD):
            result += _held(round_, decision, node)
        elif node is not None and node.hold_marked:
            why = f"the plan does not hold it: {decision.verdict.value}"
            result += LeverResult(changes=(let_go(node, why),))
    return result


def let_go(node: Node, why: str) -> Change:
    """Take our annotations off a node, and nobody else's."""
    address = node_address(node.name)
    return Change(
        verb=Verb.APPLY,
        address=address,
        lever=LEVER,
        why=why,
        body=applied(address, node.uid, {}),
        uid=node.uid,
    )


def _held(round_: PoolRound, decision: NodeDecision, node: Node | None) -> LeverResult:
    if node is None:
        return LeverResult(steps=said(LEVER, f"{decision.node} has no Node to annotate yet"))
    if node.do_not_disrupt and not node.hold_marked:
        return LeverResult(steps=said(LEVER, f"{node.name}: others keep it, and it stays theirs"))
    until, because = decision.until_seconds, decision.reason
    if until is None or because is None:
        return LeverResult(steps=said(LEVER, f"{node.name}: a hold without a lease or a reason"))
    if until <= round_.now_seconds:
        # A hold of no length: what stands of it is taken off.
        changes = (let_go(node, "its lease has ended"),) if node.hold_marked else ()
        return LeverResult(changes=changes)
    lease = lease_to_write(node.kept_until_seconds, until, round_.now_seconds)
    if lease is None and node.kept_because_text == because.value and node.do_not_disrupt:
        return LeverResult()
    address = node_address(node.name)
    annotations = {keeping_annotation(node.labels): "true", **lease_marks(because.value, until)}
    change = Change(
        verb=Verb.APPLY,
        address=address,
        lever=LEVER,
        why="; ".join(step.text for step in decision.steps) or because.value,
        body=applied(address, node.uid, {"annotations": annotations}),
        uid=node.uid,
        lease_end_seconds=until,
    )
    return LeverResult(changes=(change,))
