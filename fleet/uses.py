"""Who has the GPUs of a node, by device plugin and by DRA."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fleet.devices import Gpu
from fleet.nodes import Machine
from fleet.pods import Pod
from fleet.quotas import Quota

NOBODY: Final = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """GPUs that a pod has."""

    namespace: str
    pod: str
    """Its name; `-` where a claim is allocated and no pod holds it."""
    model: str | None
    gpus: float
    started_seconds: float | None = None
    """When the pod did."""
    idle: float | None = None
    """Of them, those that did nothing; None = not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Everything on a node that has GPUs or gives them out."""

    machine: Machine
    quota: Quota
    """Of the device plugin."""
    pods: Sequence[Pod]
    dra: Sequence[Gpu]
    not_read: str | None = None
    """The kind of object that would tell who has the GPUs; None = all was read."""


def uses_of(held: Held, pods: Mapping[str, Pod]) -> list[Use]:
    """The uses of a node's GPUs, one for each pod.

    Args:
        held: what is on the node.
        pods: all of the cluster, by name: those that hold claims.
    """
    found: dict[tuple[str, str], Use] = {}
    for use in (*_plugged(held), *_granted(held.dra, pods)):
        before = found.get((use.namespace, use.pod))
        gpus = rounded(use.gpus + (before.gpus if before else 0.0))
        found[use.namespace, use.pod] = replace(use, gpus=gpus)
    return list(found.values())


def rounded(gpus: float) -> float:
    """Without the noise of adding sevenths."""
    return round(gpus, 6)


def _plugged(held: Held) -> list[Use]:
    share = held.quota.share
    found = []
    for pod in held.pods:
        gpus = sum(count * share.get(name, 0.0) for name, count in pod.units.items())
        if gpus:
            found.append(_use(pod.name, pod, gpus))
    return found


def _granted(dra: Sequence[Gpu], pods: Mapping[str, Pod]) -> list[Use]:
    found = []
    for gpu in dra:
        for grant, share in gpu.grants:
            # Pods that share a claim share its devices.
            holders = grant.pods or (f"{grant.claim.partition('/')[0]}/{NOBODY}",)
            part = share / len(holders)
            found += [_use(name, pods.get(name), part) for name in holders]
    return found


def _use(name: str, pod: Pod | None, gpus: float) -> Use:
    namespace, _, bare = name.partition("/")
    return Use(
        namespace=namespace,
        pod=bare,
        model=pod.model if pod else None,
        gpus=gpus,
        started_seconds=pod.started_seconds if pod else None,
    )
