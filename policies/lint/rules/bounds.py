"""What a ScaledObject scales, and within which bounds."""

from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from itertools import islice
from typing import Final

from fleet.documents import part, text
from policies.lint.finding import Fault, Severity
from policies.lint.objects import ABSENT, Inputs, Object
from policies.lint.pods import POD_TYPES
from policies.lint.rule import rule
from policies.lint.scaled import (
    HPA,
    PAUSED_SCALE_IN,
    SCALED_JOB,
    SCALED_OBJECT,
    advised_by_poll,
    bounds,
    foresail_triggers,
    is_given,
    made_by_keda,
    scalers_by_target,
    target,
    target_has_gpus,
)
from scaler.spelling import nearest

_TARGET: Final = ("spec", "scaleTargetRef", "name")
_WITHOUT_SCALE: Final = frozenset({"DaemonSet", "Job", "CronJob", "Pod", "NodePool", "ScaledJob"})
_NAME_MAX: Final = 63
_ALIKE: Final = 0.85
"""Of two names, one of which is a slip: `qwen-32b` and `qwen3-32b`."""
_NAMES_MAX: Final = 200
"""That a missing name is compared with."""
_FALSE: Final = frozenset({"0", "f", "F", "false", "False", "FALSE"})
"""As Go reads it; KEDA takes everything else for true."""
_TRANSFER: Final = "scaledobject.keda.sh/transfer-hpa-ownership"


@rule(
    "FS101",
    Severity.ERROR,
    on=(SCALED_OBJECT, HPA),
    what="least above most replicas",
    fix="swap or correct the two bounds",
    source="KEDA, ScaledObject specification; CheckReplicaCountBoundsAreValid",
)
def bounds_crossed(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """KEDA's webhook refuses such a ScaledObject, the API server such an HPA: nothing scales."""
    least, most = bounds(of)
    if least > most:
        name = "minReplicas" if of.type == HPA else "minReplicaCount"
        other = name.replace("min", "max")
        yield Fault(
            at=("spec", name),
            why=f"above {other}, which is {most}",
            do=f"lower {name} or raise {other}",
        )


@rule(
    "FS102",
    Severity.ERROR,
    on=SCALED_OBJECT,
    what="idleReplicaCount that cannot be reached",
    fix="set idleReplicaCount: 0 with minReplicaCount of 1 or more, or leave it out",
    source="KEDA, ScaledObject specification: idleReplicaCount; kedacore/keda#2314",
)
def idle_replicas(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The HPA raises whatever is above 0 to minReplicaCount, so 0 is the only count that holds;
    and KEDA refuses one that is not below minReplicaCount.
    """
    idle, least = of.spec.get("idleReplicaCount"), bounds(of)[0]
    if not isinstance(idle, int):
        return
    if idle != 0:
        why = "the HPA raises it to minReplicaCount; only 0 holds"
        yield Fault(at=("spec", "idleReplicaCount"), why=why, do="set 0, or leave it out")
    elif least == 0:
        why = "not below minReplicaCount, which is 0: KEDA refuses that"
        do = "set minReplicaCount to 1 or more, or leave idleReplicaCount out"
        yield Fault(at=("spec", "idleReplicaCount"), why=why, do=do)


@rule(
    "FS103",
    Severity.INFO,
    on=SCALED_OBJECT,
    what="no maxReplicaCount on a workload with GPUs",
    fix="set maxReplicaCount to what you would pay for",
    source="KEDA, ScaledObject specification: maxReplicaCount",
)
def most_replicas_left_out(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """KEDA then takes 100, and 100 replicas with GPUs are rarely meant."""
    if is_given(of, "spec", "maxReplicaCount"):
        return
    if foresail_triggers(of) or target_has_gpus(of, inputs):
        yield Fault(
            at=("spec", "maxReplicaCount"),
            why="KEDA takes 100",
            do="set the number of replicas that you would pay for",
        )


@rule(
    "FS104",
    Severity.ERROR,
    on=(SCALED_OBJECT, HPA),
    what="two autoscalers on one workload",
    fix="keep one, and give it all triggers",
    source="KEDA, admission webhooks; Kubernetes, HorizontalPodAutoscaler (AmbiguousSelector)",
)
def two_scalers(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Each sets its own number again and again. KEDA's webhook refuses the second one where it is
    installed; where it is not, the replicas swing.
    """
    if not target(of)[2] or made_by_keda(of):
        return
    for other in inputs.once(scalers_by_target)[target(of)]:
        if other is of:
            continue
        if (other.type, other.name) == (of.type, of.name) or _hands_over(of, other):
            continue
        why = f"{other.title} scales it too"
        yield Fault(at=_TARGET, why=why, do="delete one of the two")
        return


@rule(
    "FS105",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="a target that is not there",
    fix="correct scaleTargetRef (kind, apiVersion, name, and the namespace of the ScaledObject)",
    source="KEDA, ScaledObject specification: scaleTargetRef",
)
def target_missing(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """A ScaledObject scales only within its own namespace, and is not Ready without its target.

    Of files it is only told where they hold another workload of that kind and namespace with a
    name that is near; of a live cluster wherever workloads of that kind could be listed.
    """
    kind, scope, name = target(of)
    if not name or kind not in POD_TYPES or inputs.find(kind, scope, name):
        return
    names = inputs.once(workload_names).get((kind, scope), ())
    near = nearest(name, islice(names, _NAMES_MAX))
    if near is not None and SequenceMatcher(None, near, name).ratio() < _ALIKE:
        near = None
    scaled = inputs.once(scalers_by_target)
    complete = kind in inputs.context.complete
    if complete or (near is not None and (kind, scope, near) not in scaled):
        hint = f"did you mean {near!r}?" if near else "correct the name, or create it"
        where = f"namespace {scope}" if complete else "these files"
        why = f"there is no such {kind.rpartition('/')[2]} in {where}"
        yield Fault(at=_TARGET, why=why, do=hint)


def workload_names(inputs: Inputs) -> Mapping[tuple[str, str], list[str]]:
    """Names of workloads by type and scope."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in inputs.of(*POD_TYPES):
        found.setdefault((one.type, one.scope), []).append(one.name)
    return found


@rule(
    "FS106",
    Severity.INFO,
    on=SCALED_OBJECT,
    what="replicas in the manifest of a scaled workload",
    fix="leave spec.replicas out of the manifest",
    source="Kubernetes, HorizontalPodAutoscaler: migrating Deployments and StatefulSets",
)
def replicas_in_manifest(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Each apply sets that number again, whatever the autoscaler had decided: with Argo CD or Flux
    that is every sync.
    """
    found = None if inputs.context.live else inputs.find(*target(of))
    if found is not None and found.at(("spec", "replicas")) is not ABSENT:
        replicas = found.at(("spec", "replicas"))
        why = f"{found.title} has spec.replicas: {replicas}, which every apply sets again"
        yield Fault(at=_TARGET, why=why, do="leave spec.replicas out of that manifest")


@rule(
    "FS107",
    Severity.ERROR,
    on=SCALED_OBJECT,
    what="a target without the scale subresource",
    fix="scale a Deployment, a StatefulSet, or a custom resource with /scale",
    source="KEDA, ScaledObject specification: scaleTargetRef",
)
def target_cannot_scale(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """KEDA and the HPA write to /scale of a namespaced object; these kinds have none."""
    kind = target(of)[0].rpartition("/")[2]
    if kind in _WITHOUT_SCALE:
        why = "KEDA cannot scale this kind"
        do = "name a Deployment or StatefulSet; jobs take a ScaledJob"
        yield Fault(at=("spec", "scaleTargetRef", "kind"), why=why, do=do)


@rule(
    "FS108",
    Severity.ERROR,
    on=SCALED_JOB,
    what="a Foresail trigger in a ScaledJob",
    fix="use a ScaledObject on a Deployment",
    source="KEDA, scale_handler.go (push scalers of ScaledJobs); ScaledJob specification",
)
def scaled_job(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Foresail answers with replicas that serve for long. A ScaledJob would start that many new
    jobs at each poll; KEDA ignores the push of `external-push` there, and has no fallback.
    """
    for trigger in foresail_triggers(of):
        yield Fault(
            at=(*trigger.at, "type"),
            why="its value is a number of replicas, and a ScaledJob starts as many jobs",
            do="scale a Deployment with a ScaledObject",
        )


@rule(
    "FS109",
    Severity.ERROR,
    on=SCALED_OBJECT,
    what="a name that is too long for its HPA",
    fix="at most 54 characters, or a shorter horizontalPodAutoscalerConfig.name",
    source="KEDA, scaledobject_webhook.go (verifyName); kedacore/keda#6998 (2.20)",
)
def name_too_long(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """KEDA writes the name into a label of the HPA and calls the HPA keda-hpa-NAME; both take 63
    characters, and its webhook refuses more.
    """
    config = part(of.spec, "advanced", "horizontalPodAutoscalerConfig")
    hpa = text(config, "name") or f"keda-hpa-{of.name}"
    if max(len(of.name), len(hpa)) > _NAME_MAX:
        why = f"{len(of.name)} characters, {len(hpa)} of its HPA, and KEDA takes {_NAME_MAX}"
        yield Fault(at=("metadata", "name"), why=why, do="shorten it, or name the HPA yourself")


@rule(
    "FS110",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="a pause that was left behind",
    fix="delete the annotation when the maintenance is over",
    source="KEDA, pausing autoscaling; scaledobject_types.go",
)
def paused(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """`paused` and `paused-replicas` delete the HPA and stop polling: nothing scales until the
    annotation is gone. `paused: "false"` with `paused-replicas` beside it is a pause too. The
    `paused-scale-in` that FS156 asks for is left out.
    """
    for name in ("paused", "paused-replicas", "paused-scale-in", "paused-scale-out"):
        key = f"autoscaling.keda.sh/{name}"
        value = of.annotations.get(key)
        if key == PAUSED_SCALE_IN and advised_by_poll(of):
            continue
        if value is not None and (name == "paused-replicas" or str(value) not in _FALSE):
            yield Fault(
                at=("metadata", "annotations", key),
                why="KEDA does not scale in this direction"
                if "scale-" in name
                else "the HPA is deleted and nothing scales",
                do="delete the annotation when the pause is over",
            )


@rule(
    "FS126",
    Severity.ERROR,
    on=("keda.k8s.io/ScaledObject", "keda.k8s.io/ScaledJob", "keda.k8s.io/TriggerAuthentication"),
    what="an API group of KEDA 1",
    fix="write it as keda.sh/v1alpha1, with scaleTargetRef.name",
    source="KEDA, migrating from v1 to v2",
)
def old_group(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """KEDA 2 reads keda.sh/v1alpha1 only: an object of the old group scales nothing."""
    why = "KEDA 2 reads keda.sh/v1alpha1 only"
    yield Fault(at=("apiVersion",), why=why, do="migrate it to keda.sh/v1alpha1")


def _hands_over(of: Object, other: Object) -> bool:
    """Whether one is a ScaledObject that takes the other, an HPA, over."""
    for one, hpa in ((of, other), (other, of)):
        if one.type != SCALED_OBJECT or hpa.type != HPA:
            continue
        config = part(one.spec, "advanced", "horizontalPodAutoscalerConfig")
        adopted = text(config, "name") or f"keda-hpa-{one.name}"
        if one.annotations.get(_TRANSFER) == "true" and adopted == hpa.name:
            return True
    return False
