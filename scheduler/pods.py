"""What a pod asks for, as the placement rules see it.

Tenants write pods: whatever is not as the API has it is refused with the field's name, and nothing
in it is trusted to be small.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil
from typing import Final

from fleet.cluster import pods as records
from fleet.cluster.devices import Place
from fleet.cluster.fields import UnreadableObjectError
from fleet.cluster.gpu_resources import WHOLE
from fleet.cluster.kinds import Kind
from fleet.quantities import quantity
from scheduler.launchers import Config, config_of
from scheduler.naming import model_name, models_named
from scheduler.placement import ANY_MODEL, GPUS_MAX, WHOLE_MILLI, Shape
from scheduler.resource_claim import SELECTORS_MAX, Claim, selector_characters, together

GPU_RESOURCES: Final = WHOLE
GPU_MILLI: Final = "foresail.io/gpu-milli"
"""Annotation: the part of one GPU that a pod shares, in thousandths."""
GPU_MODELS: Final = "foresail.io/gpu-models"
"""Annotation: GPU models that will do, joined by `|`."""
WEIGHTS: Final = "foresail.io/weights"
"""Annotation: the model whose weights the pod loads."""
NVLINK: Final = "foresail.io/nvlink"
"""Annotation: with the value `required`, the pod's GPUs must be in one NVLink island."""
_REQUIRED: Final = "required"
_MIB: Final = 2**20
_AMOUNT_MAX: Final = 2**30
"""Of thousandths of a CPU, and of MiB."""
_ANNOTATION_MAX: Final = 4096
"""Characters of an annotation that is read: the names of dozens of GPU models."""
_SHOWN_MAX: Final = 64
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
_SIZE_DIGITS_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Known:
    """What pods refer to and only the watch has; both by `namespace/name`."""

    claims: Mapping[str, Claim | None] = field(default_factory=dict)
    """None = a claim that is there and cannot be predicted."""
    sizes: Mapping[tuple[Kind, str], int] = field(default_factory=dict)
    """Pods of each PodGroup."""


NOTHING_KNOWN: Final = Known()


class UnreadablePodError(ValueError):
    """A pod object that is not as the API has it."""


class _AnnotationError(ValueError):
    """An annotation that makes no sense; says its name, its value and what it takes."""


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
    needs_nvlink: bool = False
    """NVLink must join its GPUs."""
    config: Config | None = None
    """That a requester of Fast Model Actuation wants to be served; None = it is none."""
    claim: Claim | None = None
    """What its claims still ask for; the shape is without it."""
    given: tuple[Place, ...] | None = None
    """Devices that its claims were given; None = it has no claims, or not all were given any."""
    claim_names: tuple[str, ...] = ()
    """With their namespace; as far as they are made."""
    unknown: str | None = None
    """Why it is not known here what it asks for; None = it is known."""
    fault: str | None = None
    """An annotation that makes no sense, so that no node may take it; None = there is none."""

    def shape_with(self, gpus: int) -> Shape:
        """Its shape where its claim takes so many whole GPUs."""
        if self.claim is None and self.given is None:
            return self.shape
        return replace(self.shape, gpus=gpus, gpu_milli=WHOLE_MILLI if gpus else 0)


def pod_of(document: object, known: Known = NOTHING_KNOWN) -> Pod:
    """The pod of an API object, as kube-scheduler sends it.

    Raises:
        UnreadablePodError: with the field that is not as it should be.
    """
    return placed(read(document), known)


def read(document: object) -> records.Pod:
    """The record of a pod, as kube-scheduler sends it.

    Raises:
        UnreadablePodError: with the field that is not as it should be.
    """
    try:
        return records.pod_of(document)
    except UnreadableObjectError as error:
        raise UnreadablePodError(str(error)) from error


def placed(pod: records.Pod, known: Known = NOTHING_KNOWN) -> Pod:
    """What placement needs to know of a pod.

    Raises:
        UnreadablePodError: it asks for more than any node has.
    """
    try:
        shape, weights, needs_nvlink, fault = _asked(pod)
    except ValueError as error:
        raise UnreadablePodError(f"pod {pod.name[:128]}: {error}") from error
    names = (*pod.claims, *pod.claims_to_come)
    claims = [claim for name in names if (claim := known.claims.get(name)) is not None]
    unknown = None
    if len(claims) < len(names):
        missing = next(name for name in names if known.claims.get(name) is None)
        unknown = f"ResourceClaim {missing} is not known, or cannot be predicted"
    waiting = [claim for claim in claims if claim.given is None]
    if unknown is None and selector_characters(waiting) > SELECTORS_MAX:
        unknown = f"its claims have selectors of more than {SELECTORS_MAX} characters together"
    return Pod(
        uid=pod.uid,
        name=pod.name,
        shape=shape,
        group=_group(pod, known),
        images=pod.images,
        weights=weights or None,
        needs_nvlink=needs_nvlink,
        config=config_of(pod),
        claim=together(waiting) if waiting and unknown is None else None,
        given=_given(claims) if claims and not waiting and unknown is None else None,
        claim_names=names,
        unknown=unknown,
        fault=fault,
    )


def _given(claims: list[Claim]) -> tuple[Place, ...]:
    return tuple(place for claim in claims for place in claim.given or ())


def _asked(pod: records.Pod) -> tuple[Shape, str, bool, str | None]:
    """What it asks for, its weights, whether NVLink must join its GPUs, and a fault in that."""
    try:
        return (
            _shape(pod, pod.annotations),
            _bounded(pod.annotations, WEIGHTS).strip(),
            _needs_nvlink(pod.annotations),
            None,
        )
    except _AnnotationError as error:
        # Of a pod that runs, what it has counts, whatever its annotations say.
        return _shape(pod, {}), "", False, str(error) if pod.node is None else None


def _shape(pod: records.Pod, annotations: Mapping[str, str]) -> Shape:
    nothing = Fraction(0)
    cpu = pod.requests.get("cpu", nothing) * 1000
    memory = pod.requests.get("memory", nothing) / _MIB
    plugged = (name for name in GPU_RESOURCES if name not in pod.by_claims)
    gpus = sum((pod.requests.get(name, nothing) for name in plugged), nothing)
    if cpu > _AMOUNT_MAX or memory > _AMOUNT_MAX or gpus > GPUS_MAX:
        raise ValueError(f"asks for more than any node has: GPUs {float(gpus):.0f}")
    milli = WHOLE_MILLI
    if gpus == 1 and GPU_MILLI in annotations:
        milli = _milli(annotations[GPU_MILLI])
    return Shape(
        cpu_milli=ceil(cpu),
        memory_mib=ceil(memory),
        gpus=int(gpus),
        gpu_milli=milli if gpus else 0,
        models=_models(annotations),
    )


def _models(annotations: Mapping[str, str]) -> frozenset[str]:
    """GPU models that will do, by their names in the catalogue; of one that it lacks, as written.

    Raises:
        _AnnotationError: the annotation is there and names none.
    """
    if GPU_MODELS not in annotations:
        return ANY_MODEL
    text = _bounded(annotations, GPU_MODELS)
    try:
        return frozenset(map(model_name, models_named(text)))
    except ValueError:
        raise _AnnotationError(
            f"annotation {GPU_MODELS} is {text[:_SHOWN_MAX]!r}; it takes GPU models joined by |"
        ) from None


def _milli(text: str) -> int:
    """Thousandths of a GPU.

    Raises:
        _AnnotationError: it is no such number.
    """
    try:
        milli = int(quantity(text))
    except ValueError:
        milli = 0
    if not 0 < milli <= WHOLE_MILLI:
        raise _AnnotationError(
            f"annotation {GPU_MILLI} is {text[:_SHOWN_MAX]!r}; it takes thousandths of a GPU,"
            f" a number from 1 to {WHOLE_MILLI}"
        )
    return milli


def _needs_nvlink(annotations: Mapping[str, str]) -> bool:
    """Whether the annotation says so.

    Raises:
        _AnnotationError: it has another value than the one that there is.
    """
    value = annotations.get(NVLINK)
    if value not in {None, _REQUIRED}:
        raise _AnnotationError(
            f"annotation {NVLINK} is {str(value)[:_SHOWN_MAX]!r}; its only value is {_REQUIRED!r}"
        )
    return value is not None


def _bounded(annotations: Mapping[str, str], name: str) -> str:
    """The annotation's text, empty where there is none.

    Raises:
        _AnnotationError: it is longer than any that makes sense.
    """
    text = annotations.get(name, "")
    if len(text) > _ANNOTATION_MAX:
        raise _AnnotationError(
            f"annotation {name} has {len(text)} characters; at most {_ANNOTATION_MAX} are read"
        )
    return text


def _group(pod: records.Pod, known: Known) -> Group | None:
    namespace = pod.namespace
    if pod.scheduling_group:
        size = known.sizes.get((Kind.POD_GROUP, f"{namespace}/{pod.scheduling_group}"))
        family = f"{namespace}/podgroup/{pod.scheduling_group}"
        return Group(name=family, size=size, family=family, role=_role(pod.labels))
    for texts, keys in ((pod.labels, _GROUP_LABELS), (pod.annotations, _GROUP_ANNOTATIONS)):
        for key in keys:
            name = texts.get(key)
            if name:
                part = f"/{pod.labels.get(_LWS_GROUP, '')}" if key == _LWS else ""
                family = f"{namespace}/{key}/{name}"
                return Group(
                    name=f"{family}{part}",
                    family=family,
                    role=_role(pod.labels),
                    size=known.sizes.get((Kind.POD_GROUP_PLUGIN, f"{namespace}/{name}"))
                    if key in _POD_GROUPS
                    else _number(_GROUP_SIZES.get(key), pod.annotations, pod.labels),
                )
    return None


def _role(labels: Mapping[str, str]) -> str | None:
    index = labels.get(_LWS_WORKER)
    if index:
        return LEADER if index == "0" else WORKER
    return next((role for key in _ROLES if (role := labels.get(key))), None)


def _number(key: str | None, *among: Mapping[str, str]) -> int | None:
    for texts in among if key else ():
        text = texts.get(str(key), "")
        if text.isascii() and text.isdigit() and len(text) <= _SIZE_DIGITS_MAX:
            return int(text)
    return None
