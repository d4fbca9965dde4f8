"""The container of a pod that a need is of, and the GPUs that containers ask device plugins for.

A tenant writes pods: what cannot be used denies the pod, in words for its author.
"""

from collections.abc import Mapping
from typing import Any, Final

from fleet.quantities import quantity
from scheduler.need_annotations import DOMAIN, GPUS_MAX
from scheduler.pods import GPU_RESOURCES

CONTAINER: Final = f"{DOMAIN}container"
"""Annotation: the container that gets the GPUs."""
_DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
_NAME_MAX: Final = 253
_SHOWN_MAX: Final = 64
_NAMES_MAX: Final = 8

Json = Mapping[str, Any]


class DeniedError(ValueError):
    """The pod's request cannot be met; the message is for its author."""


def gpu_container(annotations: Json, spec: Json) -> int:
    """Index of the container that gets the GPUs.

    It is the one that `foresail.io/container` names, else the only one that asks for GPUs, else
    kubectl's default, else the first.

    Raises:
        DeniedError: there is no such container, or several ask for GPUs and none is named.
    """
    containers = listed(spec, "containers")
    names = [one.get("name") for one in containers]
    if not names:
        raise DeniedError("the pod has no containers")
    if CONTAINER in annotations:
        wanted = annotations[CONTAINER]
        if wanted not in names:
            shown = str(wanted)[:_SHOWN_MAX]
            raise DeniedError(
                f"annotation {CONTAINER} has the value {shown!r}: it takes one of {_words(names)}"
            )
        return names.index(wanted)
    asking = [at for at, one in enumerate(containers) if gpus_of(one)]
    if len(asking) > 1:
        raise DeniedError(
            f"containers {_words([names[at] for at in asking])} ask for GPUs: name the one that the"
            f" need is of in the annotation {CONTAINER}"
        )
    if asking:
        return asking[0]
    default = annotations.get(_DEFAULT_CONTAINER)
    return names.index(default) if default in names else 0


def gpus_of(container: Json) -> dict[str, int]:
    """GPUs that it asks for, by extended resource; without those of which it asks for none.

    Raises:
        DeniedError: an amount is no number of GPUs.
    """
    resources = part(container, "resources")
    asked = {}
    for side in ("requests", "limits"):
        amounts = part(resources, side)
        for resource in GPU_RESOURCES:
            if resource in amounts:
                amount = quantity(amounts[resource])
                if amount not in range(GPUS_MAX + 1):
                    shown = str(amounts[resource])[:_SHOWN_MAX]
                    raise DeniedError(f"{resource} is {shown!r}, not a number up to {GPUS_MAX}")
                asked[resource] = int(amount)
    return {resource: amount for resource, amount in asked.items() if amount}


def part(of: Json, name: str) -> Json:
    """The object of this name; empty where there is none.

    Raises:
        DeniedError: it is something else.
    """
    value = of.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise DeniedError(f"{name} is {type(value).__name__}, not an object")
    return value or {}


def listed(of: Json, name: str) -> list[Json]:
    """The list of objects of this name; empty where there is none.

    Raises:
        DeniedError: it is something else.
    """
    value = of.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise DeniedError(f"{name} is not a list of objects")
    return value


def _words(names: list[Any]) -> str:
    return ", ".join(str(name)[:_NAME_MAX] for name in names[:_NAMES_MAX])
