"""Call a machine off that still starts: delete its NodeClaim before it becomes a node for pods.

What asked for it has to ask for less first, or Karpenter buys it again: a buffer falls in the same
round and before, and placeholder pods have to be gone. The delete holds only for the NodeClaim as
it was read, so that one that got ready meanwhile stays, and pods that wait are listed once more
when it is sent. In a static pool the size falls instead, where that can only remove such a machine.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from fleet.annotations import PLACEHOLDER
from fleet.cluster.fields import part, whole_number
from fleet.cluster.karpenter import NodeClaim
from fleet.cluster.nodes import Node
from fleet.cluster.pods import Pod
from policies.levers.change import Change, LeverResult, Verb
from policies.levers.objects import MadeObject, claim_address
from policies.levers.round import PoolRound, said
from policies.levers.static_pool import may_fall_for, scale_refused
from policies.levers.wanted import nodes_to_ask, takes_gpus
from policies.node_plan import Verdict
from policies.policy.pool_policy import Lever
from policies.reading.fitting import Candidate, not_ruled_out
from policies.rules.cancel import ORDERED_SECONDS_MIN
from policies.rules.draft import is_starting
from policies.situation import PoolNode

LEVER: Final = "cancel"


def cancel_nodes(round_: PoolRound, ordered: Sequence[Change]) -> LeverResult:
    """Delete the NodeClaims of the pool that the plan calls off.

    Args:
        round_: of the pool.
        ordered: the changes of this round of what asks for nodes; they are made before.
    """
    result = LeverResult()
    for node in round_.pool.nodes:
        if round_.verdict(node) is not Verdict.RELEASE or node.leaving or not is_starting(node):
            continue
        claim = round_.objects.claims.get(node.name)
        why = _not_now(round_, node, claim, ordered)
        if why is None and claim is not None:
            result += LeverResult(changes=(_deleted(round_, node, claim, ordered),))
        else:
            result += LeverResult(steps=said(LEVER, f"{node.name} goes on starting: {why}"))
    return result


def waits_for(pod: Pod, claim: NodeClaim) -> bool:
    """Whether a pod may wait for the machine of a NodeClaim, with GPUs or without.

    A label that it asks for and nothing tells of may still come: only another value excludes it.
    """
    if pod.node is not None or pod.ended or pod.deleted_seconds is not None:
        return False
    if pod.gated or pod.placeholder or pod.of_daemon_set:
        return False
    machine = Candidate(
        name=claim.name,
        gpus_per_node=0,
        labels=claim.labels,
        made_with=claim.labels,
        requirements=claim.requirements,
        taints=claim.taints,
    )
    return not_ruled_out(pod, 0.0, machine)


def _not_now(
    round_: PoolRound, node: PoolNode, claim: NodeClaim | None, ordered: Sequence[Change]
) -> str | None:
    """Why the machine is not called off, or not this way; None = it is."""
    if not round_.may(Lever.NODE_RELEASE):
        return "the policy does not allow releases"
    if round_.pool.static:
        why = scale_refused(round_)
        if why is None and not may_fall_for(round_, node):
            why = "Karpenter may remove an empty node that is to stay"
        return f"its pool is static, and its size {f'stays: {why}' if why else 'falls instead'}"
    if claim is None:
        return "no NodeClaim of Karpenter's made it"
    return _needed(round_, node, claim) or _asked_for(round_, ordered)


def _needed(round_: PoolRound, node: PoolNode, claim: NodeClaim) -> str | None:
    """Why others may need it; None = nobody does."""
    found = round_.objects.node_named(node.name)
    by_others = found is not None and found.do_not_disrupt and not found.hold_marked
    if claim.do_not_disrupt or by_others:
        return "others keep it"
    starts = _with_labels_of(claim, found)
    for pod in round_.objects.pods.values():
        if pod.node is not None and pod.node == claim.node and takes_gpus(pod):
            return f"pod {pod.name} is on it"
        if waits_for(pod, starts):
            return f"pod {pod.name} waits and may get it"
    age = round_.now_seconds - node.ordered_seconds
    if age < ORDERED_SECONDS_MIN:
        return f"it was ordered {age:.0f} s ago, and the pod for it may be about to be read"
    return None


def _with_labels_of(claim: NodeClaim, node: Node | None) -> NodeClaim:
    """With the labels that its Node has too: by these a pod may wait for it, or for another."""
    return claim if node is None else replace(claim, labels={**claim.labels, **node.labels})


def _asked_for(round_: PoolRound, ordered: Sequence[Change]) -> str | None:
    """What of ours would buy it again; None = nothing."""
    buffers = round_.objects.made_for(round_.pool.name, "CapacityBuffer")
    wanted = {ask.capacity_type: ask.nodes for ask in nodes_to_ask(round_, buffers)}
    for one in buffers:
        if not one.going and _replicas_after(one, ordered) > wanted.get(one.capacity_type, 0):
            return f"{one.address} still asks for it"
    placeholders = [
        pod
        for pod in round_.objects.pods.values()
        if pod.placeholder
        and pod.labels[PLACEHOLDER] == round_.pool.name
        and pod.node is None
        and not pod.ended
        and pod.deleted_seconds is None
    ]
    staying = [
        node
        for node in round_.pool.nodes
        if is_starting(node) and node.lasts and round_.verdict(node) is not Verdict.RELEASE
    ]
    if len(placeholders) > len(staying):
        return f"{len(placeholders)} placeholder pods still wait"
    return None


def _replicas_after(buffer: MadeObject, ordered: Iterable[Change]) -> int:
    """What a buffer asks for once the changes are made."""
    for change in ordered:
        if change.address == buffer.address and isinstance(change.body, Mapping):
            return whole_number(part(change.body, "spec"), "replicas") or 0
    return buffer.replicas or 0


def _deleted(
    round_: PoolRound, node: PoolNode, claim: NodeClaim, ordered: Iterable[Change]
) -> Change:
    found = round_.objects.node_named(node.name)
    steps = round_.decisions[node.uid].steps
    return Change(
        verb=Verb.DELETE,
        address=claim_address(claim.name),
        lever=LEVER,
        why="; ".join(step.text for step in steps) or "it is not wanted any more",
        uid=claim.uid,
        empty_node=claim.node,
        start_of=_with_labels_of(claim, found),
        # Any that still asked for the node would have it bought again.
        after=tuple(one.address for one in ordered if one.address.kind == "CapacityBuffer"),
    )
