"""Order nodes by a CapacityBuffer of our own, with a PodTemplate of its own.

Karpenter has two traps here. A buffer that is deleted strands the nodes that it bought, because
nothing makes Karpenter count again (kubernetes-sigs/karpenter#3258): so it is set to 0 first, and
deleted when its status says that it is empty, or after two of Karpenter's reconciles. No owner
reference lets garbage collection do it earlier. And the CustomResourceDefinition may be there
without a controller that works on it: a buffer without an answer is given up for a while. We never
install that definition; some clouds ship their own.
"""

from typing import Final

from fleet.cluster.fields import condition
from policies.levers.change import Address, Body, Change, LeverResult, Verb, applied
from policies.levers.marks import (
    DRAINED_AT,
    TEMPLATE_HASH,
    digest_of,
    labels_for,
    lease_marks,
    name_for,
    stamp,
)
from policies.levers.objects import MadeObject, Objects, buffer_address, template_address
from policies.levers.pod_shape import buffer_template, pods_refused, shape_of
from policies.levers.round import PoolRound, said
from policies.levers.wanted import NodesToAsk, nodes_to_ask
from policies.policy.pool_policy import Lever

LEVER: Final = "capacity buffer"
STRATEGY: Final = "buffer.x-k8s.io/active-capacity"
ANSWER_SECONDS: Final = 60.0
"""In which a controller writes a new buffer's status: Karpenter does on each change."""
DRAIN_SECONDS: Final = 60.0
"""Two of Karpenter's reconciles."""
RETRY_SECONDS: Final = 3600.0
"""Before a buffer is tried again where nothing answered."""


def buffer_refused(round_: PoolRound) -> str | None:
    """Why a buffer orders no nodes for this pool; None = it may."""
    if not round_.discovery.capacity_buffers:
        return "autoscaling.x-k8s.io/v1beta1 is not served"
    if not round_.may(Lever.CAPACITY_BUFFER):
        return "the policy does not allow it"
    if unanswered(round_.objects, round_.now_seconds):
        return "no controller answered a buffer of ours: is Karpenter's gate CapacityBuffer on?"
    return pods_refused(round_, buffer_address, template_address)


def unanswered(objects: Objects, now_seconds: float) -> bool:
    """Whether a buffer of ours has waited too long for a status, and none has one."""
    buffers = [one for one in objects.made.values() if one.address.kind == "CapacityBuffer"]
    if any(one.conditions for one in buffers):
        return False
    return any(
        one.ours
        and one.created_seconds is not None
        and now_seconds - one.created_seconds >= ANSWER_SECONDS
        for one in buffers
    )


def order_by_buffer(round_: PoolRound) -> LeverResult:
    """Make the pool's buffers as large as the plan has it."""
    made = round_.objects.made_for(round_.pool.name, "CapacityBuffer")
    result, asked = LeverResult(), set()
    for ask in nodes_to_ask(round_, made):
        if ask.nodes:
            address = buffer_address(
                round_.namespace, name_for(round_.pool.name, ask.capacity_type)
            )
            asked.add(address)
            result += _ask(round_, address, ask)
    for one in made:
        if one.address not in asked:
            result += drained(one, round_.objects, round_.now_seconds)
    return result


def give_up_buffers(round_: PoolRound) -> LeverResult:
    """Drain the pool's buffers: another lever orders its nodes now."""
    result = LeverResult()
    for one in round_.objects.made_for(round_.pool.name, "CapacityBuffer"):
        result += drained(one, round_.objects, round_.now_seconds)
    return result


def _ask(round_: PoolRound, address: Address, ask: NodesToAsk) -> LeverResult:
    shape = shape_of(round_, ask.capacity_type)
    if isinstance(shape, str):
        return LeverResult(steps=said(LEVER, f"{address} stays as it is: {shape}"))
    found = round_.objects.made.get(address)
    template = template_address(round_.namespace, address.name)
    there = round_.objects.made.get(template)
    for one in (found, there):
        if one is not None and (one.going or not one.ours):
            why = "is being deleted" if one.going else "is not ours"
            return LeverResult(steps=said(LEVER, f"{one.address} {why}; a later round asks"))
    labels = labels_for(round_.pool.name, round_.policy.policy, ask.capacity_type)
    until = round_.lease_end_seconds
    marks = lease_marks(ask.because, until)
    spec = buffer_template(shape)
    text = f"{ask.nodes} free nodes of pool {round_.pool.name}: {ask.text}"
    changes = []
    digest = digest_of(spec)
    stood = there is not None and there.stands(ask.because, labels, until, round_.now_seconds)
    if not stood or there is None or there.template_hash != digest:
        metadata = {"labels": labels, "annotations": {**marks, TEMPLATE_HASH: digest}}
        uid = there.uid if there is not None else None
        pod = {"metadata": {"labels": labels}, "spec": spec}
        changes.append(
            Change(
                verb=Verb.APPLY,
                address=template,
                lever=LEVER,
                why=text,
                body=applied(template, uid, metadata, template=pod),
                uid=uid,
                lease_end_seconds=until,
            )
        )
    if found is None or not (
        (found.replicas, found.template) == (ask.nodes, template.name)
        and found.drained_seconds is None
        and found.stands(ask.because, labels, until, round_.now_seconds)
    ):
        uid = found.uid if found is not None else None
        metadata = {"labels": labels, "annotations": marks}
        changes.append(
            Change(
                verb=Verb.APPLY,
                address=address,
                lever=LEVER,
                why=text,
                body=applied(address, uid, metadata, spec=_spec(template.name, ask.nodes)),
                uid=uid,
                lease_end_seconds=until,
                after=(template,),
            )
        )
    return LeverResult(changes=tuple(changes), steps=said(LEVER, text))


def drained(
    buffer: MadeObject, objects: Objects, now_seconds: float, *, retry: bool = True
) -> LeverResult:
    """The next step of giving a buffer of ours up: to 0, then gone, its template last.

    Args:
        buffer: of ours.
        objects: of the whole cluster.
        now_seconds: of this round.
        retry: a later round may try buffers again, so that one nobody answered stays for a while.
    """
    if buffer.going:
        return LeverResult()
    if buffer.replicas != 0:
        return LeverResult(changes=(_to_zero(buffer, objects, now_seconds),))
    asked_again = retry and unanswered(objects, now_seconds)
    if not _is_empty(buffer, now_seconds, asked_again=asked_again):
        return LeverResult(steps=said(LEVER, f"{buffer.address} is at 0 and waits for Karpenter"))
    change = Change(
        verb=Verb.DELETE,
        address=buffer.address,
        lever=LEVER,
        why="it is at 0, and Karpenter has counted again",
        uid=buffer.uid,
    )
    return LeverResult(changes=(change,))


def _to_zero(buffer: MadeObject, objects: Objects, now_seconds: float) -> Change:
    until = now_seconds + DRAIN_SECONDS
    why = "nothing is ordered any more: to 0 before it is deleted, or its nodes would stay"
    if unanswered(objects, now_seconds):
        until = now_seconds + RETRY_SECONDS
        why = "no controller answered it; it is tried again when its lease ends"
    marks = {**lease_marks(buffer.because or "", until), DRAINED_AT: stamp(now_seconds)}
    return Change(
        verb=Verb.APPLY,
        address=buffer.address,
        lever=LEVER,
        why=why,
        body=applied(
            buffer.address,
            buffer.uid,
            {"labels": buffer.our_labels, "annotations": marks},
            spec=_spec(buffer.template, 0),
        ),
        uid=buffer.uid,
        lease_end_seconds=until,
    )


def _is_empty(buffer: MadeObject, now_seconds: float, *, asked_again: bool) -> bool:
    end = buffer.lease_end_seconds
    if asked_again:
        return end is None or end <= now_seconds
    told = condition(buffer.conditions, "Provisioning")
    if told is not None and told.status == "False" and told.reason == "BufferEmpty":
        return True
    since = buffer.drained_seconds
    return since is None or now_seconds - since >= DRAIN_SECONDS


def _spec(template: str | None, replicas: int) -> Body:
    named = {"podTemplateRef": {"name": template}} if template is not None else {}
    return {"provisioningStrategy": STRATEGY, "replicas": replicas, **named}
