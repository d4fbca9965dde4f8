"""What a pod asks for that stands for one whole node of a pool.

It asks for all GPUs of a node, so that it lands on an empty one and none other, and for CPU and
memory as the real pods that fit on a node would together: they decide which machine is bought.
GPUs stand under requests *and* limits: a pod gets its request from the limit, a pod template does
not, and Karpenter then sees no GPU at all. Claims are left out: virtual pods with claims are
refused or counted as nothing. The GPU resource is one that the pool's nodes have shown, or that
its pods ask for, because a node that never shows what was asked of it never gets ready. What ties
the real pod to the node that it is on is left out, as Kueue's topologies and DaemonSets write it:
no new node has that name.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

from fleet.cluster.fields import Json, Taint, UnreadableObjectError, listed, part, strings, text
from fleet.cluster.gpu_resources import WHOLE
from fleet.cluster.nodes import CAPACITY_TYPE, CapacityType
from fleet.cluster.requests import requests_of
from policies.levers.change import Address
from policies.levers.marks import name_for
from policies.levers.round import PoolRound

_COPIED: Final = ("schedulerName", "runtimeClassName")
_HOSTNAME: Final = "kubernetes.io/hostname"
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
_TERMS: Final = "nodeSelectorTerms"
_TERM: Final = "preference"
_LABELS: Final = "matchExpressions"
_EMPTY_IMAGE: Final = "registry.k8s.io/pause:3.10"
"""Where no real pod is known: it needs no command."""
_NOBODY: Final = 65534


@dataclass(frozen=True, slots=True, kw_only=True)
class PodShape:
    """A pod that takes one whole node."""

    requests: Mapping[str, str]
    limits: Mapping[str, str]
    spec: Mapping[str, object]
    """Everything of it but its container."""
    image: str | None
    """Of a real pod; None = none is known."""


def shape_of(round_: PoolRound, capacity_type: CapacityType | None) -> PodShape | str:
    """The shape, or why there is none."""
    try:
        return _shape(round_, capacity_type)
    except UnreadableObjectError as error:
        return f"the pod that it is for cannot be read: {error}"


def _shape(round_: PoolRound, capacity_type: CapacityType | None) -> PodShape | str:
    selector, resource = round_.selector, gpu_resource(round_)
    if selector is None:
        return "no NodePool and no node tells the label of its nodes"
    if resource is None:
        return (
            "no node of it has shown its GPUs as an extended resource, and no pod asks for one: a "
            "node bought for one might never get ready"
        )
    given = round_.pod_spec or {}
    gpus = round_.pool.gpus_per_node
    typed = {CAPACITY_TYPE: capacity_type.value} if capacity_type else {}
    spec: dict[str, object] = {
        "nodeSelector": {**_without_name(strings(given, "nodeSelector")), **selector, **typed},
        "tolerations": list(_tolerations(round_, given)),
    }
    affinity = _node_affinity(part(given, "affinity", "nodeAffinity"))
    if affinity:
        spec["affinity"] = {"nodeAffinity": affinity}
    spec |= {key: given[key] for key in _COPIED if given.get(key)}
    beside = _beside(requests_of(given), resource, gpus)
    extended = {name: amount for name, amount in beside.items() if "/" in name}
    return PodShape(
        requests={**beside, resource: str(gpus)},
        limits={**extended, resource: str(gpus)},
        spec=spec,
        image=next(filter(None, (text(one, "image") for one in listed(given, "containers"))), None),
    )


def _without_name(labels: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in labels.items() if key != _HOSTNAME}


def _node_affinity(given: Json) -> dict[str, object]:
    """As it is, without what names single nodes; of the terms of a list one is enough."""
    kept = dict(given)
    terms = [_free_term(one) for one in listed(part(given, _REQUIRED), _TERMS)]
    if all(terms):
        kept |= {_REQUIRED: {**part(given, _REQUIRED), _TERMS: terms}} if terms else {}
    else:
        del kept[_REQUIRED]
    preferred = list(listed(given, _PREFERRED))
    free = [one for one in preferred if _free_term(part(one, _TERM)) == part(one, _TERM)]
    if len(free) < len(preferred):
        kept[_PREFERRED] = free
    return kept


def _free_term(term: Json) -> dict[str, object]:
    """A term of a node selector; empty = it was about names alone."""
    expressions = [one for one in listed(term, _LABELS) if text(one, "key") != _HOSTNAME]
    return {_LABELS: expressions} if expressions else {}


def pods_refused(round_: PoolRound, *addresses: Callable[[str, str], Address]) -> str | None:
    """Why no pods of ours order the plan's nodes; None = they may.

    Args:
        round_: of the pool.
        addresses: of the objects to make, by namespace and name.
    """
    if round_.pool.static:
        return "Karpenter buys nothing for pods in a static pool"
    for order in round_.plan.orders:
        name = name_for(round_.pool.name, order.capacity_type)
        for address_of in addresses:
            found = round_.objects.made.get(address_of(round_.namespace, name))
            if found is not None and not found.ours:
                return f"{found.address} is not ours"
        shape = shape_of(round_, order.capacity_type)
        if isinstance(shape, str):
            return shape
    return None


def gpu_resource(round_: PoolRound) -> str | None:
    """The extended resource by which nodes of the pool give their GPUs; None = none is known."""
    for node in round_.pool.nodes:
        found = round_.objects.node_named(node.name)
        for name in WHOLE if found is not None else ():
            if found is not None and found.allocatable.get(name, 0) > 0:
                return name
    shown = any(round_.objects.node_named(node.name) for node in round_.pool.nodes)
    if shown and uses_claims(round_):
        # Its nodes are there, and have no such resource: a DRA driver gives the GPUs.
        return None
    asked = requests_of(round_.pod_spec or {})
    return next((name for name in WHOLE if asked.get(name, 0) > 0), None)


def uses_claims(round_: PoolRound) -> bool:
    """Whether the pool's pods ask for devices by ResourceClaims."""
    return any(True for _ in listed(round_.pod_spec or {}, "resourceClaims"))


def buffer_template(shape: PodShape) -> Mapping[str, object]:
    """The pod of a CapacityBuffer: it never runs."""
    resources = {"requests": dict(shape.requests), "limits": dict(shape.limits)}
    container = {"name": "room", "image": shape.image or _EMPTY_IMAGE, "resources": resources}
    return {**shape.spec, "containers": [container]}


def placeholder_pod(shape: PodShape, priority_class: str) -> Mapping[str, object]:
    """The spec of a pod that pulls the real image, sleeps, and goes at once when it is in the way.

    It runs as nobody and without rights, so that a strict namespace takes it.
    """
    container: dict[str, object] = {
        "name": "room",
        "image": shape.image or _EMPTY_IMAGE,
        "resources": {"requests": dict(shape.requests), "limits": dict(shape.limits)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    if shape.image is not None:
        container["command"] = ["sleep", "infinity"]
    return {
        **shape.spec,
        "priorityClassName": priority_class,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }


def _beside(asked: Mapping[str, Fraction], resource: str, gpus: int) -> dict[str, str]:
    """What the real pods of a node ask for besides GPUs."""
    each = asked.get(resource, Fraction(0))
    pods = max(1, int(gpus // each)) if each > 0 else 1
    return {
        name: _quantity(name, amount * pods)
        for name, amount in sorted(asked.items())
        if amount > 0 and name not in WHOLE
    }


def _quantity(name: str, amount: Fraction) -> str:
    if name == "cpu" and amount.denominator != 1:
        return f"{ceil(amount * 1000)}m"
    return str(ceil(amount))


def _tolerations(round_: PoolRound, spec: Json) -> Iterator[Mapping[str, object]]:
    """Those of the real pod, and of the pool's own taints."""
    yield from (dict(one) for one in listed(spec, "tolerations"))
    for taint in round_.record.taints if round_.record is not None else ():
        yield _tolerating(taint)


def _tolerating(taint: Taint) -> Mapping[str, object]:
    value = {"operator": "Equal", "value": taint.value} if taint.value else {"operator": "Exists"}
    return {"key": taint.key, **value, "effect": taint.effect}
