"""Pods in manifests: their own, and the templates of workloads."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fleet.cluster.gpu_resources import counts_gpus
from fleet.documents import Json, is_object, listed, part, text
from policies.lint.finding import Path
from policies.lint.objects import Inputs, Object

_TEMPLATES: Final[Mapping[str, tuple[Path, ...]]] = {
    "Pod": ((),),
    "PodTemplate": (("template",),),
    "apps/Deployment": (("spec", "template"),),
    "apps/StatefulSet": (("spec", "template"),),
    "apps/ReplicaSet": (("spec", "template"),),
    "apps/DaemonSet": (("spec", "template"),),
    "batch/Job": (("spec", "template"),),
    "batch/CronJob": (("spec", "jobTemplate", "spec", "template"),),
    "leaderworkerset.x-k8s.io/LeaderWorkerSet": (
        ("spec", "leaderWorkerTemplate", "leaderTemplate"),
        ("spec", "leaderWorkerTemplate", "workerTemplate"),
    ),
}
POD_TYPES: Final = frozenset(_TEMPLATES)
SERVING_TYPES: Final = (
    "apps/Deployment",
    "apps/StatefulSet",
    "leaderworkerset.x-k8s.io/LeaderWorkerSet",
)
"""Types whose pods run for ever, so that they serve something."""
_ENGINES: Final = (
    "vllm", "sglang", "text-generation-inference", "tritonserver", "tensorrt-llm", "/nim/",
    "lmdeploy", "ollama", "llama.cpp",
)  # fmt: skip
"""In the names of images that serve models."""


_SERVES: Final = ("serve", "api_server", "launch_server", "tritonserver", "launcher")
"""In the commands of servers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod, or the template of one."""

    at: Path
    """Of the template in its object; empty for a pod."""
    metadata: Json
    spec: Json

    @property
    def annotations(self) -> Json:
        return part(self.metadata, "annotations")

    @property
    def labels(self) -> Json:
        return part(self.metadata, "labels")

    @property
    def containers(self) -> Iterator[tuple[Path, Json]]:
        """Each container that runs to the end, and where it stands."""
        containers = self.spec.get("containers")
        if isinstance(containers, list):
            for index, one in enumerate(containers):
                if is_object(one):
                    yield (*self.at, "spec", "containers", index), one

    @property
    def has_gpus(self) -> bool:
        return any(gpu_resources(one) for _, one in self.containers) or self.has_claims

    @property
    def has_claims(self) -> bool:
        return any(True for _ in listed(self.spec, "resourceClaims"))

    @property
    def engine(self) -> tuple[Path, Json] | None:
        """The container that serves a model: the one with GPUs, by its image else its ports."""
        with_gpus = [
            (at, one)
            for at, one in self.containers
            if gpu_resources(one) or (is_object(one.get("resources")) and _claims(one))
        ]
        for at, one in with_gpus:
            image = (text(one, "image") or "").lower()
            is_engine = any(name in image for name in _ENGINES) and not _is_shell(one)
            if is_engine or any(True for _ in listed(one, "ports")):
                return at, one
        return None


def pods_in(of: Object) -> Iterator[Pod]:
    """The pods that an object is or makes."""
    for at in _TEMPLATES.get(of.type, ()):
        holder = of.at(at)
        if is_object(holder) and is_object(holder.get("spec")):
            yield Pod(at=at, metadata=part(holder, "metadata"), spec=part(holder, "spec"))


def gpu_resources(container: Json, *sides: str) -> tuple[str, ...]:
    """The GPU resources that a container names, in limits or requests."""
    resources = part(container, "resources")
    named = (name for side in sides or ("limits", "requests") for name in part(resources, side))
    return tuple(dict.fromkeys(name for name in named if _is_gpu(name)))


_is_gpu: Final = lru_cache(1024)(counts_gpus)


def _is_shell(container: Json) -> bool:
    """Whether its command only keeps it there: an image of an engine that runs something else."""
    given = container.get("command")
    words = " ".join(
        one for one in (given if isinstance(given, list) else ()) if isinstance(one, str)
    )
    arguments = container.get("args")
    words += " ".join(str(one) for one in arguments) if isinstance(arguments, list) else ""
    return bool(given) and not any(name in words for name in _SERVES)


def _claims(container: Json) -> bool:
    return any(True for _ in listed(part(container, "resources"), "claims"))


def gpu_workloads(inputs: Inputs) -> Mapping[Object, list[Pod]]:
    """Objects whose pods have GPUs, with those pods."""
    found = {one: [pod for pod in pods_in(one) if pod.has_gpus] for one in inputs.of(*POD_TYPES)}
    return {one: pods for one, pods in found.items() if pods}
