"""NodePools and NodeClaims: limits, taints, versions, and pools of a fixed size."""

from collections.abc import Iterator
from typing import Final

from fleet.cluster.nodes import KARPENTER_POOL
from fleet.documents import listed, part, text
from policies.lint.finding import Fault, Severity
from policies.lint.nodepools import (
    NODE_POOL,
    is_gpu_pool,
    is_static,
    template_spec,
)
from policies.lint.objects import ABSENT, Inputs, Object
from policies.lint.rule import rule

_STARTUP_WORDS: Final = ("startup", "not-ready", "notready", "uninitialized", "driver-not")
_READINESS: Final = "readiness.k8s.io/"


@rule(
    "FS204",
    Severity.WARNING,
    on=NODE_POOL,
    what="a GPU pool without a limit of GPUs",
    fix="set spec.limits for the GPU resource, such as nvidia.com/gpu: 16",
    source="Karpenter, NodePools: spec.limits",
)
def without_limits(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """A loop of failing pods, a wrong maximum or a stolen credential buys GPUs until the account's
    quota ends. A static pool has a fixed size.
    """
    if is_gpu_pool(of) and not is_static(of) and not part(of.spec, "limits"):
        why = "nothing but the cloud's quota ends its growth"
        yield Fault(at=("spec", "limits"), why=why, do="set nvidia.com/gpu (or nodes, cpu)")


@rule(
    "FS205",
    Severity.ERROR,
    on=NODE_POOL,
    what="fields that a static pool does not have",
    fix="leave weight out, and keep nodes as the only limit",
    source="Karpenter, static NodePools: validation of spec.replicas",
)
def static_pool_fields(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """With spec.replicas the pool is static: it has no weight and no limit but `nodes`, and it is
    not consolidated. The API server refuses the others.
    """
    if not is_static(of):
        return
    if of.spec.get("weight") is not None:
        yield Fault(at=("spec", "weight"), why="a static pool has none", do="leave it out")
    for name in part(of.spec, "limits"):
        if name != "nodes":
            why = "a static pool takes the limit nodes only"
            yield Fault(at=("spec", "limits", name), why=why, do="limit nodes instead")


@rule(
    "FS206",
    Severity.WARNING,
    on=NODE_POOL,
    what="a static GPU pool whose nodes count before their GPUs are there",
    fix="add a startupTaint that your GPU operator removes, or one of readiness.k8s.io/",
    source="Karpenter, initialization controller (requested resources); NodePools: startupTaints",
)
def static_without_startup_taint(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """NodeClaims of static pools ask for no resources, so Initialized does not wait for
    nvidia.com/gpu: the node counts as ready while its driver is still being installed.
    """
    if is_static(of) and is_gpu_pool(of) and not any(listed(template_spec(of), "startupTaints")):
        at = ("spec", "template", "spec", "startupTaints")
        why = "Initialized does not wait for the GPUs of a static pool"
        yield Fault(at=at, why=why, do="add one that the GPU operator removes")


@rule(
    "FS207",
    Severity.WARNING,
    on=NODE_POOL,
    what="a temporary taint among the lasting ones",
    fix="move it to startupTaints",
    source="Karpenter, NodePools: startupTaints; aws/karpenter-provider-aws#6355",
)
def startup_taint_misplaced(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Karpenter believes that pods must tolerate a taint of `taints` for ever. One that goes away
    when the node is ready belongs to `startupTaints`: misplaced, one pod got three GPU nodes.
    """
    for index, taint in enumerate(listed(template_spec(of), "taints")):
        key = text(taint, "key") or ""
        if key.startswith(_READINESS) or any(word in key.lower() for word in _STARTUP_WORDS):
            at = ("spec", "template", "spec", "taints", index, "key")
            why = "it looks like one that goes away when the node is ready"
            yield Fault(at=at, why=why, do="move it to startupTaints")


@rule(
    "FS208",
    Severity.ERROR,
    on=(NODE_POOL, "karpenter.sh/NodeClaim", "karpenter.sh/Provisioner"),
    what="an API version that Karpenter no longer serves",
    fix="write it as karpenter.sh/v1",
    source="Karpenter, v1 migration (v1.1 drops v1beta1)",
)
def old_version(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """v1beta1 ended with Karpenter 1.1, v1alpha5 (Provisioner) with 0.33."""
    if of.version != "v1":
        why = "Karpenter 1.1 and later serve karpenter.sh/v1 only"
        yield Fault(at=("apiVersion",), why=why, do="migrate it to karpenter.sh/v1")


@rule(
    "FS220",
    Severity.WARNING,
    on=NODE_POOL,
    what="fields that v1 has elsewhere",
    fix="move expireAfter to spec.template.spec, and kubelet to the node class",
    source="Karpenter, v1 migration",
)
def moved_fields(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Written where v1beta1 had them they are dropped: nodes then expire after the default of 720h,
    and the kubelet has its defaults.
    """
    if of.version != "v1":
        return  # FS208 tells
    for at, where in (
        (("spec", "disruption", "expireAfter"), "spec.template.spec"),
        (("spec", "template", "spec", "kubelet"), "the node class"),
    ):
        if of.at(at) is not ABSENT:
            yield Fault(at=at, why="v1 drops it here", do=f"move it to {where}")


@rule(
    "FS217",
    Severity.ERROR,
    on=NODE_POOL,
    what="a weight outside 1 to 100",
    fix="choose a weight from 1 to 100, or leave it out",
    source="Karpenter, NodePools: spec.weight",
)
def weight_out_of_range(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The API server refuses it; without one a pool counts as 0 and is tried last."""
    weight = of.spec.get("weight")
    if isinstance(weight, int) and not 1 <= weight <= 100:  # noqa: PLR2004
        yield Fault(at=("spec", "weight"), why="the API takes 1 to 100", do="correct it")


@rule(
    "FS218",
    Severity.WARNING,
    on="karpenter.sh/NodeClaim",
    what="a NodeClaim of your own that does not wait for its GPUs",
    fix="add the GPU resource to spec.resources.requests",
    source="Karpenter, initialization controller (requested resources)",
)
def claim_without_gpus(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Initialized waits for the resources that the claim asks for. Without nvidia.com/gpu among
    them the node counts as ready before its device plugin is; and outside of a NodePool nothing
    consolidates, limits or replaces it.
    """
    labels = part(of.value, "metadata", "labels")
    owned = any(listed(part(of.value, "metadata"), "ownerReferences"))
    if owned or KARPENTER_POOL in labels or not is_gpu_pool(_as_pool(of)):
        return
    if not any("gpu" in name for name in part(of.spec, "resources", "requests")):
        at = ("spec", "resources", "requests")
        why = "Initialized does not wait for the GPUs"
        yield Fault(at=at, why=why, do='add nvidia.com/gpu: "1"')


def _as_pool(claim: Object) -> Object:
    """A claim has at the top what a pool has in its template."""
    return Object(
        group=claim.group,
        version=claim.version,
        kind=claim.kind,
        namespace=claim.namespace,
        name=claim.name,
        value={"spec": {"template": {"spec": claim.spec}}},
        file=claim.file,
    )


@rule(
    "FS219",
    Severity.WARNING,
    on=NODE_POOL,
    what="a GPU pool without a taint",
    fix="add a taint nvidia.com/gpu:NoSchedule to the template",
    source="Kubernetes, taints and tolerations: nodes with special hardware; "
    "aws/karpenter-provider-aws#5798, #8447",
)
def without_taint(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Any pod without GPUs may then land on a GPU node, and keeps it when its GPUs are idle."""
    if is_gpu_pool(of) and not any(listed(template_spec(of), "taints")):
        at = ("spec", "template", "spec", "taints")
        why = "pods without GPUs land on its nodes, and keep them when the GPUs are idle"
        yield Fault(at=at, why=why, do="add nvidia.com/gpu with effect NoSchedule")
