"""Capacity buffers and placeholder pods: room that is kept for pods to come."""

from collections.abc import Iterator
from typing import Final

from fleet.annotations import DELETION_COST
from fleet.documents import listed, part, text
from policies.lint.finding import Fault, Severity
from policies.lint.nodepools import NODE_POOL
from policies.lint.objects import Inputs, Object
from policies.lint.pods import POD_TYPES, gpu_resources, pods_in
from policies.lint.rule import rule
from policies.lint.scaled import scaler_of

BUFFER: Final = "autoscaling.x-k8s.io/CapacityBuffer"
PRIORITY: Final = "scheduling.k8s.io/PriorityClass"
_EMPTY_PRIORITY: Final = -(2**25)
_EMPTY_COST: Final = -(2**27)
_EXPENDABLE: Final = -10
_GROUPS: Final = {"Deployment": "apps", "StatefulSet": "apps", "ReplicaSet": "apps"}


@rule(
    "FS501",
    Severity.ERROR,
    on=BUFFER,
    what="a buffer whose pods have no GPU",
    fix="write the GPU under requests as well as under limits in the workload",
    source="Karpenter 1.14, capacity buffers (virtual pods); Kubernetes API, ResourceRequirements",
)
def gpus_under_limits(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """A pod gets its request from the limit when it is created; the template of a workload does
    not. Karpenter makes the buffer's pods of the template, so they ask for no GPU and fit anywhere.
    """
    for at, source in _sources(of, inputs):
        for pod in pods_in(source):
            for _, container in pod.containers:
                missing = set(gpu_resources(container, "limits")) - set(
                    gpu_resources(container, "requests")
                )
                if missing:
                    name = min(missing)
                    why = f"{source.title} has {name} under limits only: the buffer holds no GPU"
                    do = f"add {name} under requests there, with the same number"
                    yield Fault(at=at, why=why, do=do)
                    return


@rule(
    "FS502",
    Severity.WARNING,
    on=BUFFER,
    what="a version of CapacityBuffer that Karpenter does not serve",
    fix="write it as autoscaling.x-k8s.io/v1beta1",
    source="Karpenter 1.14, CRD capacitybuffers; Cluster Autoscaler 1.35",
)
def buffer_version(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Karpenter's CRD serves v1beta1 alone, although examples say v1alpha1; Cluster Autoscaler has
    v1beta1 from 1.35 on.
    """
    if of.version == "v1alpha1":
        why = "Karpenter serves v1beta1 alone"
        yield Fault(at=("apiVersion",), why=why, do="write autoscaling.x-k8s.io/v1beta1")


@rule(
    "FS503",
    Severity.WARNING,
    on=BUFFER,
    what="a buffer sized twice",
    fix="keep replicas, and leave percentage out",
    source="Karpenter 1.14, capacity buffer controller",
)
def sized_twice(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The text of the CRD says that the lower of replicas and percentage counts; Karpenter takes
    the higher one.
    """
    if of.spec.get("replicas") is not None and of.spec.get("percentage") is not None:
        why = "Karpenter takes the higher of replicas and percentage, the CRD's text says the lower"
        yield Fault(at=("spec", "percentage"), why=why, do="keep replicas, and leave this out")


@rule(
    "FS504",
    Severity.WARNING,
    on=BUFFER,
    what="a buffer that is deleted with its owner",
    fix="leave ownerReferences out; set replicas: 0, wait for BufferEmpty, then delete",
    source="kubernetes-sigs/karpenter#3258",
)
def deleted_with_owner(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """A deleted buffer triggers no new pass: on a quiet cluster its empty nodes stay for ever. With
    replicas: 0 first they go.
    """
    if any(listed(part(of.value, "metadata"), "ownerReferences")):
        why = "deleted together with its owner, it leaves its nodes behind"
        at = ("metadata", "ownerReferences")
        yield Fault(at=at, why=why, do="leave it out, and set replicas: 0 before you delete")


@rule(
    "FS505",
    Severity.ERROR,
    on=BUFFER,
    what="a buffer of pods with resource claims",
    fix="buffer a PodTemplate that asks for the GPU as an extended resource",
    source="Karpenter, IGNORE_DRA_REQUESTS; kubernetes-sigs/karpenter#3189",
)
def buffer_of_claims(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """A claim made from a template has no status, so Karpenter either fails on the virtual pods or
    finds room for them on any node.
    """
    for at, source in _sources(of, inputs):
        if any(pod.has_claims for pod in pods_in(source)):
            why = f"{source.title} has resourceClaims: the buffer holds nothing"
            do = "buffer a PodTemplate with nvidia.com/gpu under requests and a node selector"
            yield Fault(at=at, why=why, do=do)


@rule(
    "FS506",
    Severity.ERROR,
    on=BUFFER,
    what="a buffer of nothing, or of two things",
    fix="give one of podTemplateRef and scalableRef, and a size",
    source="Kubernetes autoscaling API, CapacityBuffer",
)
def buffer_reference(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The buffer needs one template, and to know how many: replicas or limits, or a percentage of
    what scalableRef has.
    """
    given = [name for name in ("podTemplateRef", "scalableRef") if name in of.spec]
    if len(given) != 1:
        why = "both podTemplateRef and scalableRef" if given else "no podTemplateRef or scalableRef"
        yield Fault(at=("spec", given[-1] if given else "podTemplateRef"), why=why, do="give one")
    sizes = ["replicas", "limits", *(["percentage"] if "scalableRef" in of.spec else [])]
    if not any(name in of.spec for name in sizes):
        why = "nothing says how many"
        yield Fault(at=("spec", "replicas"), why=why, do="set replicas")


@rule(
    "FS507",
    Severity.WARNING,
    on=BUFFER,
    what="a fixed buffer on a workload that scales",
    fix="lower the buffer's replicas when the workload grows, or let one owner set both",
    source="kubernetes-sigs/kueue#14700 (KEP-5133)",
)
def refills(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """When replicas land on the room that was kept, Karpenter buys new nodes for the buffer: each
    growth of the workload is paid twice.
    """
    for at, source in _sources(of, inputs):
        scaler = scaler_of(source, inputs)
        replicas = of.spec.get("replicas")
        if scaler is not None and isinstance(replicas, int) and replicas > 0:
            why = (
                f"{scaler.title} scales {source.title}, and each replica that comes is bought again"
            )
            do = "lower the buffer in the same step, or leave it to one owner"
            yield Fault(at=at, why=why, do=do)


@rule(
    "FS508",
    Severity.ERROR,
    on=(PRIORITY, *POD_TYPES),
    what="placeholders that count as nothing",
    fix="use a priority from -10 to -1000, and no such deletion cost",
    source="Karpenter 1.14, disruption cost (EvictionCost)",
)
def counts_as_empty(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """From 1.14 on a node is empty when no pod of it costs anything to evict: a priority of -2^25
    or less, or a pod-deletion-cost of -2^27 or less. Its node goes and comes again in a loop. Told
    where there are NodePools among the inputs.
    """
    if not any(inputs.of(NODE_POOL)):
        return
    if of.type == PRIORITY:
        value = of.value.get("value")
        if isinstance(value, int) and value <= _EMPTY_PRIORITY:
            why = "Karpenter takes a node with nothing but such pods for empty, and deletes it"
            yield Fault(at=("value",), why=why, do="use -10")
        return
    for pod in pods_in(of):
        cost = _whole(pod.annotations.get(DELETION_COST))
        if cost is not None and cost <= _EMPTY_COST:
            at = (*pod.at, "metadata", "annotations", DELETION_COST)
            why = "Karpenter takes a node with nothing but such pods for empty, and deletes it"
            yield Fault(at=at, why=why, do="leave it out, or use a number above -100000000")


@rule(
    "FS509",
    Severity.INFO,
    on=PRIORITY,
    what="a priority that Cluster Autoscaler ignores",
    fix="use -10, which works with Karpenter and Cluster Autoscaler",
    source="Cluster Autoscaler FAQ: expendable-pods-priority-cutoff",
)
def expendable(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Below -10, the default cutoff, a pod keeps no node and orders none: placeholders of that
    class hold nothing. With Karpenter alone it works. Told of classes that pods here name.
    """
    if of.name not in inputs.once(priorities):
        return
    value = of.value.get("value")
    if isinstance(value, int) and _EMPTY_PRIORITY < value < _EXPENDABLE:
        why = "Cluster Autoscaler orders and keeps no node for pods below -10"
        yield Fault(at=("value",), why=why, do="use -10")


def priorities(inputs: Inputs) -> frozenset[str]:
    """Priority classes that pods name."""
    pods = (pod for one in inputs.of(*POD_TYPES) for pod in pods_in(one))
    return frozenset(text(pod.spec, "priorityClassName") or "" for pod in pods)


def _sources(of: Object, inputs: Inputs) -> Iterator[tuple[tuple[str, ...], Object]]:
    """What the buffer's pods are made of, as far as it is among the inputs."""
    template = text(part(of.spec, "podTemplateRef"), "name")
    if template is not None:
        found = inputs.find("PodTemplate", of.scope, template)
        if found is not None:
            yield ("spec", "podTemplateRef", "name"), found
    scalable = part(of.spec, "scalableRef")
    kind, name = text(scalable, "kind") or "", text(scalable, "name")
    if name is not None and kind in _GROUPS:
        found = inputs.find(f"{_GROUPS[kind]}/{kind}", of.scope, name)
        if found is not None:
            yield ("spec", "scalableRef", "name"), found


def _whole(value: object) -> int | None:
    try:
        return int(str(value)[:20]) if value is not None else None
    except ValueError:
        return None
