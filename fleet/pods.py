"""Which pods hold GPUs, by what they ask of device plugins, and what they are for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fleet.documents import Json, amount, listed, namespaced, part, seconds, text

MODEL_LABELS: Final = (
    "foresail.io/model",
    "llm-d.ai/model",
    "serving.kserve.io/inferenceservice",
    "model",
)
"""Of a pod, the first that it has: the LLM it serves."""
_ENDED: Final = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod that has not ended."""

    name: str
    """With its namespace."""
    node: str | None
    model: str | None
    started_seconds: float | None
    units: Mapping[str, float]
    """Of each extended resource, without those that DRA gives it."""
    claimed: Mapping[str, float]
    """Of each extended resource that DRA gives it."""
    claims: tuple[str, ...]
    """ResourceClaims that it names or that were made for it, with their namespace."""


def pods_of(documents: Iterable[Json], model_labels: Sequence[str] = MODEL_LABELS) -> list[Pod]:
    """The pods that have not ended."""
    found = []
    for one in documents:
        status, spec = part(one, "status"), part(one, "spec")
        if text(status, "phase") in _ENDED:
            continue
        labels = part(one, "metadata", "labels")
        extended = {
            text(mapping, "resourceName")
            for mapping in listed(part(status, "extendedResourceClaimStatus"), "requestMappings")
        }
        units = _units(spec)
        name = namespaced(one)
        found.append(
            Pod(
                name=name,
                node=text(spec, "nodeName"),
                model=next(filter(None, (text(labels, label) for label in model_labels)), None),
                started_seconds=seconds(status, "startTime"),
                units={key: count for key, count in units.items() if key not in extended},
                claimed={key: count for key, count in units.items() if key in extended},
                claims=_claims(name.partition("/")[0], spec, status),
            )
        )
    return found


def _claims(namespace: str, spec: Json, status: Json) -> tuple[str, ...]:
    told = (*listed(spec, "resourceClaims"), *listed(status, "resourceClaimStatuses"))
    names = (text(one, "resourceClaimName") for one in told)
    return tuple(f"{namespace}/{name}" for name in names if name is not None)


def _units(spec: Json) -> dict[str, float]:
    """As kube-scheduler counts: containers and sidecars together, or the largest init container."""
    running: dict[str, float] = {}
    largest: dict[str, float] = {}
    for one in listed(spec, "containers"):
        _add(running, one)
    for one in listed(spec, "initContainers"):
        if text(one, "restartPolicy") == "Always":
            _add(running, one)
        else:
            for name, count in _asked(one).items():
                largest[name] = max(largest.get(name, 0.0), count)
    return {name: max(running.get(name, 0.0), largest.get(name, 0.0)) for name in running | largest}


def _add(to: dict[str, float], container: Json) -> None:
    for name, count in _asked(container).items():
        to[name] = to.get(name, 0.0) + count


def _asked(container: Json) -> dict[str, float]:
    """Extended resources have a domain in their name; cpu and memory are not asked after here."""
    resources = part(container, "resources")
    sides = (part(resources, "limits"), part(resources, "requests"))
    return {
        name: amount(side, name) or 0.0
        for side in sides
        for name in side
        if "/" in name and not name.startswith("hugepages-")
    }
