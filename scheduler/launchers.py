"""Launchers of llm-d's Fast Model Actuation, and the vLLM instances that sit in them.

A *requester* pod holds the GPUs and runs no engine. A *launcher* pod of its node asks for no GPU,
sees all of them, and runs the engine as an *instance*. When the requester goes, the instance sleeps
on its GPUs and wakes within seconds for a requester that gets exactly these GPUs again.

The launcher is asked what it holds. The label `dual-pods.llm-d.ai/sleeping` does not say: it is
true of empty launchers as well, and names no model.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from fleet.cluster.gpu_resources import WHOLE
from fleet.cluster.pods import Pod

INSTANCES_MAX: Final = 64
"""Of one launcher, whose `maxInstances` is a small number; a longer answer is refused."""
CONFIG: Final = "dual-pods.llm-d.ai/inference-server-config"
"""Annotation of a requester: the InferenceServerConfig that it wants to be served."""
ACCELERATORS: Final = "dual-pods.llm-d.ai/accelerators"
"""Annotation of a bound pod: the UUIDs of its GPUs, joined by commas."""
_COMPONENT: Final = "app.kubernetes.io/component"
_LAUNCHER: Final = "launcher"
_CONFIG_OF_INSTANCE: Final = "isc-name"
_RUNNING: Final = "running"
_GPUS_MAX: Final = 64
_TEXT_MAX: Final = 253

Json = Mapping[str, Any]


class UnreadableLauncherError(ValueError):
    """An answer that is not as launchers give it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What is served: an InferenceServerConfig, which has one model and one set of options."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Launcher:
    """A launcher pod that runs on a node."""

    uid: str
    namespace: str
    name: str
    node: str
    address: str | None
    """IP of the pod; None = it has none yet."""
    requests_gpus: bool
    """Whether it holds GPUs of its own; FMA's do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One engine process of a launcher that runs: awake or asleep."""

    node: str
    config: Config | None
    """None = the launcher does not say what it serves."""
    gpus: frozenset[str]
    """UUIDs; it runs and wakes on these and no others."""


def launcher_of(pod: Pod) -> Launcher | None:
    """The launcher that a pod is; None = it is none, or it is not on a node."""
    if pod.labels.get(_COMPONENT) != _LAUNCHER or pod.node is None or pod.ended:
        return None
    return Launcher(
        uid=pod.uid,
        namespace=pod.namespace,
        name=pod.name.partition("/")[2],
        node=pod.node,
        address=_address(pod.ip),
        requests_gpus=bool(pod.claims or pod.claims_to_come)
        or any(name in pod.requests for name in WHOLE),
    )


def config_of(pod: Pod) -> Config | None:
    """What a requester wants to be served; None = the pod is no requester."""
    name = pod.annotations.get(CONFIG, "")
    return Config(namespace=pod.namespace, name=name) if 0 < len(name) <= _TEXT_MAX else None


def held_gpus(pod: Pod) -> frozenset[str]:
    """UUIDs of the GPUs that a bound requester holds; empty = the pod does not say.

    A launcher carries the same annotation and holds nothing.
    """
    if CONFIG not in pod.annotations or pod.ended:
        return frozenset()
    listed = pod.annotations.get(ACCELERATORS, "").split(",")[:_GPUS_MAX]
    return frozenset(uuid for one in listed if (uuid := one.strip()))


def instances_of(launcher: Launcher, answer: object) -> tuple[Instance, ...]:
    """The instances that run in a launcher, from its answer to `GET /v2/vllm/instances`.

    Raises:
        UnreadableLauncherError: with what is not as it should be.
    """
    listed = _object(answer).get("instances")
    if not isinstance(listed, list):
        raise UnreadableLauncherError("the answer has no list `instances`")
    if len(listed) > INSTANCES_MAX:
        raise UnreadableLauncherError(f"{len(listed)} instances are more than {INSTANCES_MAX}")
    return tuple(_running(launcher, listed))


def _running(launcher: Launcher, listed: list[object]) -> Iterator[Instance]:
    for at, one in enumerate(listed):
        if not isinstance(one, Mapping):
            raise UnreadableLauncherError(f"instances[{at}] is no object")
        gpus = one.get("gpu_uuids") or []
        if not isinstance(gpus, list) or len(gpus) > _GPUS_MAX:
            raise UnreadableLauncherError(f"instances[{at}].gpu_uuids is no list of UUIDs")
        if one.get("status") != _RUNNING or not gpus:
            continue  # a stopped one does not wake, and one without GPUs names no place
        name = _object(one.get("annotations")).get(_CONFIG_OF_INSTANCE)
        known = isinstance(name, str) and 0 < len(name) <= _TEXT_MAX
        yield Instance(
            node=launcher.node,
            config=Config(namespace=launcher.namespace, name=str(name)) if known else None,
            gpus=frozenset(str(uuid)[:_TEXT_MAX] for uuid in gpus),
        )


def _address(text: str | None) -> str | None:
    """The kubelet's word; what is no IP address is none, so that no name is ever looked up."""
    try:
        return str(ip_address(str(text)))
    except ValueError:
        return None


def _object(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}
