"""What a pod object asks for, as the placement rules see it.

A pod comes from the API server through kube-scheduler, but tenants write it: whatever is not as the
API has it is refused with the field's name, and nothing in it is trusted to be small.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

from scheduler.placement import ANY_MODEL, GPUS_MAX, WHOLE_MILLI, Shape
from scheduler.quantities import quantity

GPU_RESOURCES: Final = ("nvidia.com/gpu", "amd.com/gpu")
GPU_MILLI: Final = "foresail.io/gpu-milli"
"""Annotation: the part of one GPU that a pod shares, in thousandths."""
GPU_MODELS: Final = "foresail.io/gpu-models"
"""Annotation: GPU models that will do, joined by `|`."""
WEIGHTS: Final = "foresail.io/weights"
"""Annotation: the model whose weights the pod loads."""
_MIB: Final = 2**20
_CPU_MILLI_MAX: Final = 2**30
_GROUP_LABELS: Final = (
    "scheduling.x-k8s.io/pod-group",
    "jobset.sigs.k8s.io/jobset-name",
    "training.kubeflow.org/job-name",
)
_GROUP_ANNOTATIONS: Final = ("scheduling.k8s.io/group-name",)
_LWS_NAME: Final = "leaderworkerset.sigs.k8s.io/name"
_LWS_GROUP: Final = "leaderworkerset.sigs.k8s.io/group-index"
_LWS_SIZE: Final = "leaderworkerset.sigs.k8s.io/size"
_SIZE_DIGITS_MAX: Final = 5

Json = Mapping[str, object]
Claims = Mapping[str, int]
"""GPUs that a ResourceClaim or ResourceClaimTemplate asks for, by `namespace/name`."""


class UnreadablePodError(ValueError):
    """A pod object that is not as the API has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Pods that run together or not at all."""

    name: str
    size: int | None = None
    """How many; None = not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """What placement needs to know of a pod."""

    uid: str
    name: str
    """With its namespace."""
    shape: Shape
    group: Group | None = None
    images: tuple[str, ...] = ()
    weights: str | None = None


def pod_of(document: object, claims: Claims) -> Pod:
    """The pod of an API object.

    Raises:
        UnreadablePodError: with the field that is not as it should be.
    """
    pod = _mapping(document, "pod")
    metadata, spec = _part(pod, "metadata"), _part(pod, "spec")
    namespace = str(metadata.get("namespace") or "default")
    name = f"{namespace}/{metadata.get('name') or metadata.get('generateName') or ''}"
    containers = list(_listed(spec, "containers"))
    try:
        shape = _shape(spec, metadata, containers, claims, namespace)
    except ValueError as error:
        raise UnreadablePodError(f"pod {name[:128]}: {error}") from error
    return Pod(
        uid=str(metadata.get("uid") or name),
        name=name,
        shape=shape,
        group=_group(metadata, spec, namespace),
        images=tuple(str(one["image"]) for one in containers if "image" in one),
        weights=_text(_part(metadata, "annotations"), WEIGHTS),
    )


def _shape(
    spec: Json, metadata: Json, containers: list[Json], claims: Claims, namespace: str
) -> Shape:
    annotations = _part(metadata, "annotations")
    cpu = _asked(spec, containers, "cpu") * 1000
    memory = _asked(spec, containers, "memory") / _MIB
    gpus = sum((_asked(spec, containers, resource) for resource in GPU_RESOURCES), Fraction(0))
    gpus += _claimed(spec, claims, namespace)
    if cpu > _CPU_MILLI_MAX or memory > _CPU_MILLI_MAX or gpus > GPUS_MAX:
        raise ValueError(f"asks for more than any node has: GPUs {float(gpus):.0f}")
    milli = WHOLE_MILLI
    if gpus == 1 and GPU_MILLI in annotations:
        milli = int(quantity(annotations[GPU_MILLI]))
    models = frozenset(filter(None, (_text(annotations, GPU_MODELS) or "").split("|")))
    return Shape(
        cpu_milli=ceil(cpu),
        memory_mib=ceil(memory),
        gpus=int(gpus),
        gpu_milli=milli if gpus else 0,
        models=models if gpus else ANY_MODEL,
    )


def _asked(spec: Json, containers: list[Json], resource: str) -> Fraction:
    """As kube-scheduler counts: containers and sidecars together, or the largest init container."""
    running = sum((_of(one, resource) for one in containers), Fraction(0))
    largest = Fraction(0)
    for one in _listed(spec, "initContainers"):
        if one.get("restartPolicy") == "Always":
            running += _of(one, resource)
        else:
            largest = max(largest, _of(one, resource))
    overhead = _part(spec, "overhead").get(resource, 0)
    return max(running, largest) + quantity(overhead)


def _of(container: Json, resource: str) -> Fraction:
    resources = _part(container, "resources")
    for side in ("requests", "limits"):
        amounts = _part(resources, side)
        if resource in amounts:
            amount = quantity(amounts[resource])
            if amount < 0:
                raise ValueError(f"{resource} is {amounts[resource]!r}, below 0")
            return amount
    return Fraction(0)


def _claimed(spec: Json, claims: Claims, namespace: str) -> int:
    gpus = 0
    for entry in _listed(spec, "resourceClaims"):
        name = entry.get("resourceClaimName") or entry.get("resourceClaimTemplateName")
        gpus += claims.get(f"{namespace}/{name}", 0)
    return gpus


def _group(metadata: Json, spec: Json, namespace: str) -> Group | None:
    labels, annotations = _part(metadata, "labels"), _part(metadata, "annotations")
    of_scheduler = _text(_part(spec, "schedulingGroup"), "podGroupName")
    if of_scheduler:
        return Group(name=f"{namespace}/podgroup/{of_scheduler}")
    if _LWS_NAME in labels:
        size = _text(annotations, _LWS_SIZE) or _text(labels, _LWS_SIZE) or ""
        return Group(
            name=f"{namespace}/lws/{labels[_LWS_NAME]}/{labels.get(_LWS_GROUP, '')}",
            size=int(size)
            if size.isascii() and size.isdigit() and len(size) <= _SIZE_DIGITS_MAX
            else None,
        )
    for told, keys in ((labels, _GROUP_LABELS), (annotations, _GROUP_ANNOTATIONS)):
        for key in keys:
            if key in told:
                return Group(name=f"{namespace}/{key}/{told[key]}")
    return None


def _mapping(value: object, name: str) -> Json:
    if not isinstance(value, Mapping):
        raise UnreadablePodError(f"{name} is {type(value).__name__}, not an object")
    return value


def _part(of: Json, name: str) -> Json:
    value = of.get(name)
    return {} if value is None else _mapping(value, name)


def _listed(of: Json, name: str) -> Iterator[Json]:
    value = of.get(name)
    if value is not None and not isinstance(value, list):
        raise UnreadablePodError(f"{name} is {type(value).__name__}, not a list")
    for entry in value or []:
        yield _mapping(entry, f"an entry of {name}")


def _text(of: Json, name: str) -> str | None:
    value = of.get(name)
    return value if isinstance(value, str) and value else None
