"""How fast and how exactly the HPA follows: windows, policies, tolerance."""

from collections.abc import Iterator
from typing import Final

from fleet.documents import Json, text
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
    made_by_keda,
    policies_of,
)
from scaler.durations import format_duration

_BOTH: Final = (SCALED_OBJECT, HPA)
_SCALE_DOWN_WINDOW: Final = 300
_WINDOW_MAX: Final = 3600
_PERIOD_MAX: Final = 1800
_TOLERATED_FROM: Final = 10
"""Replicas from which the HPA's 10 % swallows one more or less."""
_CLIMB_SECONDS_MAX: Final = 60.0
_SYNC: Final = 15
_DEFAULT_UP: Final = ({"type": "Percent", "value": 100}, {"type": "Pods", "value": 4})
_LOOKS_MAX: Final = 2000


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

    Each policy allows its share of what ran a period ago on top of that, all of it in one look; the
    HPA looks every 15 s. Without any behavior (None) it goes to twice as many or to 4, with one
    that has no policies it adds as many or 4.
    """
    if rules is None:
        return _SYNC * _syncs_without_behavior(least, most)
    if text(rules, "selectPolicy") == "Disabled":
        return None if most > least else 0.0
    policies = [one for _, one in policies_of(rules)] or list(_DEFAULT_UP)
    pick = min if text(rules, "selectPolicy") == "Min" else max
    counts = [least]
    """After each look."""
    while counts[-1] < most and len(counts) < _LOOKS_MAX:
        if pick(_allowed(one, counts[-1]) for one in policies) <= counts[-1]:
            return None
        now = len(counts) * _SYNC
        begins = (counts[max(0, (now - _period(one)) // _SYNC)] for one in policies)
        limit = pick(_allowed(one, begin) for one, begin in zip(policies, begins, strict=True))
        counts.append(max(counts[-1], limit))
    return _SYNC * (len(counts) - 1)


def _syncs_without_behavior(least: int, most: int) -> int:
    syncs, now = 0, least
    while now < most:
        now = max(2 * now, 4)
        syncs += 1
    return syncs


def _allowed(policy: Json, begin: int) -> int:
    """The most replicas at the end of a period that began with so many."""
    value = policy.get("value")
    value = value if isinstance(value, int) and not isinstance(value, bool) else 0
    more = -(-begin * value // 100) if text(policy, "type") == "Percent" else value
    return begin + more


def _period(policy: Json) -> int:
    period = policy.get("periodSeconds", _SYNC)
    return max(1, period) if isinstance(period, int) else _SYNC


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
    if made_by_keda(of):
        return  # FS110 tells of the pause that KEDA writes into its HPA
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
    if made_by_keda(of):
        return
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
    if made_by_keda(of):
        return
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
