"""What a pod object asks for, as the placement rules see it.

A pod comes from the API server through kube-scheduler, but tenants write it: whatever is not as the
API has it is refused with the field's name, and nothing in it is trusted to be small.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil
from typing import Final

from fleet.quantities import quantity
from scheduler.naming import model_name
from scheduler.placement import GPUS_MAX, WHOLE_MILLI, Shape
from scheduler.resource_claim import Claim, Place, together

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
    "leaderworkerset.sigs.k8s.io/name",
    "scheduling.x-k8s.io/pod-group",
    "kueue.x-k8s.io/pod-group-name",
    # TrainJobs run as JobSets of the same name.
    "jobset.sigs.k8s.io/jobset-name",
    "training.kubeflow.org/job-name",
)
_GROUP_SIZES: Final = {
    "leaderworkerset.sigs.k8s.io/name": "leaderworkerset.sigs.k8s.io/size",
    "kueue.x-k8s.io/pod-group-name": "kueue.x-k8s.io/pod-group-total-count",
}
"""Annotation, or label, with the number of pods."""
_POD_GROUPS: Final = ("scheduling.x-k8s.io/pod-group", "scheduling.k8s.io/group-name")
"""Groups whose size stands in an object of kind PodGroup."""
_GROUP_ANNOTATIONS: Final = ("scheduling.k8s.io/group-name",)
_LWS: Final = "leaderworkerset.sigs.k8s.io/name"
_LWS_GROUP: Final = "leaderworkerset.sigs.k8s.io/group-index"
_LWS_WORKER: Final = "leaderworkerset.sigs.k8s.io/worker-index"
LEADER: Final = "leader"
WORKER: Final = "worker"
_ROLES: Final = ("jobset.sigs.k8s.io/replicatedjob-name", "training.kubeflow.org/replica-type")
_ANNOTATION_MAX: Final = 4096
"""Characters of an annotation that is read: the names of dozens of GPU models."""
_SIZE_DIGITS_MAX: Final = 5

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Known:
    """What pods refer to and only the watch has; both by `namespace/name`."""

    claims: Mapping[str, Claim | None] = field(default_factory=dict)
    """None = a claim that is there and cannot be predicted."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Pods of each PodGroup."""


NOTHING_KNOWN: Final = Known()


class UnreadablePodError(ValueError):
    """A pod object that is not as the API has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Pods that run together or not at all."""

    name: str
    size: int | None = None
    """How many; None = not told."""
    family: str = ""
    """Of groups that are alike, such as the replicas of one LeaderWorkerSet."""
    role: str | None = None
    """Of this pod among the others; None = not told."""


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
    claim: Claim | None = None
    """What its claims still ask for; the shape is without it."""
    given: tuple[Place, ...] | None = None
    """Devices that its claims were given; None = it has no claims, or not all were given any."""
    claim_names: tuple[str, ...] = ()
    """With their namespace; as far as they are made."""
    unknown: str | None = None
    """Why nobody can say here what it asks for; None = it is known."""

    def shape_with(self, gpus: int) -> Shape:
        """Its shape where its claim takes so many whole GPUs."""
        if self.claim is None and self.given is None:
            return self.shape
        return replace(self.shape, gpus=gpus, gpu_milli=WHOLE_MILLI if gpus else 0)


def pod_of(document: object, known: Known = NOTHING_KNOWN) -> Pod:
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
        shape = _shape(spec, metadata, containers)
        weights = _bounded(_part(metadata, "annotations"), WEIGHTS)
    except ValueError as error:
        raise UnreadablePodError(f"pod {name[:128]}: {error}") from error
    names = tuple(_claim_names(pod, spec, namespace))
    claims = [claim for name in names if (claim := known.claims.get(name)) is not None]
    unknown = None
    if len(claims) < len(names):
        missing = next(name for name in names if known.claims.get(name) is None)
        unknown = f"ResourceClaim {missing} is not known, or cannot be predicted"
    waiting = [claim for claim in claims if claim.given is None]
    return Pod(
        uid=str(metadata.get("uid") or name),
        name=name,
        shape=shape,
        group=_group(metadata, spec, namespace, known),
        images=tuple(str(one["image"]) for one in containers if "image" in one),
        weights=weights,
        claim=together(waiting) if waiting and unknown is None else None,
        given=_given(claims) if claims and not waiting and unknown is None else None,
        claim_names=names,
        unknown=unknown,
    )


def _claim_names(pod: Json, spec: Json, namespace: str) -> Iterator[str]:
    status = _part(pod, "status")
    generated = {
        _text(one, "name"): _text(one, "resourceClaimName")
        for one in _listed(status, "resourceClaimStatuses")
    }
    for one in _listed(spec, "resourceClaims"):
        name = _text(one, "resourceClaimName") or generated.get(_text(one, "name"))
        yield f"{namespace}/{name or _text(one, 'resourceClaimTemplateName')}"
    extended = _text(_part(status, "extendedResourceClaimStatus"), "resourceClaimName")
    if extended:
        yield f"{namespace}/{extended}"


def _given(claims: list[Claim]) -> tuple[Place, ...]:
    return tuple(place for claim in claims for place in claim.given or ())


def _shape(spec: Json, metadata: Json, containers: list[Json]) -> Shape:
    annotations = _part(metadata, "annotations")
    cpu = _asked(spec, containers, "cpu") * 1000
    memory = _asked(spec, containers, "memory") / _MIB
    gpus = sum((_asked(spec, containers, resource) for resource in GPU_RESOURCES), Fraction(0))
    if cpu > _CPU_MILLI_MAX or memory > _CPU_MILLI_MAX or gpus > GPUS_MAX:
        raise ValueError(f"asks for more than any node has: GPUs {float(gpus):.0f}")
    milli = WHOLE_MILLI
    if gpus == 1 and GPU_MILLI in annotations:
        milli = int(quantity(annotations[GPU_MILLI]))
    named = filter(None, (_bounded(annotations, GPU_MODELS) or "").split("|"))
    return Shape(
        cpu_milli=ceil(cpu),
        memory_mib=ceil(memory),
        gpus=int(gpus),
        gpu_milli=milli if gpus else 0,
        models=frozenset(map(model_name, named)),
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


def _group(metadata: Json, spec: Json, namespace: str, known: Known) -> Group | None:
    labels, annotations = _part(metadata, "labels"), _part(metadata, "annotations")
    of_scheduler = _text(_part(spec, "schedulingGroup"), "podGroupName")
    if of_scheduler:
        size = known.sizes.get(f"{namespace}/{of_scheduler}")
        told_by = f"{namespace}/podgroup/{of_scheduler}"
        return Group(name=told_by, size=size, family=told_by, role=_role(labels))
    for told, keys in ((labels, _GROUP_LABELS), (annotations, _GROUP_ANNOTATIONS)):
        for key in keys:
            name = _text(told, key)
            if name is not None:
                part = f"/{labels.get(_LWS_GROUP, '')}" if key == _LWS else ""
                family = f"{namespace}/{key}/{name}"
                return Group(
                    name=f"{family}{part}",
                    family=family,
                    role=_role(labels),
                    size=known.sizes.get(f"{namespace}/{name}")
                    if key in _POD_GROUPS
                    else _number(_GROUP_SIZES.get(key), annotations, labels),
                )
    return None


def _role(labels: Json) -> str | None:
    index = _text(labels, _LWS_WORKER)
    if index is not None:
        return LEADER if index == "0" else WORKER
    return next((role for key in _ROLES if (role := _text(labels, key))), None)


def _number(key: str | None, *among: Json) -> int | None:
    for told in among if key else ():
        text = _text(told, str(key)) or ""
        if text.isascii() and text.isdigit() and len(text) <= _SIZE_DIGITS_MAX:
            return int(text)
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


def _bounded(annotations: Json, name: str) -> str | None:
    """The annotation's text.

    Raises:
        ValueError: it is longer than any that makes sense.
    """
    text = _text(annotations, name)
    if text is not None and len(text) > _ANNOTATION_MAX:
        raise ValueError(
            f"annotation {name} has {len(text)} characters; at most {_ANNOTATION_MAX} are read"
        )
    return text
