"""How fast and how exactly KEDA and the HPA follow: windows, policies, tolerance, fallback."""

from collections.abc import Iterator
from math import ceil
from typing import Final

from fleet.documents import Json, part, text
from policies.lint.finding import Fault, Severity
from policies.lint.objects import Inputs, Object
from policies.lint.rule import rule
from policies.lint.scaled import (
    HPA,
    SCALED_OBJECT,
    behavior,
    bounds,
    foresail_triggers,
    is_given,
    number,
    policies_of,
    triggers_of,
)
from scaler.durations import format_duration

_BOTH: Final = (SCALED_OBJECT, HPA)
_COOLDOWN: Final = 300
_SCALE_DOWN_WINDOW: Final = 300
_WINDOW_MAX: Final = 3600
_PERIOD_MAX: Final = 1800
_TOLERATED_FROM: Final = 10
"""Replicas from which the HPA's 10 % swallows one more or less."""
_CLIMB_SECONDS_MAX: Final = 60.0
_SYNC: Final = 15
_DEFAULT_UP: Final = ({"type": "Percent", "value": 100}, {"type": "Pods", "value": 4})
_STEPS_MAX: Final = 2000
_POLL: Final = (15, 60)


@rule(
    "FS141",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="no fallback",
    fix="set fallback: failureThreshold 3, replicas for an ordinary day, currentReplicasIfHigher",
    source="KEDA, ScaledObject specification: fallback",
)
def no_fallback(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Without one, an outage of the scaler freezes the workload: nothing wakes it from 0, and the
    HPA changes nothing. In mode advise alone with minReplicaCount 0 it is left out on purpose.
    """
    ours = foresail_triggers(of)
    if not ours or is_given(of, "spec", "fallback"):
        return
    if all(one.mode == "advise" for one in ours) and bounds(of)[0] == 0:
        return
    why = "while Foresail cannot answer, replicas stay as they are"
    do = "set failureThreshold: 3, replicas for an ordinary day, behavior: currentReplicasIfHigher"
    yield Fault(at=("spec", "fallback"), why=why, do=do)


@rule(
    "FS142",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="a fallback that takes replicas away",
    fix="set behavior: currentReplicasIfHigher",
    source="KEDA, ScaledObject specification: fallback.behavior (2.17)",
)
def fallback_shrinks(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """`static`, the default, goes to fallback.replicas from wherever the workload is: an outage of
    the scaler at noon removes replicas. `replicas: 0` lets it go to zero.
    """
    fallback = part(of.spec, "fallback")
    if not fallback or not foresail_triggers(of):
        return
    given = text(fallback, "behavior") or "static"
    if given in {"static", "currentReplicasIfLower"}:
        why = f"{given} removes replicas because the scaler is down"
        yield Fault(at=("spec", "fallback", "behavior"), why=why, do="set currentReplicasIfHigher")
    elif fallback.get("replicas") == 0:
        why = "KEDA goes on to zero after cooldownPeriod"
        do = "set the replicas of an ordinary day"
        yield Fault(at=("spec", "fallback", "replicas"), why=why, do=do)


@rule(
    "FS143",
    Severity.ERROR,
    on=SCALED_OBJECT,
    what="fallback replicas above the maximum",
    fix="lower fallback.replicas or raise maxReplicaCount",
    source="KEDA, ScaledObject specification: fallback",
)
def fallback_above_most(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The HPA cuts it at maxReplicaCount: the floor for outages that you count on is not there."""
    replicas, most = part(of.spec, "fallback").get("replicas"), bounds(of)[1]
    if isinstance(replicas, int) and replicas > most:
        why = f"above maxReplicaCount, which is {most}"
        yield Fault(at=("spec", "fallback", "replicas"), why=why, do=f"set {most} at the most")


@rule(
    "FS155",
    Severity.ERROR,
    on=SCALED_OBJECT,
    what="a fallback that KEDA refuses",
    fix="add a trigger other than cpu and memory, and numbers from 0 on",
    source="KEDA, scaledobject_types.go (CheckFallbackValid)",
)
def fallback_refused(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The fallback stands for a metric that a scaler cannot read; cpu and memory are the HPA's own.
    The webhook refuses the ScaledObject.
    """
    fallback = part(of.spec, "fallback")
    kinds = {one.type for one in triggers_of(of)}
    formula = part(of.spec, "advanced", "scalingModifiers")
    if fallback and kinds and kinds <= {"cpu", "memory"} and not formula:
        why = "every trigger is cpu or memory, for which there is no fallback"
        yield Fault(at=("spec", "fallback"), why=why, do="leave it out, or add another trigger")
    for name in ("failureThreshold", "replicas"):
        value = fallback.get(name)
        if isinstance(value, int) and value < 0:
            yield Fault(at=("spec", "fallback", name), why="below 0", do="set 0 or more")


@rule(
    "FS144",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="a cooldown shorter than two starts",
    fix="set cooldownPeriod to twice the lead time or more",
    source="KEDA, ScaledObject specification: cooldownPeriod; kedacore/keda#7770",
)
def cooldown(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """When the trigger was inactive that long, KEDA goes from any count straight to 0, past the
    HPA's policies. A pause in traffic then costs a whole start.
    """
    given = number(of, "cooldownPeriod", _COOLDOWN)
    for trigger in foresail_triggers(of):
        if bounds(of)[0] == 0 and given < 2 * trigger.lead_seconds:
            why = (
                f"KEDA waits {given} s and goes straight to 0; a start takes "
                f"{format_duration(trigger.lead_seconds)}"
            )
            do = f"set {round(2 * trigger.lead_seconds)} or more"
            yield Fault(at=("spec", "cooldownPeriod"), why=why, do=do)


@rule(
    "FS145",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="a new workload that is stopped before it serves",
    fix="set initialCooldownPeriod to the lead time or more",
    source="KEDA, ScaledObject specification: initialCooldownPeriod; kedacore/keda#5008",
)
def initial_cooldown(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Until its first activity a new ScaledObject goes to 0 after initialCooldownPeriod, by default
    at the first poll: while the replica still loads its weights.
    """
    given = number(of, "initialCooldownPeriod", 0)
    for trigger in foresail_triggers(of):
        if bounds(of)[0] == 0 and given < trigger.lead_seconds:
            lead = format_duration(trigger.lead_seconds)
            why = f"KEDA stops a new workload after {given} s; a start takes {lead}"
            do = f"set {round(trigger.lead_seconds)} or more"
            yield Fault(at=("spec", "initialCooldownPeriod"), why=why, do=do)


@rule(
    "FS146",
    Severity.INFO,
    on=SCALED_OBJECT,
    what="a polling interval that is too short or too long",
    fix="set pollingInterval to 15 seconds",
    source="KEDA, ScaledObject specification: pollingInterval; docs/settings.md, cycle.period",
)
def polling(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Foresail looks at its sources every 15 s: asking more often learns nothing new. Above a
    minute, KEDA notices late that a workload at 0 is wanted, and that a scaler fails.
    """
    given = number(of, "pollingInterval", 30)
    if foresail_triggers(of) and not _POLL[0] <= given <= _POLL[1]:
        why = (
            "Foresail's answer changes every 15 s"
            if given < _POLL[0]
            else "failures, and what wakes a workload, are noticed that late"
        )
        yield Fault(at=("spec", "pollingInterval"), why=why, do="set 15")


@rule(
    "FS147",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="an HPA window on top of Foresail's hold",
    fix="set behavior.scaleDown.stabilizationWindowSeconds: 0",
    source="Kubernetes, HorizontalPodAutoscaler: stabilization window",
)
def window_down(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Foresail has a hold of its own. The HPA's window, 300 s by default, holds every peak of the
    forecast that much longer, at the price of idle GPUs.
    """
    at, rules = behavior(of, "scaleDown")
    window = rules.get("stabilizationWindowSeconds", _SCALE_DOWN_WINDOW)
    if foresail_triggers(of) and isinstance(window, int) and window > 0:
        why = f"each peak is held {window} s longer than Foresail's own hold"
        yield Fault(at=(*at, "stabilizationWindowSeconds"), why=why, do="set 0")


@rule(
    "FS148",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="a window before growth",
    fix="set behavior.scaleUp.stabilizationWindowSeconds: 0",
    source="Kubernetes, HorizontalPodAutoscaler: stabilization window",
)
def window_up(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The HPA then follows the lowest answer of the window: a forecast one lead time ahead comes
    too late by the window.
    """
    at, rules = behavior(of, "scaleUp")
    window = rules.get("stabilizationWindowSeconds", 0)
    if foresail_triggers(of) and isinstance(window, int) and window > 0:
        why = f"the plan is followed {window} s late"
        yield Fault(at=(*at, "stabilizationWindowSeconds"), why=why, do="set 0")


@rule(
    "FS149",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="policies that grow more slowly than the forecast",
    fix="allow Percent 900 and Pods of maxReplicaCount each 15 s, selectPolicy: Max",
    source="Kubernetes, HorizontalPodAutoscaler: scaling policies",
)
def slow_growth(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Without a behavior the HPA doubles, or adds 4, each 15 s: from 1 to 40 replicas takes over a
    minute, and the forecast looks only one lead time ahead.
    """
    if not foresail_triggers(of):
        return
    at, rules = behavior(of, "scaleUp")
    least, most = bounds(of)
    given = is_given(of, *at[:-1])
    seconds = climb_seconds(rules if given else None, max(1, least), most)
    if seconds is None or seconds > _CLIMB_SECONDS_MAX:
        took = "never ends" if seconds is None else f"takes {format_duration(seconds)}"
        why = f"from {max(1, least)} to {most} replicas {took}"
        do = f"allow Percent 900 and Pods {most} each 15 s, with selectPolicy: Max"
        yield Fault(at=(*at, "policies"), why=why, do=do)


def climb_seconds(rules: Json | None, least: int, most: int) -> float | None:
    """How long an HPA with these rules needs from the least to the most; None = it never gets
    there.

    Each policy allows its share of what ran a period ago; the HPA looks every 15 s. Without any
    behavior (None) it goes to twice as many or to 4, with one that has no policies it adds as many
    or 4.
    """
    if rules is None:
        return _SYNC * _syncs_without_behavior(least, most)
    if text(rules, "selectPolicy") == "Disabled":
        return None if most > least else 0.0
    policies = [one for _, one in policies_of(rules)] or list(_DEFAULT_UP)
    slowest = text(rules, "selectPolicy") == "Min"
    seconds, now = 0.0, least
    for _ in range(_STEPS_MAX):
        if now >= most:
            return seconds
        steps = [(_step(one, now), _period(one)) for one in policies]
        pick = min if slowest else max
        step, period = pick(steps, key=lambda one: one[0] / one[1])
        if step <= 0:
            return None
        now += step
        seconds += period
    return seconds


def _syncs_without_behavior(least: int, most: int) -> int:
    syncs, now = 0, least
    while now < most:
        now = max(2 * now, 4)
        syncs += 1
    return syncs


def _step(policy: Json, now: int) -> int:
    value = policy.get("value")
    value = value if isinstance(value, int) and not isinstance(value, bool) else 0
    return ceil(now * value / 100) if text(policy, "type") == "Percent" else value


def _period(policy: Json) -> int:
    period = policy.get("periodSeconds", _SYNC)
    return max(_SYNC, period) if isinstance(period, int) else _SYNC


@rule(
    "FS150",
    Severity.ERROR,
    on=_BOTH,
    what="growth that is switched off",
    fix="leave selectPolicy out, or set Max",
    source="Kubernetes, HorizontalPodAutoscaler: selectPolicy",
)
def growth_disabled(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """`Disabled` stops the HPA in that direction: the workload never gets a replica more."""
    at, rules = behavior(of, "scaleUp")
    if text(rules, "selectPolicy") == "Disabled":
        why = "the HPA never adds a replica"
        yield Fault(at=(*at, "selectPolicy"), why=why, do="leave it out, or set Max")


@rule(
    "FS151",
    Severity.WARNING,
    on=SCALED_OBJECT,
    what="the HPA's tolerance of 10 %",
    fix='set tolerance: "0" beside the policies of scaleUp and scaleDown',
    source="Kubernetes, HorizontalPodAutoscaler: tolerance (1.35 by default); kedacore/keda#7900",
)
def tolerance_left_out(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """From 10 replicas on the HPA ignores a plan of one more or one less, from 20 on of two.
    Kubernetes 1.35 and KEDA 2.18 have the field.
    """
    if not foresail_triggers(of) or bounds(of)[1] < _TOLERATED_FROM:
        return
    for direction in ("scaleUp", "scaleDown"):
        at, rules = behavior(of, direction)
        if "tolerance" not in rules:
            why = "from 10 replicas on the HPA ignores one more or one less"
            yield Fault(at=(*at, "tolerance"), why=why, do='set "0"')


@rule(
    "FS152",
    Severity.ERROR,
    on=_BOTH,
    what="a tolerance inside a policy",
    fix="move it beside policies",
    source="Kubernetes API, HPAScalingRules.tolerance",
)
def tolerance_in_policy(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The field belongs to scaleUp and scaleDown. In an entry of `policies`, where a page of KEDA's
    documentation has it, it is dropped in silence.
    """
    for direction in ("scaleUp", "scaleDown"):
        at, rules = behavior(of, direction)
        for index, one in policies_of(rules):
            if "tolerance" in one:
                where = (*at, "policies", index, "tolerance")
                why = "dropped: it belongs beside policies"
                yield Fault(at=where, why=why, do=f"move it to {direction}.tolerance")


@rule(
    "FS153",
    Severity.INFO,
    on=SCALED_OBJECT,
    what="a tolerance written as a number",
    fix='quote it: "0"',
    source="Kubernetes, quantities; server-side apply",
)
def tolerance_unquoted(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """It is a quantity, and KEDA writes a number back as a text: whoever applies from git on the
    server's side fights it over the field at each apply.
    """
    for direction in ("scaleUp", "scaleDown"):
        at, rules = behavior(of, direction)
        value = rules.get("tolerance")
        if isinstance(value, int | float) and not inputs.context.live:
            why = "KEDA writes it back as a text, and a second apply conflicts"
            yield Fault(at=(*at, "tolerance"), why=why, do=f'quote it: "{value}"')


@rule(
    "FS154",
    Severity.ERROR,
    on=_BOTH,
    what="a window or period that the API server refuses",
    fix="windows of 0 to 3600 s, periods of 1 to 1800 s",
    source="Kubernetes API, HPAScalingRules and HPAScalingPolicy",
)
def out_of_range(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """KEDA makes the HPA of it; the API server refuses the HPA, and the ScaledObject has none."""
    for direction in ("scaleUp", "scaleDown"):
        at, rules = behavior(of, direction)
        window = rules.get("stabilizationWindowSeconds")
        if isinstance(window, int) and not 0 <= window <= _WINDOW_MAX:
            where = (*at, "stabilizationWindowSeconds")
            yield Fault(at=where, why="the API takes 0 to 3600", do="lower it")
        for index, one in policies_of(rules):
            period = one.get("periodSeconds")
            if isinstance(period, int) and not 0 < period <= _PERIOD_MAX:
                where = (*at, "policies", index, "periodSeconds")
                yield Fault(at=where, why="the API takes 1 to 1800", do="correct it")
