"""The triggers of a ScaledObject: what is asked, and how its answers are read."""

import re
from collections.abc import Iterator
from typing import Final

from fleet.documents import part, text
from policies.lint.finding import Fault, Severity
from policies.lint.objects import Inputs, Object
from policies.lint.rule import rule
from policies.lint.scaled import (
    SCALED_JOB,
    SCALED_OBJECT,
    Trigger,
    bounds,
    foresail_triggers,
    target_has_gpus,
    triggers_of,
)
from scaler.errors import MetadataError
from scaler.trigger import AllowedOptions, parse

_BESIDE: Final = ("metricType", "useCachedMetrics", "name", "authenticationRef")
_BESIDE_ALL: Final = ("metricType", "useCachedMetrics")
_KEY: Final = re.compile(r"keys? '([^']+)'")
_AVERAGED: Final = re.compile(r"\s*\(*\s*(avg|max|quantile|histogram_quantile)(?![a-z_])")
_ENGINE_METRIC: Final = re.compile(r"\b(vllm|sglang|tgi|lmdeploy|nv_inference|trtllm)[:_]")
_LLM_METRIC: Final = re.compile(r"\b(vllm:|sglang:|tgi_|llm_d_|inference_|nv_inference_|DCGM_FI_)")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BUILT_IN: Final = frozenset(
    {
        "abs", "all", "any", "ceil", "count", "filter", "float", "floor", "int", "len", "map",
        "max", "mean", "median", "min", "none", "one", "reduce", "round", "sum", "true", "false",
        "nil", "and", "or", "not", "in", "let", "if", "else",
    }
)  # fmt: skip
"""Names of the language `expr` that a formula may use besides triggers."""
_MODIFIERS: Final = ("spec", "advanced", "scalingModifiers")
_FAULTS_MAX: Final = 10


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
        for name in _BESIDE if trigger.is_external else _BESIDE_ALL:
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
    "FS114",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="an averaged metric compared with AverageValue",
    fix="set metricType: Value, or ask for the sum over the replicas",
    source="Kubernetes, HorizontalPodAutoscaler algorithm details (AverageValue)",
)
def averaged_metric(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """AverageValue, the default, divides by the number of replicas. A metric that is a mean or a
    maximum already, such as the use of the KV cache, is then divided twice: with a threshold of
    0.8 it never asks for more than two replicas, whatever runs.
    """
    if text(part(of.spec, "advanced", "scalingModifiers"), "formula"):
        return
    for trigger in triggers_of(of):
        query = text(trigger.metadata, "query") or ""
        if trigger.type != "prometheus" or text(trigger.value, "metricType") == "Value":
            continue
        if _AVERAGED.match(query) and _LLM_METRIC.search(query):
            yield Fault(
                at=(*trigger.at, "metadata", "query"),
                why="a mean or maximum over pods, divided by the replicas once more",
                do="set metricType: Value beside metadata, or take the sum over pods",
            )


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
    "FS116",
    Severity.ERROR,
    on=SCALED_OBJECT,
    what="otherTriggers that does not fit the triggers",
    fix='set otherTriggers: "true" exactly where the ScaledObject has other triggers',
    source="docs/metadata.md, modes",
)
def advise_beside_others(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """In mode advise the answer that changes no replica is another one beside other triggers than
    alone, and KEDA does not say which it is. The wrong one keeps replicas from leaving, or takes a
    workload to its minimum.
    """
    ours, every = foresail_triggers(of), list(triggers_of(of))
    for trigger in ours:
        stated = text(trigger.metadata, "otherTriggers") == "true"
        at = (*trigger.at, "metadata", "otherTriggers")
        if trigger.mode == "advise" and len(every) > 1 and not stated:
            why = "there are other triggers, and the HPA removes no replica while Foresail advises"
            yield Fault(at=at, why=why, do='set "true"')
        elif trigger.mode == "advise" and len(every) == 1 and stated:
            why = "Foresail is the only trigger, and the workload goes to its minimum"
            yield Fault(at=at, why=why, do="leave it out")


@rule(
    "FS117",
    Severity.ERROR,
    on=SCALED_OBJECT,
    what="trigger metadata that Foresail refuses",
    fix="correct the key or value as the message says",
    source="docs/metadata.md",
)
def metadata_refused(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Foresail then answers KEDA with an error in place of a number, and replicas stay as they are
    or go to the fallback. The rule is the parser that `foresail serve` uses; the names of sources
    and addresses are those of your settings and are not checked here.
    """
    for trigger in foresail_triggers(of):
        metadata = {
            key: str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in trigger.metadata.items()
            if key not in _BESIDE  # FS112 tells
        }
        source, address = metadata.get("source"), metadata.get("serverAddress")
        allowed = AllowedOptions(
            engines=inputs.context.engines,
            sources=frozenset({source} if source else ()),
            default_source="settings",
            address_prefixes=(address,) if address else (),
            replicas_max=2**31,
        )
        try:
            parse(metadata, allowed)
        except MetadataError as error:
            for fault in str(error).split("; key")[:_FAULTS_MAX]:
                why = fault if fault.startswith("key") else f"key{fault}"
                named = _KEY.search(why)
                key = named[1] if named else ""
                at = (*trigger.at, "metadata", key) if key else (*trigger.at, "metadata")
                yield Fault(at=at, why=why, do="see docs/metadata.md")


@rule(
    "FS118",
    Severity.ERROR,
    on=SCALED_OBJECT,
    what="bounds that differ between the ScaledObject and Foresail's metadata",
    fix="repeat minReplicaCount and maxReplicaCount as minReplicas and maxReplicas",
    source="KEDA, externalscaler.proto (ScaledObjectRef); docs/metadata.md",
)
def bounds_repeated(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """KEDA does not send the bounds to a scaler. Foresail plans within its own: too high a maximum
    hides that replicas are missing, and a minimum of 1 where KEDA has 0 keeps the last replica.
    """
    least, most = bounds(of)
    for trigger in foresail_triggers(of):
        for name, count, default in (("minReplicas", least, 1), ("maxReplicas", most, None)):
            given = trigger.metadata.get(name)
            meant = _whole(given) if given is not None else default
            if meant == count or (given is not None and meant is None):
                continue
            spec_name = f"{name[:-1]}Count"
            why = f"{spec_name} is {count}, and KEDA does not send it"
            if given is None and default is not None:
                why += f"; Foresail takes {default}"
            do = f'set {name}: "{count}"'
            yield Fault(at=(*trigger.at, "metadata", name), why=why, do=do)


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
    for trigger in foresail_triggers(of):
        if trigger.type == "external" and bounds(of)[0] == 0:
            why = "a wake from 0 waits for the next poll"
            yield Fault(at=(*trigger.at, "type"), why=why, do="use external-push")


@rule(
    "FS120",
    Severity.ERROR,
    on=SCALED_OBJECT,
    what="a formula that KEDA cannot evaluate",
    fix="name each trigger that the formula uses, and give a target",
    source="KEDA, ScaledObject specification: scalingModifiers; formula.go",
)
def formula_names(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """A formula refers to triggers by their `name`, and needs `target`. A name that no trigger has
    fails the whole ScaledObject.
    """
    modifiers = part(of.spec, "advanced", "scalingModifiers")
    formula = text(modifiers, "formula")
    if formula is None:
        return
    if "target" not in modifiers:
        why = "a formula needs a target"
        yield Fault(at=(*_MODIFIERS, "target"), why=why, do="set what one replica takes")
    names = {one.name for one in triggers_of(of)}
    used = set(_IDENTIFIER.findall(re.sub(r"\"[^\"]*\"|'[^']*'|#\w*|\.\w+", "", formula)))
    unknown = sorted(used - names - _BUILT_IN)
    if unknown and "{" not in formula and "let " not in formula:
        why = f"no trigger has the name {unknown[0]!r}"
        at = (*_MODIFIERS, "formula")
        yield Fault(at=at, why=why, do="give the trigger that name, or correct the formula")


@rule(
    "FS121",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="a formula that can fall below zero",
    fix="wrap it: max(formula, 0)",
    source="Kubernetes, replica_calculator.go (AverageValue); KEDA, formula.go",
)
def formula_below_zero(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """KEDA does not clamp the result. Newer HPAs take a negative sum for an overflow and ask for
    maxReplicas.
    """
    formula = text(part(of.spec, "advanced", "scalingModifiers"), "formula") or ""
    if re.search(r"[\w)\]]\s*-\s*[\w(]", formula) and not re.match(r"\s*max\s*\(", formula):
        why = "a difference may be negative, and the HPA may then ask for maxReplicaCount"
        yield Fault(at=(*_MODIFIERS, "formula"), why=why, do="wrap it in max(..., 0)")


@rule(
    "FS122",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="a missing series that counts as zero",
    fix='set ignoreNullValues: "false", and a fallback',
    source="KEDA, Prometheus scaler: ignoreNullValues",
)
def missing_is_zero(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """By default an empty answer of Prometheus is 0. A scrape that fails, or a metric that was
    renamed, then removes replicas that serve.
    """
    gpus = target_has_gpus(of, inputs)
    for trigger in triggers_of(of):
        query = text(trigger.metadata, "query") or ""
        given = str(trigger.metadata.get("ignoreNullValues", "true")).lower()
        if trigger.type != "prometheus" or given == "false" or "or vector(" in query:
            continue
        if gpus or _LLM_METRIC.search(query):
            why = "an empty answer counts as 0 and removes replicas"
            do = 'set "false", and a fallback'
            yield Fault(at=(*trigger.at, "metadata", "ignoreNullValues"), why=why, do=do)


@rule(
    "FS123",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="scaling from zero on metrics that vanish with the last replica",
    fix="keep one replica, or add a metric of the gateway, which outlives the engine",
    source="vLLM, production metrics; KEDA, concepts: activating and scaling",
)
def nothing_wakes(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The engine's own metrics end with its last pod. With no replica nothing reports a request, so
    nothing wakes the workload.
    """
    every = list(triggers_of(of))
    least, _ = bounds(of)
    if least > 0 and of.spec.get("idleReplicaCount") != 0:
        return
    if every and all(_vanishes(one) for one in every):
        yield Fault(
            at=("spec", "minReplicaCount"),
            why="every trigger reads the engine's own metrics, which end with its last replica",
            do="set 1, or add a metric of the gateway",
        )


def _vanishes(trigger: Trigger) -> bool:
    query = text(trigger.metadata, "query") or ""
    return trigger.type == "prometheus" and bool(_ENGINE_METRIC.search(query))


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


def _whole(given: object) -> int | None:
    shown = str(given).strip()
    return int(shown) if shown.isascii() and shown.isdigit() and len(shown) < 10 else None  # noqa: PLR2004
