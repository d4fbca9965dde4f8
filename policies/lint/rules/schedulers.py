"""Second schedulers, and the pods that name one."""

from collections.abc import Iterator, Mapping
from typing import Final

from fleet.documents import listed, part, text
from policies.lint.finding import Fault, Severity
from policies.lint.objects import Inputs, Object
from policies.lint.pods import POD_TYPES, gpu_workloads, pods_in
from policies.lint.rule import rule
from scaler.spelling import nearest

CONFIGURATION: Final = "kubescheduler.config.k8s.io/KubeSchedulerConfiguration"
_DEFAULT: Final = "default-scheduler"


@rule(
    "FS309",
    Severity.ERROR,
    on=CONFIGURATION,
    what="two schedulers that share one lease",
    fix="set leaderElection.resourceName to a name of its own",
    source="Kubernetes, configure multiple schedulers; LeaderElectionConfiguration",
)
def shared_lease(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Leader election is on by default, under the lease kube-system/kube-scheduler. A second
    scheduler that takes the same lease waits for ever, and its pods stay pending.
    """
    election = part(of.value, "leaderElection")
    if election.get("leaderElect") is False or _DEFAULT in _schedulers(of):
        return
    if text(election, "resourceNamespace") not in {None, "", "kube-system"}:
        return
    if text(election, "resourceName") in {None, "", "kube-scheduler"}:
        why = "the cluster's own scheduler holds that lease, and this one waits for ever"
        at = ("leaderElection", "resourceName")
        yield Fault(at=at, why=why, do="set a name of its own, and its namespace")


@rule(
    "FS310",
    Severity.ERROR,
    on=CONFIGURATION,
    what="an API version that kube-scheduler no longer reads",
    fix="write it as kubescheduler.config.k8s.io/v1",
    source="Kubernetes, deprecated API migration guide: kubescheduler.config.k8s.io",
)
def old_configuration(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """v1beta2 ended with Kubernetes 1.28, v1beta3 with 1.29."""
    if of.version != "v1":
        why = "kube-scheduler reads v1 only, from 1.29 on"
        yield Fault(at=("apiVersion",), why=why, do="write kubescheduler.config.k8s.io/v1")


@rule(
    "FS312",
    Severity.INFO,
    on=CONFIGURATION,
    what="a second scheduler that no pod names",
    fix="set schedulerName in the pods that it is for",
    source="Kubernetes, configure multiple schedulers",
)
def scheduler_unused(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Pods go to the scheduler that they name, by default to the cluster's own. Told only where
    there are pods with GPUs among the inputs.
    """
    named = inputs.once(named_by_gpu_pods)
    for index, name in enumerate(_schedulers(of)):
        if named and name not in named:
            why = "no GPU pod here names it"
            at = ("profiles", index, "schedulerName")
            yield Fault(at=at, why=why, do="set schedulerName in the pods that it is for")


@rule(
    "FS313",
    Severity.WARNING,
    on=POD_TYPES,
    what="a pod that names a scheduler which is not there",
    fix="correct schedulerName",
    source="Kubernetes, configure multiple schedulers",
)
def scheduler_unknown(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """It stays pending, without any event. Told where the name is near to one that a
    KubeSchedulerConfiguration among the inputs has.
    """
    known = inputs.once(configured)
    for pod in pods_in(of):
        name = text(pod.spec, "schedulerName")
        if name is None or name in known | {_DEFAULT}:
            continue
        near = nearest(name, known)
        if near is not None:
            why = "no scheduler here has that name, and the pod stays pending"
            at = (*pod.at, "spec", "schedulerName")
            yield Fault(at=at, why=why, do=f"did you mean {near!r}?")


@rule(
    "FS314",
    Severity.ERROR,
    on=POD_TYPES,
    what="claims that two schedulers allocate",
    fix="give all pods with resourceClaims one schedulerName",
    source="Kubernetes, dynamic resource allocation; KEP-4381 (in-flight allocations)",
)
def two_allocators(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Each scheduler keeps in its own memory which devices it has just given out. Two of them give
    out the same GPU.
    """
    for pod in pods_in(of):
        name = text(pod.spec, "schedulerName") or _DEFAULT
        allocators = inputs.once(allocators_of_claims)
        other = next((one for one in allocators if one != name), None)
        if pod.has_claims and name != _DEFAULT and other is not None:
            why = f"{allocators[other]} has claims too, and goes through {other}"
            at = (*pod.at, "spec", "schedulerName")
            yield Fault(at=at, why=why, do="give all of them one schedulerName")


def named_by_gpu_pods(inputs: Inputs) -> frozenset[str]:
    """Schedulers that pods with GPUs name."""
    pods = (pod for pods in inputs.once(gpu_workloads).values() for pod in pods)
    return frozenset(text(pod.spec, "schedulerName") or _DEFAULT for pod in pods)


def configured(inputs: Inputs) -> frozenset[str]:
    """Schedulers that the inputs configure."""
    return frozenset(name for one in inputs.of(CONFIGURATION) for name in _schedulers(one))


def allocators_of_claims(inputs: Inputs) -> Mapping[str, str]:
    """Each scheduler of pods with claims, and one workload of such pods."""
    found: dict[str, str] = {}
    for one, pods in inputs.once(gpu_workloads).items():
        for pod in pods:
            if pod.has_claims:
                found.setdefault(text(pod.spec, "schedulerName") or _DEFAULT, one.title)
    return found


def _schedulers(of: Object) -> list[str]:
    """The names of its profiles; without any it is the default scheduler."""
    names = [text(one, "schedulerName") or _DEFAULT for one in listed(of.value, "profiles")]
    return names or [_DEFAULT]
