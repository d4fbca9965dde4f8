"""The rule that scales a workload today, from its ScaledObject or HorizontalPodAutoscaler.

Thresholds, bounds, polling, cooldown, fallback and behavior are those of the manifest. Its queries
are worked out on a replay's metrics (`replay.policies.query`); a trigger that a replay cannot
answer (CPU, another service's metric) is left out and told, and where none is left the rule cannot
be replayed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from math import gcd
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from fleet.documents import Json, is_object, part, text
from fleet.quantities import quantity
from policies.lint.objects import Object
from policies.lint.scaled import HPA, Trigger, behavior, bounds, is_given, policies_of, triggers_of
from replay import hpa
from replay.control import Control
from replay.keda import Fallback, FallbackBehavior, ScaledObject, Value
from replay.policies.port import PolicyKind, Seen
from replay.policies.query import Query, QueryError, compiled, gauge
from replay.replay_input import ReplayInput
from scaler.errors import ForesailError


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One trigger or metric, as text: a run makes its query anew, with a memory of its own."""

    query: str
    is_name: bool = False
    """`query` is the name of a metric that is summed over the pods."""
    target: float
    activation: float = 0.0
    per_pod: bool = True
    """The target is for one replica (AverageValue); else for the value itself (Value)."""

    def made(self) -> Query:
        """Raises QueryError: the metric cannot be replayed."""
        return gauge(self.query) if self.is_name else compiled(self.query)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A cron trigger: so many replicas between two times."""

    start: str
    end: str
    timezone: str
    replicas: float

    def is_on(self, now_seconds: float) -> bool:
        """Whether the end comes before the next start, as KEDA decides it."""
        now = datetime.fromtimestamp(now_seconds, UTC).astimezone(ZoneInfo(self.timezone))
        return next(CronSim(self.end, now)) < next(CronSim(self.start, now))


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentRule:
    """Everything of a manifest that decides the number of replicas."""

    title: str
    """Kind, namespace and name."""
    target: str
    """Name of the workload that it scales."""
    metrics: tuple[Metric, ...]
    schedules: tuple[Schedule, ...] = ()
    scaled: ScaledObject
    has_cooldown: bool
    """KEDA's; a HorizontalPodAutoscaler of its own has none."""
    behavior: hpa.Behavior | None
    remarks: tuple[str, ...] = ()
    """What of it is not replayed."""

    @property
    def name(self) -> str:
        return "yours"

    def kind(self) -> PolicyKind:
        return PolicyKind.as_it_is(self.name, self.told(), partial(_Present, self))

    def told(self) -> str:
        """The rule in one line."""
        parts = [f"{one.query} over {one.target:g}" for one in self.metrics]
        parts += [f"{one.replicas:g} from {one.start!r} to {one.end!r}" for one in self.schedules]
        scaled = self.scaled
        cooldown = f"cooldown {scaled.cooldown_period_seconds} s, " if self.has_cooldown else ""
        return (
            f"{self.title}: {'; '.join(parts)}; {scaled.replicas_min} to {scaled.replicas_max}"
            f" replicas, {cooldown}{'its own' if self.behavior else 'the default'} HPA behavior"
        )


class _Present:
    """One run of it, behind KEDA's polling and the HPA's arithmetic."""

    def __init__(self, rule: PresentRule, replay_input: ReplayInput) -> None:
        if rule.schedules and replay_input.begin_seconds is None:
            raise ForesailError(
                f"{rule.title}: its cron trigger goes by the clock, and the traffic"
                f" {replay_input.name!r} has none: its times count from 0. Give its rows Unix"
                " times, or take the trigger out of the copy that is replayed"
            )
        self.period_seconds = gcd(
            hpa.SYNC_PERIOD_SECONDS, max(1, rule.scaled.polling_interval_seconds)
        )
        self._metrics = [(metric, metric.made()) for metric in rule.metrics]
        self._schedules = rule.schedules
        self._begin_seconds = replay_input.begin_seconds or 0.0
        self._control = Control(
            rule.scaled, rule.behavior, replicas_at_start=replay_input.replicas_at_start
        )

    def decide(self, seen: Seen) -> int:
        replicas = seen.replicas
        due = self._control.due(seen.at_seconds, replicas=replicas)
        answer = self._answer(seen)
        for each in due:
            replicas = self._control.apply(
                each, answer, replicas=replicas, now_seconds=seen.at_seconds
            )
        return replicas

    def _answer(self, seen: Seen) -> Value:
        """The triggers as one, of which the HPA takes the one that asks for most, at target 1."""
        asked = [0.0]
        is_active = False
        for metric, query in self._metrics:
            value = query(seen)
            is_active = is_active or value > metric.activation
            asked.append((value if metric.per_pod else value * seen.ready) / metric.target)
        for schedule in self._schedules:
            is_on = schedule.is_on(self._begin_seconds + seen.at_seconds)
            is_active = is_active or is_on
            asked.append(schedule.replicas if is_on else 1.0)
        return Value(total=max(asked), target=1.0, is_active=is_active)


def present_rule_of(scaler: Object) -> PresentRule:
    """The rule in a ScaledObject or a HorizontalPodAutoscaler.

    Raises:
        ForesailError: nothing of it can be replayed, or a field has no sense.
    """
    reader = _hpa_metrics if scaler.type == HPA else _triggers
    metrics: list[Metric] = []
    schedules: list[Schedule] = []
    remarks: list[str] = []
    for found in reader(scaler):
        match found:
            case Metric():
                metrics.append(found)
            case Schedule():
                schedules.append(found)
            case str():
                remarks.append(found)
    if not metrics and not schedules:
        raise ForesailError(
            f"{scaler.file}: {scaler.title}: no trigger of it can be replayed"
            f"{': ' if remarks else ''}{'; '.join(remarks)}. Write it as a rule of your own "
            "(docs/own-rule.md)"
        )
    return PresentRule(
        title=scaler.title,
        target=text(part(scaler.spec, "scaleTargetRef"), "name") or "?",
        metrics=tuple(metrics),
        schedules=tuple(schedules),
        scaled=_scaled(scaler),
        has_cooldown=scaler.type != HPA,
        behavior=_behavior(scaler),
        remarks=tuple(remarks),
    )


def _triggers(scaler: Object) -> Iterator[Metric | Schedule | str]:
    modifiers = part(scaler.spec, "advanced", "scalingModifiers")
    if text(modifiers, "formula"):
        yield "its scalingModifiers.formula is not replayed"
        return
    for trigger in triggers_of(scaler):
        match trigger.type:
            case "prometheus":
                yield _prometheus(scaler, trigger)
            case "cron":
                yield _cron(scaler, trigger)
            case kind:
                yield f"its trigger of type {kind!r} is not replayed"


def _prometheus(scaler: Object, trigger: Trigger) -> Metric | str:
    metadata = trigger.metadata
    metric = Metric(
        query=text(metadata, "query") or "",
        target=_number(scaler, metadata, "threshold"),
        activation=_number(scaler, metadata, "activationThreshold", 0.0),
        per_pod=text(trigger.value, "metricType") != "Value",
    )
    try:
        metric.made()
    except QueryError as error:
        return str(error)
    return metric


def _cron(scaler: Object, trigger: Trigger) -> Schedule:
    start, end, zone = (text(trigger.metadata, key) or "" for key in ("start", "end", "timezone"))
    try:
        now = datetime.fromtimestamp(0, UTC).astimezone(ZoneInfo(zone))
        CronSim(start, now), CronSim(end, now)
    except (CronSimError, ZoneInfoNotFoundError, ValueError) as error:
        raise ForesailError(
            f"{scaler.file}: {scaler.title}: cron trigger from {start!r} to {end!r} in {zone!r}: "
            f"{error}"
        ) from error
    replicas = _number(scaler, trigger.metadata, "desiredReplicas")
    return Schedule(start=start, end=end, timezone=zone, replicas=replicas)


def _hpa_metrics(scaler: Object) -> Iterator[Metric | str]:
    given = scaler.spec.get("metrics")
    for one in given if isinstance(given, list) else ():
        if not is_object(one):
            continue
        kind = text(one, "type") or ""
        source = part(one, kind[:1].lower() + kind[1:])
        name, goal = text(part(source, "metric"), "name") or "", part(source, "target")
        average = "averageValue" in goal
        if kind not in {"Pods", "External"}:
            yield f"its metric of type {kind!r} is not replayed"
            continue
        metric = Metric(
            query=name,
            is_name=True,
            target=_number(scaler, goal, "averageValue" if average else "value"),
            per_pod=average,
        )
        try:
            metric.made()
        except QueryError as error:
            yield str(error)
        else:
            yield metric


def _scaled(scaler: Object) -> ScaledObject:
    least, most = bounds(scaler)
    if scaler.type == HPA:
        return ScaledObject(replicas_min=least, replicas_max=most)
    idle = scaler.spec.get("idleReplicaCount")
    fallback = part(scaler.spec, "fallback")
    try:
        return ScaledObject(
            polling_interval_seconds=_whole(scaler, "pollingInterval", 30, least=1),
            cooldown_period_seconds=_whole(scaler, "cooldownPeriod", 300),
            initial_cooldown_period_seconds=_whole(scaler, "initialCooldownPeriod", 0),
            replicas_min=least,
            replicas_max=most,
            replicas_idle=idle if isinstance(idle, int) else None,
            fallback=Fallback(
                failure_threshold=int(_number(scaler, fallback, "failureThreshold")),
                replicas=int(_number(scaler, fallback, "replicas")),
                behavior=FallbackBehavior(text(fallback, "behavior") or "static"),
            )
            if fallback
            else None,
        )
    except ValueError as error:
        raise ForesailError(f"{scaler.file}: {scaler.title}: {error}") from error


def _behavior(scaler: Object) -> hpa.Behavior | None:
    up_at, up = behavior(scaler, "scaleUp")
    down_at, down = behavior(scaler, "scaleDown")
    if not (is_given(scaler, *up_at) or is_given(scaler, *down_at)):
        return None
    return hpa.Behavior(
        scale_up=_rules(scaler, up, hpa.UP_DEFAULT),
        scale_down=_rules(scaler, down, hpa.DOWN_DEFAULT),
    )


def _rules(scaler: Object, given: Json, default: hpa.ScalingRules) -> hpa.ScalingRules:
    window = given.get("stabilizationWindowSeconds", default.stabilization_window_seconds)
    policies = tuple(
        hpa.Policy(
            kind=hpa.PolicyKind(text(one, "type") or "Pods"),
            value=int(_number(scaler, one, "value")),
            period_seconds=int(_number(scaler, one, "periodSeconds", 15)),
        )
        for _, one in policies_of(given)
    )
    tolerance = given.get("tolerance")
    return hpa.ScalingRules(
        policies=policies or default.policies,
        stabilization_window_seconds=window
        if isinstance(window, int)
        else default.stabilization_window_seconds,
        select_policy=hpa.SelectPolicy(text(given, "selectPolicy") or "Max"),
        tolerance_ratio=None if tolerance is None else _number(scaler, given, "tolerance"),
    )


def _whole(scaler: Object, name: str, default: int, *, least: int = 0) -> int:
    value = scaler.spec.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ForesailError(
            f"{scaler.file}: {scaler.title}: {name} is {value!r}: a whole number from {least}"
        )
    return value


def _number(scaler: Object, of: Json, name: str, default: float | None = None) -> float:
    value = of.get(name, default)
    try:
        number = float(quantity(value))
    except ValueError as error:
        raise ForesailError(f"{scaler.file}: {scaler.title}: {name}: {error}") from error
    needs_more = name in {"threshold", "value", "averageValue"}
    if number < 0 or (needs_more and number == 0):
        raise ForesailError(f"{scaler.file}: {scaler.title}: {name} is {value!r}: above 0")
    return number
