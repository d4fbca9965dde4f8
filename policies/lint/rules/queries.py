"""What queries and formulas make of a metric."""

import re
from collections.abc import Iterator
from typing import Final

from fleet.documents import part, text
from policies.lint.finding import Fault, Severity
from policies.lint.objects import Inputs, Object
from policies.lint.rule import rule
from policies.lint.scaled import (
    SCALED_OBJECT,
    Trigger,
    bounds,
    reaches_zero,
    target_has_gpus,
    triggers_of,
)

_AVERAGED: Final = re.compile(r"\s*\(*\s*(avg|max|quantile|histogram_quantile)(?![a-z_])")
_ENGINE: Final = r"(ray_)?(vllm|sglang|tgi|lmdeploy|nv_inference|trtllm)([:_]|\[:_\])"
"""Prometheus 2 writes `vllm_` where Prometheus 3 keeps vLLM's `vllm:`; some ask for both."""
_ENGINE_METRIC: Final = re.compile(rf"\b{_ENGINE}")
_LLM_METRIC: Final = re.compile(rf"\b({_ENGINE}|llm_d_|inference_|DCGM_FI_)")
_LABEL_VALUE: Final = re.compile(r"(?!__name__)\b\w+\s*(=~|!~|!=|=)\s*(\"[^\"]*\"|'[^']*')")
_IN_FLIGHT: Final = re.compile(r"\bllm_d_epp_inflight_(tokens|requests)\b")
_LIVE_ENDPOINTS: Final = "llm_d_epp_per_endpoint_queue_size"
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BUILT_IN: Final = frozenset(
    {
        "abs", "all", "any", "ceil", "count", "filter", "float", "floor", "int", "len", "map",
        "max", "mean", "median", "min", "none", "one", "reduce", "round", "sum", "true", "false",
        "nil", "and", "or", "not", "in", "let", "if", "else",
    }
)  # fmt: skip
"""Names of the language `expr` that a formula may use besides triggers."""
_FORMULA_MAX: Final = 4096
"""Characters that are looked at."""
_PARENTHESES: Final = re.compile(r"(\w*)\s*\(([^()]*)\)")
_MODIFIERS: Final = ("spec", "advanced", "scalingModifiers")


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
        if _AVERAGED.match(query) and _reads(_LLM_METRIC, query):
            yield Fault(
                at=(*trigger.at, "metadata", "query"),
                why="a mean or maximum over pods, divided by the replicas once more",
                do="set metricType: Value beside metadata, or take the sum over pods",
            )


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
    used = set(_IDENTIFIER.findall(re.sub(r"#\w*|\.\w+", "", _without_literals(formula))))
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
    maxReplicas. A formula with a condition is taken to know what it does.
    """
    formula = text(part(of.spec, "advanced", "scalingModifiers"), "formula") or ""
    if len(formula) <= _FORMULA_MAX and "?" not in formula and _subtracts(formula):
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
        if gpus or _reads(_LLM_METRIC, query):
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
    if reaches_zero(of) and every and all(_vanishes(one) for one in every):
        idle = bounds(of)[0] > 0
        yield Fault(
            at=("spec", "idleReplicaCount" if idle else "minReplicaCount"),
            why="every trigger reads the engine's own metrics, which end with its last replica",
            do=f"{'leave it out' if idle else 'set 1'}, or add a metric of the gateway",
        )


@rule(
    "FS127",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="tokens in flight of pods that are gone",
    fix="keep the endpoints of llm_d_epp_per_endpoint_queue_size alone",
    source="llm-d/llm-d-router#2529, #2577",
)
def in_flight_of_gone_pods(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Up to version 0.10 llm-d's router keeps the series of a removed pod as they were when it
    went, so that their sum never falls and the replicas stay.
    """
    for trigger in triggers_of(of):
        query = text(trigger.metadata, "query") or ""
        if trigger.type == "prometheus" and (named := _IN_FLIGHT.search(query)):
            if _LIVE_ENDPOINTS in query:
                continue
            yield Fault(
                at=(*trigger.at, "metadata", "query"),
                why=f"{named[0]} counts pods that are gone, up to llm-d's router 0.10",
                do=f"add: and on (endpoint_name) label_replace({_LIVE_ENDPOINTS}, "
                '"endpoint_name", "$1", "model_server_endpoint", "(.*)")',
            )


def _without_literals(formula: str) -> str:
    """A formula without texts, and with 0 for each number, such as 1e-3."""
    without = re.sub(r"\"[^\"]*\"|'[^']*'", "", formula)
    return re.sub(r"\b\d[\w.]*((?<=[eE])[+-]\d+)?", "0", without)


def _subtracts(formula: str) -> bool:
    """Whether there is a difference outside of every max() and abs()."""
    left, previous = _without_literals(formula), ""
    while left != previous:
        # From the innermost parentheses outwards.
        previous, left = left, _PARENTHESES.sub(_folded, left)
    return re.search(r"[\w\])]\s*-\s*[\w\[(]", left) is not None


def _folded(call: re.Match[str]) -> str:
    return "0" if call[1] in {"max", "abs"} else f"{call[1]}[{call[2]}]"


def _vanishes(trigger: Trigger) -> bool:
    query = text(trigger.metadata, "query") or ""
    return trigger.type == "prometheus" and _reads(_ENGINE_METRIC, query)


def _reads(metric: re.Pattern[str], query: str) -> bool:
    """Whether a query names such a metric, and not only a label's value like one."""
    return metric.search(_LABEL_VALUE.sub("", query)) is not None
