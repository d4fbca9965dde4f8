"""The triggers of a ScaledObject: what is asked, and where."""

from collections.abc import Iterator
from typing import Final

from fleet.documents import text
from policies.lint.finding import Fault, Severity
from policies.lint.objects import Inputs, Object
from policies.lint.rule import rule
from policies.lint.scaled import (
    BESIDE_METADATA,
    SCALED_JOB,
    SCALED_OBJECT,
    foresail_triggers,
    to_zero,
    triggers_of,
)

_BESIDE_ALL: Final = ("metricType", "useCachedMetrics")


@rule(
    "FS111",
    Severity.ERROR,
    on=SCALED_OBJECT,
    what="a metricType that makes Foresail's answer inexact",
    fix="leave metricType out: AverageValue is the default",
    source="KEDA, scaler.go (GetMetricTargetType); Kubernetes, replica_calculator.go",
)
def metric_type(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """With `Value` the HPA multiplies by the pods that are ready: while replicas load weights it
    asks for too few, with none ready for 0. `Utilization` is an error of every external trigger.
    """
    for trigger in triggers_of(of):
        given = text(trigger.value, "metricType")
        if given == "Utilization" and trigger.is_external:
            why = "KEDA refuses it for an external trigger"
        elif given == "Value" and trigger.is_foresail:
            why = "the HPA multiplies it by the ready pods, which are too few while replicas load"
        else:
            continue
        do = "leave it out: AverageValue is the default"
        yield Fault(at=(*trigger.at, "metricType"), why=why, do=do)


@rule(
    "FS112",
    Severity.WARNING,
    on=(SCALED_OBJECT, SCALED_JOB),
    what="a field of the trigger inside its metadata",
    fix="move it one level up, beside metadata",
    source="kedacore/keda#5472",
)
def field_inside_metadata(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """KEDA reads these fields beside `metadata`. Inside it an external scaler gets them as text,
    and have no effect.
    """
    for trigger in triggers_of(of):
        for name in BESIDE_METADATA if trigger.is_external else _BESIDE_ALL:
            if name in trigger.metadata and name not in trigger.value:
                why = "KEDA reads it beside metadata, not inside it"
                do = f"move {name} one level up"
                yield Fault(at=(*trigger.at, "metadata", name), why=why, do=do)


@rule(
    "FS113",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="cached metrics in front of Foresail",
    fix="leave useCachedMetrics out",
    source="KEDA, ScaledObject specification: useCachedMetrics; scale_handler.go",
)
def cached_metrics(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The HPA then gets what the last poll read, up to pollingInterval old. Foresail answers from
    memory: the cache saves nothing, and hides how old an answer is.
    """
    for trigger in foresail_triggers(of):
        if trigger.value.get("useCachedMetrics") is True:
            why = "the HPA gets answers that are up to one pollingInterval old"
            yield Fault(at=(*trigger.at, "useCachedMetrics"), why=why, do="leave it out")


@rule(
    "FS115",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="other triggers beside Foresail",
    fix="leave Foresail as the only trigger; its own reactive part is the fallback",
    source="kedacore/keda#5914, #8168",
)
def other_triggers(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """While one trigger's scaler fails, the HPA gets errors for every metric of the ScaledObject
    and removes nothing. A plan that is never below the present needs no second trigger.
    """
    ours, every = foresail_triggers(of), list(triggers_of(of))
    if ours and len(every) > 1 and all(one.mode != "advise" for one in ours):
        why = "an error of one trigger takes the HPA's answers of all"
        yield Fault(at=("spec", "triggers"), why=why, do="leave Foresail as the only trigger")


@rule(
    "FS119",
    Severity.INFO,
    on=SCALED_OBJECT,
    what="a trigger that cannot wake the workload between two polls",
    fix="use type: external-push",
    source="KEDA, external-push scaler",
)
def poll_only(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """From 0 replicas a trigger of type `external` wakes the workload at the next poll; with
    `external-push` Foresail tells KEDA at once.
    """
    for trigger in to_zero(of):
        if trigger.type == "external":
            why = "a wake from 0 waits for the next poll"
            yield Fault(at=(*trigger.at, "type"), why=why, do="use external-push")


@rule(
    "FS124",
    Severity.ERROR,
    on=(SCALED_OBJECT, SCALED_JOB),
    what="an external trigger without an address",
    fix="set metadata.scalerAddress: host:port",
    source="KEDA, external scaler: scalerAddress",
)
def no_address(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """KEDA dials scalerAddress as it is written: a host and a port, without http://."""
    for trigger in triggers_of(of):
        if not trigger.is_external:
            continue
        given = text(trigger.metadata, "scalerAddress")
        at = (*trigger.at, "metadata", "scalerAddress")
        if given is None and "scalerAddressFromEnv" not in trigger.metadata:
            yield Fault(at=at, why="KEDA has nothing to dial", do="set host:port")
        elif given is not None and ("://" in given.partition("dns:")[0] or ":" not in given):
            why = "KEDA takes host:port, without a scheme"
            yield Fault(at=at, why=why, do="write it as foresail.foresail.svc:6500")


@rule(
    "FS125",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="a scaler behind a Service with one address",
    fix="make the Service headless: clusterIP: None",
    source="KEDA, external_scaler.go (round_robin over the dns resolver)",
)
def one_address(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """KEDA keeps one connection an address. Behind a ClusterIP all its calls go to one replica of
    the scaler, and when that one goes they fail until the next dial.
    """
    for trigger in foresail_triggers(of):
        host = (text(trigger.metadata, "scalerAddress") or "").partition(":")[0].split(".")
        name, namespace = host[0], host[1] if len(host) > 1 else of.scope
        service = inputs.find("Service", namespace, name)
        if service is not None and text(service.spec, "clusterIP") != "None":
            why = f"{service.title} is not headless, so one replica of Foresail gets every call"
            do = "set clusterIP: None on that Service"
            yield Fault(at=(*trigger.at, "metadata", "scalerAddress"), why=why, do=do)
