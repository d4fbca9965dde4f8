"""Which pods have the GPUs of a node, by device plugin and by DRA."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from fleet.account.machines import is_initialized
from fleet.cluster.gpu_resources import UNITS_MAX
from fleet.cluster.gpus import Gpu
from fleet.cluster.hardware import Hardware
from fleet.cluster.karpenter import NodeClaim
from fleet.cluster.nodes import Node
from fleet.cluster.pods import Pod
from fleet.cluster.quotas import Quota

NOBODY: Final = "-"
TAINT_RULE: Final = "DeviceTaintRule"
"""A kind of object that was not read."""
MODEL_LABELS: Final = (
    "foresail.io/model",
    "llm-d.ai/model",
    "serving.kserve.io/inferenceservice",
    "model",
)
"""Of a pod, the first that it has: the LLM it serves."""


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
    ready: bool | None = None
    """Whether the pod is; None = it was not read."""
    idle: float | None = None
    """Of them, those that did nothing; None = not measured."""
    placeholder: bool = False
    """The pod only keeps room for others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Everything on a node that has GPUs or gives them out."""

    node: Node
    hardware: Hardware
    quota: Quota
    """Of the device plugin."""
    pods: Sequence[Pod]
    """On the node."""
    dra: Sequence[Gpu]
    """That slices show."""
    gone: Sequence[Gpu] = ()
    """That claims have, and no slice shows: DRA's driver is away."""
    model_labels: Sequence[str] = MODEL_LABELS
    not_read: str | None = None
    """The kind of object that would tell which GPUs are used or free; None = all was read."""
    claim: NodeClaim | None = None
    """Karpenter's, that the node was made by."""

    @property
    def uses_known(self) -> bool:
        """Whether it is known who has the GPUs; a taint takes none from its pod's claim."""
        return self.not_read in {None, TAINT_RULE}

    @property
    def gpus(self) -> int:
        """Physical ones, whoever counts them or gives them out.

        Where nobody does, since the driver is away, those that pods have are a lower bound.
        """
        counted = self.hardware.gpus or ceil(min(rounded(self.kept), UNITS_MAX))
        return max(self.quota.gpus, len(self.dra), counted)

    @property
    def kept(self) -> float:
        """GPUs that pods have of a driver that is away: it offers them to nobody."""
        plugged = sum(self.kept_by(pod) for pod in self.pods) if self.quota.gone else 0.0
        return plugged + sum(gpu.taken for gpu in self.gone)

    def kept_by(self, pod: Pod) -> float:
        """Those that a pod has of a device plugin that is away.

        A pod of which the kubelet knows nothing has none, whatever it asks for.
        """
        return self.quota.kept(pod.requests, but=pod.by_claims) if pod.taken_up else 0.0

    @property
    def out(self) -> str | None:
        """Why no new pod comes to the node; None = pods may come."""
        if self.node.out is None and not is_initialized(self.node, self.claim):
            return "not initialized"
        return self.node.out


def free_of(held: Held, allocated: float) -> float:
    """GPUs that new pods can have: of the usable ones what nobody has.

    Args:
        held: what is on the node.
        allocated: GPUs that pods have, at most as many as there are.
    """
    if held.out is not None:
        return 0.0
    # What is taken of a GPU that is out does not take from the others.
    lost = held.kept + sum(gpu.taken for gpu in held.dra if gpu.out is not None)
    usable = max(held.quota.usable, sum(gpu.out is None for gpu in held.dra))
    return max(0.0, min(held.gpus - allocated, usable - (allocated - lost)))


def uses_of(held: Held, pods: Mapping[str, Pod]) -> list[Use]:
    """The uses of a node's GPUs, one for each pod.

    Args:
        held: what is on the node.
        pods: all of the cluster, by name: those that hold claims.
    """
    found: dict[tuple[str, str], Use] = {}
    for use in (*_plugged(held), *_granted(held, pods)):
        before = found.get((use.namespace, use.pod))
        gpus = rounded(use.gpus + (before.gpus if before else 0.0))
        found[use.namespace, use.pod] = replace(use, gpus=gpus)
    return list(found.values())


def rounded(gpus: float) -> float:
    """Without the noise of adding sevenths."""
    return round(gpus, 6)


def _plugged(held: Held) -> list[Use]:
    found = []
    for pod in held.pods:
        gpus = held.quota.taken(pod.requests, but=pod.by_claims) + held.kept_by(pod)
        if gpus:
            found.append(_use(pod.name, pod, gpus, held.model_labels))
    return found


def _granted(held: Held, pods: Mapping[str, Pod]) -> list[Use]:
    found = []
    for gpu in (*held.dra, *held.gone):
        for taking in gpu.takings:
            # Pods that share a claim share its devices.
            namespace = taking.claim.name.partition("/")[0]
            holders = taking.claim.pods or (f"{namespace}/{NOBODY}",)
            part = taking.part / len(holders)
            found += [_use(name, pods.get(name), part, held.model_labels) for name in holders]
    return found


def _use(name: str, pod: Pod | None, gpus: float, model_labels: Sequence[str]) -> Use:
    namespace, _, bare = name.partition("/")
    names = map(pod.labels.get, model_labels) if pod else ()
    return Use(
        namespace=namespace,
        pod=bare,
        model=next(filter(None, names), None),
        gpus=gpus,
        started_seconds=pod.started_seconds if pod else None,
        ready=pod.ready if pod else None,
        placeholder=pod is not None and pod.placeholder,
    )
