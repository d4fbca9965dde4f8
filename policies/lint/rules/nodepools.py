"""NodePools: when nodes come and go, and what they cost while they are idle."""

import re
from collections.abc import Iterator
from typing import Final

from fleet.documents import listed, part, text
from policies.lint.finding import Fault, Severity
from policies.lint.nodepools import (
    NODE_POOL,
    duration_seconds,
    is_gpu_pool,
    is_static,
    node_lead,
    template_metadata,
    template_spec,
)
from policies.lint.objects import ABSENT, Inputs, Object
from policies.lint.pods import gpu_workloads
from policies.lint.rule import rule
from scaler.durations import format_duration

_AFTER: Final = ("spec", "disruption", "consolidateAfter")
_POLICY: Final = ("spec", "disruption", "consolidationPolicy")
_POLICIES: Final = ("WhenEmpty", "WhenEmptyOrUnderutilized", "Balanced")
_DO_NOT_DISRUPT: Final = "karpenter.sh/do-not-disrupt"
_STARTUP_WORDS: Final = ("startup", "not-ready", "notready", "uninitialized", "driver-not")
_WAIT: Final = re.compile(r"([0-9]{1,9}[smh]){1,8}|Never")
"""As the CRD has it: whole numbers of hours, minutes and seconds."""
_READINESS: Final = "readiness.k8s.io/"
_GRACE_DEFAULT: Final = 30.0


@rule(
    "FS201",
    Severity.WARNING,
    on=NODE_POOL,
    what="a GPU pool that moves running replicas to save money",
    fix="set consolidationPolicy: WhenEmpty",
    source="Karpenter, disruption: consolidation; helpers.go (disruption cost)",
)
def consolidates_used_nodes(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """WhenEmptyOrUnderutilized, the default, evicts replicas that serve. Karpenter counts no load
    time and no request in flight: a GPU node costs it as little to drain as one with two CPUs.
    Balanced protects pools of eight nodes, and approves the same move in pools of one or two.
    """
    given = text(part(of.spec, "disruption"), "consolidationPolicy")
    if _is_current(of) and not is_static(of) and given in {None, *_POLICIES[1:]}:
        after = part(of.spec, "disruption").get("consolidateAfter")
        if after == "Never":
            return
        why = "Karpenter evicts replicas that serve, and counts no load time"
        yield Fault(at=_POLICY, why=why, do="set WhenEmpty")


@rule(
    "FS202",
    Severity.WARNING,
    on=NODE_POOL,
    what="consolidateAfter below the lead time",
    fix="set consolidateAfter to the lead time of a node or more",
    source="Karpenter, disruption: consolidateAfter; aws/karpenter-provider-aws#4067, #7414",
)
def released_too_soon(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """A node that goes before it would have come again is paid twice: for its way down and its way
    up. And a node whose image takes longer to pull than consolidateAfter is taken for empty.
    """
    lead = node_lead(of, inputs)
    after = duration_seconds(part(of.spec, "disruption").get("consolidateAfter"))
    if lead is None or after is None or is_static(of) or not _is_current(of):
        return
    seconds, whose = lead
    if after < seconds:
        why = f"a new node takes {format_duration(seconds)} ({whose})"
        yield Fault(at=_AFTER, why=why, do=f"set {format_duration(seconds)} or more")


@rule(
    "FS203",
    Severity.WARNING,
    on=NODE_POOL,
    what="a GPU pool that drops empty nodes at once",
    fix="set consolidateAfter near the break-even: what a restart costs over what idling costs",
    source="Karpenter, disruption: consolidateAfter (default 0s)",
)
def released_at_once(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """0s is the default. Between two rollouts or two jobs every GPU node goes, and comes again
    minutes later with image and weights to load.
    """
    given = part(of.spec, "disruption").get("consolidateAfter")
    if _is_current(of) and not is_static(of) and (given is None or duration_seconds(given) == 0):
        yield Fault(at=_AFTER, why="an empty GPU node goes at once", do="set 5m or more")


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
    quota ends.
    """
    limits = part(of.spec, "limits")
    if not is_gpu_pool(of):
        return
    if not limits:
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
    "FS209",
    Severity.WARNING,
    on=NODE_POOL,
    what="do-not-disrupt on every node of a pool",
    fix="set consolidateAfter or a budget; annotate the nodes or pods that need it",
    source="Karpenter, disruption: node-level controls; aws/karpenter-provider-aws#5125",
)
def template_not_disrupted(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """In the template it holds every node for ever, empty ones too, and a change of it drifts the
    pool: all nodes are replaced.
    """
    annotations = part(template_metadata(of), "annotations")
    if _DO_NOT_DISRUPT in annotations:
        at = ("spec", "template", "metadata", "annotations", _DO_NOT_DISRUPT)
        why = "every node stays for ever, and a change of it replaces all of them"
        yield Fault(at=at, why=why, do="set consolidateAfter or a budget instead")


@rule(
    "FS210",
    Severity.WARNING,
    on=NODE_POOL,
    what="a drain that ends before the pods have",
    fix="set template.spec.terminationGracePeriod above the pods' terminationGracePeriodSeconds",
    source="Karpenter, NodePools: terminationGracePeriod",
)
def drain_too_short(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """When it ends, Karpenter deletes the pods whatever PodDisruptionBudgets and do-not-disrupt
    say, and the kubelet gives them no more time than is left.
    """
    given = template_spec(of).get("terminationGracePeriod")
    seconds = duration_seconds(given)
    if seconds is None or not is_gpu_pool(of):
        return
    longest, whose = inputs.once(longest_grace)
    if seconds < longest:
        why = f"pods are given {format_duration(longest)} to end their answers ({whose})"
        at = ("spec", "template", "spec", "terminationGracePeriod")
        yield Fault(at=at, why=why, do=f"set {format_duration(2 * longest)} or more")


def longest_grace(inputs: Inputs) -> tuple[float, str]:
    """The longest time that GPU pods are given to end, and whose it is."""
    graces = [
        (float(value), one.title)
        for one, pods in inputs.once(gpu_workloads).items()
        for pod in pods
        if isinstance(value := pod.spec.get("terminationGracePeriodSeconds", 30), int)
    ]
    return max(graces, default=(_GRACE_DEFAULT, "the default of pods"))


@rule(
    "FS215",
    Severity.ERROR,
    on=NODE_POOL,
    what="a consolidation that Karpenter does not know",
    fix="WhenEmpty, WhenEmptyOrUnderutilized or (from 1.14) Balanced; a duration or Never",
    source="Karpenter, NodePools: spec.disruption",
)
def unknown_consolidation(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The API server refuses it. `WhenUnderutilized` was the name in v1beta1."""
    disruption = part(of.spec, "disruption")
    given, after = disruption.get("consolidationPolicy"), disruption.get("consolidateAfter")
    if given is not None and given not in _POLICIES and of.version == "v1":
        yield Fault(at=_POLICY, why="no policy of v1", do=f"use one of {', '.join(_POLICIES)}")
    if after is not None and not (isinstance(after, str) and _WAIT.fullmatch(after)):
        yield Fault(at=_AFTER, why="neither a duration nor Never", do="write it as 10m")


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
    "FS216",
    Severity.INFO,
    on=NODE_POOL,
    what="GPU nodes that expire after thirty days",
    fix="set expireAfter: Never, or a time that you plan for",
    source="Karpenter, NodePools: expireAfter (default 720h)",
)
def expires_by_default(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Expiry is forceful: no budget and no do-not-disrupt stops it, and nothing is launched first.
    Nodes that were ordered together leave together, thirty days later.
    """
    if inputs.context.live or _is_auto_mode(of) or not _is_current(of):
        return
    if "expireAfter" not in template_spec(of):
        at = ("spec", "template", "spec", "expireAfter")
        why = "Karpenter takes 720h, and no budget stops expiry"
        yield Fault(at=at, why=why, do="set Never, or a time that you plan for")


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
    if owned or "karpenter.sh/nodepool" in labels or not is_gpu_pool(_as_pool(of)):
        return
    if not any("gpu" in name for name in part(of.spec, "resources", "requests")):
        at = ("spec", "resources", "requests")
        why = "Initialized does not wait for the GPUs"
        yield Fault(at=at, why=why, do='add nvidia.com/gpu: "1"')


def _is_current(of: Object) -> bool:
    """Whether it is a GPU pool of v1: older ones have other fields and defaults."""
    return of.version == "v1" and is_gpu_pool(of)


def _is_auto_mode(of: Object) -> bool:
    """EKS Auto Mode expires nodes after two weeks, and after three at the latest."""
    return text(part(template_spec(of), "nodeClassRef"), "group") == "eks.amazonaws.com"


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
