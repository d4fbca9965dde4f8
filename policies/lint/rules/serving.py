"""Pods that serve models: when they count as ready, and how they end."""

from collections.abc import Iterator
from typing import Final

from fleet.annotations import DO_NOT_DISRUPT
from fleet.catalogue import shipped as catalogue
from fleet.cluster.fields import go_duration_seconds, taint, tolerations
from fleet.documents import Json, listed, part
from fleet.quantities import quantity
from policies.lint.finding import Fault, Severity
from policies.lint.nodepools import gpu_pools, template_spec
from policies.lint.objects import Inputs, Object
from policies.lint.pods import POD_TYPES, SERVING_TYPES, Pod, gpu_resources, pods_in
from policies.lint.rule import rule
from policies.lint.scaled import scaler_of
from scheduler.need_annotations import NeedError, annotated, misspelt

_GRACE_DEFAULT: Final = 30
_GRACE_MIN: Final = 60
_LOAD_SECONDS: Final = 120
"""Few models of several billion parameters load in less."""
_POOLS_MAX: Final = 200


@rule(
    "FS521",
    Severity.WARNING,
    on=SERVING_TYPES,
    what="a model server without a readiness probe",
    fix="add a readinessProbe on the engine's health page",
    source="Kubernetes, liveness, readiness and startup probes; vLLM, deployment on Kubernetes",
)
def no_readiness(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Without one a pod is ready when its process runs: it gets requests minutes before the weights
    are loaded, and whoever counts ready replicas counts it.
    """
    for pod in pods_in(of):
        engine = pod.engine
        if engine is not None and _is_leader(pod) and "readinessProbe" not in engine[1]:
            why = "it counts as ready, and gets requests, before its weights are loaded"
            do = "add one on the engine's health page (vLLM: /health)"
            yield Fault(at=(*engine[0], "readinessProbe"), why=why, do=do)


@rule(
    "FS522",
    Severity.WARNING,
    on=SERVING_TYPES,
    what="a liveness probe that kills a server while it loads",
    fix="add a startupProbe that waits for the slowest load",
    source="Kubernetes, liveness, readiness and startup probes: startup probes",
)
def killed_while_loading(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Without a startupProbe the liveness probe counts from initialDelaySeconds on. A load that
    takes longer than its failures is killed, and begins again for ever.
    """
    for pod in pods_in(of):
        engine = pod.engine
        if engine is None or "livenessProbe" not in engine[1] or "startupProbe" in engine[1]:
            continue
        probe = part(engine[1], "livenessProbe")
        seconds = _number(probe, "initialDelaySeconds", 0) + _number(
            probe, "periodSeconds", 10
        ) * _number(probe, "failureThreshold", 3)
        if seconds < _LOAD_SECONDS:
            why = f"it ends the container {seconds} s after its start, loaded or not"
            do = "add a startupProbe with failureThreshold × periodSeconds above the slowest load"
            yield Fault(at=(*engine[0], "livenessProbe"), why=why, do=do)


@rule(
    "FS523",
    Severity.WARNING,
    on=SERVING_TYPES,
    what="answers that are cut when a replica goes",
    fix="set terminationGracePeriodSeconds above the longest answer",
    source="Kubernetes, pod lifecycle: termination of Pods",
)
def answers_cut(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """A replica that is scaled down has 30 s by default; long answers stream for minutes. Told of
    workloads that a ScaledObject or an HPA scales.
    """
    if scaler_of(of, inputs) is None:
        return
    for pod in pods_in(of):
        grace = _number(pod.spec, "terminationGracePeriodSeconds", _GRACE_DEFAULT)
        if pod.engine is not None and grace < _GRACE_MIN:
            at = (*pod.at, "spec", "terminationGracePeriodSeconds")
            why = f"each scale-down cuts answers that take longer than {grace} s"
            yield Fault(at=at, why=why, do="set it above the longest answer, 60 or more")


@rule(
    "FS524",
    Severity.ERROR,
    on=POD_TYPES,
    what="GPUs under requests that differ from limits",
    fix="write the same whole number under limits and requests",
    source="Kubernetes, schedule GPUs; extended resources",
)
def gpu_amounts(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The API server refuses a GPU under requests without the same number under limits, and parts
    of one.
    """
    for pod in pods_in(of):
        for at, container in pod.containers:
            resources = part(container, "resources")
            limits, requests = part(resources, "limits"), part(resources, "requests")
            for name in gpu_resources(container):
                asked, limit = requests.get(name), limits.get(name)
                where = (*at, "resources", "limits", name)
                if limit is None:
                    why = "a GPU under requests needs the same number under limits"
                    yield Fault(at=where, why=why, do=f"set {asked}")
                elif not _is_whole(limit):
                    why = "the API server takes whole GPUs only"
                    do = "use whole GPUs, MIG, or time-slicing"
                    yield Fault(at=where, why=why, do=do)
                elif asked is not None and str(asked) != str(limit):
                    why = f"under requests it is {asked}"
                    yield Fault(at=where, why=why, do="write the same number twice")


@rule(
    "FS525",
    Severity.WARNING,
    on=(*POD_TYPES, "Node"),
    what="a do-not-disrupt that Karpenter does not read",
    fix='write "true", or on pods a duration such as "15m"',
    source="Karpenter, disruption: pod-level and node-level controls (1.12)",
)
def do_not_disrupt_unread(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """On pods it is "true" or, from 1.12 on, a duration from the pod's start; on nodes only "true".
    Anything else is ignored.
    """
    why = "Karpenter ignores it"
    if of.type == "Node":
        if of.annotations.get(DO_NOT_DISRUPT, "true") != "true":
            on_node = ("metadata", "annotations", DO_NOT_DISRUPT)
            yield Fault(at=on_node, why=why, do='write "true", or delete it')
        return
    for pod in pods_in(of):
        value = pod.annotations.get(DO_NOT_DISRUPT)
        if value not in (None, "true", "false") and not go_duration_seconds(value):
            at = (*pod.at, "metadata", "annotations", DO_NOT_DISRUPT)
            yield Fault(at=at, why=why, do='write "true" or a duration such as "15m", quoted')


@rule(
    "FS526",
    Severity.INFO,
    on=SERVING_TYPES,
    what="do-not-disrupt for ever on a workload that always runs",
    fix='write the time that a start takes, such as "15m"',
    source="Karpenter, disruption: pod-level controls; aws/karpenter-provider-aws#5125",
)
def do_not_disrupt_for_ever(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """A node with one such pod is never consolidated and never drifted, so that one replica keeps
    eight GPUs. From Karpenter 1.12 on a duration protects the start only.
    """
    for pod in pods_in(of):
        if pod.has_gpus and pod.annotations.get(DO_NOT_DISRUPT) == "true":
            at = (*pod.at, "metadata", "annotations", DO_NOT_DISRUPT)
            why = "one replica keeps its whole node for as long as it runs"
            yield Fault(at=at, why=why, do='write the time of a start, such as "15m"')


@rule(
    "FS527",
    Severity.WARNING,
    on=POD_TYPES,
    what="GPU pods that tolerate no GPU pool",
    fix="add a toleration for the pool's taint",
    source="Kubernetes, taints and tolerations; ExtendedResourceToleration",
)
def tolerates_no_pool(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Every GPU pool among the inputs has a taint that these pods do not tolerate: they stay
    pending, and no node is ordered. Taints named after the resource are left out, for an admission
    plugin may add that toleration.
    """
    pools = inputs.once(gpu_pools)
    for pod in pods_in(of):
        asked = {name for _, one in pod.containers for name in gpu_resources(one)}
        if not asked or not 0 < len(pools) <= _POOLS_MAX:
            continue
        refused = [_refused(pod, pool, asked) for pool in pools]
        if all(refused):
            why = f"no GPU pool here takes them: {pools[0].title} has the taint {refused[0]}"
            at = (*pod.at, "spec", "tolerations")
            yield Fault(at=at, why=why, do=f"add a toleration for {refused[0]}")


@rule(
    "FS528",
    Severity.ERROR,
    on=POD_TYPES,
    what="annotations of a need that the webhook refuses",
    fix="correct the annotation as the message says",
    source="docs/claims.md",
)
def need_refused(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """`foresail webhook` denies the pod: its Deployment has no replicas, and only the ReplicaSet's
    events say why. The rule is the parser that the webhook uses.
    """
    for pod in pods_in(of):
        at = (*pod.at, "metadata", "annotations")
        faults = misspelt(pod.annotations)
        try:
            annotated(pod.annotations, catalogue())
        except NeedError as error:
            faults += str(error).splitlines()
        for fault in faults:
            key = next((one for one in pod.annotations if f"{one} " in f"{fault} "), "")
            yield Fault(at=(*at, key) if key else at, why=fault, do="see docs/claims.md")


def _refused(pod: Pod, pool: Object, asked: set[str]) -> str | None:
    """The taint of a pool that the pod does not tolerate."""
    tolerated = tolerations({"tolerations": [*listed(pod.spec, "tolerations")]})
    for one in map(taint, listed(template_spec(pool), "taints")):
        if one.repels and one.key not in asked and not any(each.covers(one) for each in tolerated):
            return f"{one.key}:{one.effect}"
    return None


def _is_leader(pod: Pod) -> bool:
    """Workers of a LeaderWorkerSet serve nobody by themselves."""
    return pod.at[-1:] != ("workerTemplate",)


def _number(of: Json, name: str, default: int) -> int:
    value = of.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _is_whole(amount: object) -> bool:
    try:
        return quantity(amount).denominator == 1
    except ValueError:
        return True  # a template's placeholder, or another rule's concern
