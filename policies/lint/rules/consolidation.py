"""When nodes of a pool come and go."""

import re
from collections.abc import Iterator
from typing import Final

from fleet.annotations import DO_NOT_DISRUPT
from fleet.cluster.fields import go_duration_seconds
from fleet.documents import part, text
from policies.lint.finding import Fault, Severity
from policies.lint.nodepools import (
    NODE_POOL,
    is_gpu_pool,
    is_static,
    node_lead,
    template_metadata,
    template_spec,
)
from policies.lint.objects import Inputs, Object
from policies.lint.pods import gpu_workloads
from policies.lint.rule import rule
from scaler.durations import format_duration

_AFTER: Final = ("spec", "disruption", "consolidateAfter")
_POLICY: Final = ("spec", "disruption", "consolidationPolicy")
_POLICIES: Final = ("WhenEmpty", "WhenEmptyOrUnderutilized", "Balanced")
_WAIT: Final = re.compile(r"([0-9]{1,9}[smh]){1,8}|Never")
"""As the CRD has it: whole numbers of hours, minutes and seconds."""
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
    after = go_duration_seconds(part(of.spec, "disruption").get("consolidateAfter"))
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
    if _is_current(of) and not is_static(of) and (given is None or go_duration_seconds(given) == 0):
        yield Fault(at=_AFTER, why="an empty GPU node goes at once", do="set 5m or more")


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
    if DO_NOT_DISRUPT in annotations:
        at = ("spec", "template", "metadata", "annotations", DO_NOT_DISRUPT)
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
    seconds = go_duration_seconds(given)
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


def _is_current(of: Object) -> bool:
    """Whether it is a GPU pool of v1: older ones have other fields and defaults."""
    return of.version == "v1" and is_gpu_pool(of)


def _is_auto_mode(of: Object) -> bool:
    """EKS Auto Mode expires nodes after two weeks, and after three at the latest."""
    return text(part(template_spec(of), "nodeClassRef"), "group") == "eks.amazonaws.com"
