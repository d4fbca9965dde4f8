"""Order nodes by placeholder pods: a Deployment whose pods each take one whole node.

They work with every autoscaler, and pull the real image while they hold the room. Their priority is
-10: a real pod takes their place at once, Cluster Autoscaler still buys for -10 and not for less,
and Karpenter counts a node of pods with far less as empty and would delete it again. They give no
grace, because nothing runs in them. When a real pod takes the room, the ReplicaSet makes a new
pod, which would buy a node again; so replicas fall in the round in which the demand rises.
"""

from typing import Final

from fleet.annotations import PLACEHOLDER
from policies.levers.change import Address, Change, LeverResult, Verb, applied
from policies.levers.marks import (
    MANAGED_BY,
    OURS,
    TEMPLATE_HASH,
    digest_of,
    labels_for,
    lease_marks,
    lease_to_write,
    name_for,
)
from policies.levers.objects import PRIORITY_CLASS, MadeObject, deployment_address
from policies.levers.pod_shape import placeholder_pod, pods_refused, shape_of
from policies.levers.round import PoolRound, said
from policies.levers.wanted import NodesToAsk, nodes_to_ask
from policies.policy.pool_policy import Lever

LEVER: Final = "placeholder"
PRIORITY: Final = -10
_NO_IMAGE: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName"})
_CRASHES: Final = "CrashLoopBackOff"


def placeholder_refused(round_: PoolRound) -> str | None:
    """Why placeholder pods order no nodes for this pool; None = they may."""
    if not round_.may(Lever.PLACEHOLDER):
        return "the policy does not allow it"
    shared = round_.objects.made.get(PRIORITY_CLASS)
    if shared is not None and not shared.ours:
        return f"{PRIORITY_CLASS} is not ours"
    return pods_refused(round_, deployment_address)


def order_by_placeholder(round_: PoolRound) -> LeverResult:
    """Have as many placeholder pods as the plan wants nodes kept free."""
    made = round_.objects.made_for(round_.pool.name, "Deployment")
    result, asked = LeverResult(), set()
    for ask in nodes_to_ask(round_, made, unfinished=pulling(round_)):
        if ask.nodes:
            name = name_for(round_.pool.name, ask.capacity_type)
            address = deployment_address(round_.namespace, name)
            asked.add(address)
            result += _ask(round_, address, ask)
    changes = tuple(removed(one) for one in made if one.address not in asked and not one.going)
    return result + LeverResult(changes=changes)


def give_up_placeholders(round_: PoolRound) -> LeverResult:
    """Take the pool's placeholder pods away: another lever orders its nodes now."""
    made = round_.objects.made_for(round_.pool.name, "Deployment")
    return LeverResult(changes=tuple(removed(one) for one in made if not one.going))


def pulling(round_: PoolRound) -> bool:
    """Whether a placeholder pod still pulls the image that it is there for."""
    return any(
        pod.node is not None
        and not pod.ended
        and not pod.ready
        and pod.deleted_seconds is None
        and not {*_NO_IMAGE, _CRASHES} & set(pod.waits_for)
        for pod in round_.objects.pods.values()
        if pod.placeholder and pod.labels[PLACEHOLDER] == round_.pool.name
    )


def removed(deployment: MadeObject) -> Change:
    """Its pods go with it, at once."""
    return Change(
        verb=Verb.DELETE,
        address=deployment.address,
        lever=LEVER,
        why="nothing is ordered any more, and holds keep what has come",
        uid=deployment.uid,
    )


def _ask(round_: PoolRound, address: Address, ask: NodesToAsk) -> LeverResult:
    shape, found = shape_of(round_, ask.capacity_type), round_.objects.made.get(address)
    if isinstance(shape, str):
        return LeverResult(steps=said(LEVER, f"{address} stays as it is: {shape}"))
    if found is not None and found.going:
        return LeverResult(steps=said(LEVER, f"{address} is being deleted; the next round asks"))
    uid = found.uid if found is not None else None
    until = round_.lease_end_seconds
    labels = labels_for(round_.pool.name, round_.policy.policy, ask.capacity_type)
    pod = placeholder_pod(shape, PRIORITY_CLASS.name)
    digest = digest_of(pod)
    text = f"{ask.nodes} placeholder pods for pool {round_.pool.name}: {ask.text}"
    changes = [*_priority_class(round_)]
    if found is None or not (
        (found.replicas, found.template_hash) == (ask.nodes, digest)
        and found.stands(ask.because, labels, until, round_.now_seconds)
    ):
        marks = {**lease_marks(ask.because, until), TEMPLATE_HASH: digest}
        chosen = {PLACEHOLDER: round_.pool.name, "foresail.io/placeholders-of": address.name}
        spec = {
            "replicas": ask.nodes,
            "revisionHistoryLimit": 0,
            # A rollout must not buy nodes for two generations of pods.
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "100%"},
            },
            "selector": {"matchLabels": chosen},
            "template": {"metadata": {"labels": {**labels, **chosen}}, "spec": pod},
        }
        changes.append(
            Change(
                verb=Verb.APPLY,
                address=address,
                lever=LEVER,
                why=text,
                body=applied(address, uid, {"labels": labels, "annotations": marks}, spec=spec),
                uid=uid,
                lease_end_seconds=until,
                after=(PRIORITY_CLASS,),
            )
        )
    return LeverResult(changes=tuple(changes), steps=said(LEVER, text))


def _priority_class(round_: PoolRound) -> tuple[Change, ...]:
    """The class of all placeholder pods; its value can never be changed."""
    found = round_.objects.made.get(PRIORITY_CLASS)
    until = round_.lease_end_seconds
    if found is not None and found.going:
        return ()
    if found is not None:
        lease = lease_to_write(found.lease_end_seconds, until, round_.now_seconds)
        longer = (found.lease_end_seconds or 0.0) >= until
        if lease is None or longer:
            return ()
    metadata = {
        "labels": {MANAGED_BY: OURS},
        "annotations": lease_marks("placeholder pods", until),
    }
    uid = found.uid if found is not None else None
    body = applied(
        PRIORITY_CLASS,
        uid,
        metadata,
        value=PRIORITY,
        globalDefault=False,
        preemptionPolicy="Never",
        description="Of pods that keep room for others, and go when these come.",
    )
    change = Change(
        verb=Verb.APPLY,
        address=PRIORITY_CLASS,
        lever=LEVER,
        why="the priority of placeholder pods",
        body=body,
        uid=uid,
        lease_end_seconds=until,
    )
    return (change,)
