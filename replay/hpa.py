"""The HorizontalPodAutoscaler's arithmetic for one External metric of type AverageValue.

A reading of kube-controller-manager's `horizontal.go` and `replica_calculator.go` (1.33 and later):
tolerance band, scale-up and scale-down policies, stabilisation windows, and the older limits that
hold where an object has no `behavior`. Values are milli-integers there and here; `ceil` of a ratio
that is a hair above a whole number is one replica more, and that is how the real thing behaves.

State goes in, state and decision come out; the caller syncs every `SYNC_PERIOD_SECONDS`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import ceil

SYNC_PERIOD_SECONDS = 15
_UPSCALE_FACTOR = 2
_UPSCALE_FLOOR = 4


class PolicyKind(StrEnum):
    """What a policy's value counts."""

    PODS = "Pods"
    PERCENT = "Percent"


class SelectPolicy(StrEnum):
    """Which of several policies binds: the one that allows most, least, or no change at all."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How much may change within a period."""

    kind: PolicyKind
    value: int
    period_seconds: int = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingRules:
    """One direction of a `behavior`."""

    policies: tuple[Policy, ...]
    stabilization_window_seconds: int
    select_policy: SelectPolicy = SelectPolicy.MAX
    tolerance_ratio: float | None = None
    """None takes the controller's."""


UP_DEFAULT = ScalingRules(
    policies=(
        Policy(kind=PolicyKind.PERCENT, value=100),
        Policy(kind=PolicyKind.PODS, value=4),
    ),
    stabilization_window_seconds=0,
)
DOWN_DEFAULT = ScalingRules(
    policies=(Policy(kind=PolicyKind.PERCENT, value=100),),
    stabilization_window_seconds=300,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behavior:
    """`spec.behavior`; a part that is not given has the API server's default."""

    scale_up: ScalingRules = UP_DEFAULT
    scale_down: ScalingRules = DOWN_DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaSettings:
    """One HPA and the controller's flags that touch it."""

    replicas_min: int
    replicas_max: int
    behavior: Behavior | None = None
    tolerance_ratio: float = 0.1
    downscale_window_seconds: int = 300
    """`--horizontal-pod-autoscaler-downscale-stabilization`: binds only without a behavior."""

    def __post_init__(self) -> None:
        if not 1 <= self.replicas_min <= self.replicas_max:
            raise ValueError(
                f"an HPA needs 1 <= replicas_min ({self.replicas_min}) "
                f"<= replicas_max ({self.replicas_max})"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AverageValue:
    """What the metrics API returned: the sum over items, and the target for one replica."""

    total: float
    target: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A number at a time: a recommendation, or a change of so many replicas."""

    at_seconds: float
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaState:
    """What the controller remembers between syncs."""

    recommendations: tuple[Mark, ...] = ()
    ups: tuple[Mark, ...] = ()
    downs: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaDecision:
    """Result of one sync."""

    replicas: int
    why: str


def sync(
    settings: HpaSettings,
    state: HpaState,
    metric: AverageValue | None,
    *,
    replicas: int,
    now_seconds: float,
) -> tuple[HpaState, HpaDecision]:
    """One pass of the controller; `metric` is None where the metrics API answered with an error."""
    if replicas == 0:
        return state, HpaDecision(replicas=0, why="disabled at zero replicas")
    if replicas > settings.replicas_max:
        decision = HpaDecision(replicas=settings.replicas_max, why="above maxReplicas")
    elif replicas < settings.replicas_min:
        decision = HpaDecision(replicas=settings.replicas_min, why="below minReplicas")
    elif metric is None:
        return state, HpaDecision(replicas=replicas, why="no metric: unchanged")
    else:
        proposed = proposal(settings, metric, replicas=replicas)
        state = _remember(settings, state, proposed, now_seconds)
        if settings.behavior is None:
            decision = _limited_plainly(settings, state, proposed, replicas, now_seconds)
        else:
            decision = _limited_by_behavior(
                settings, settings.behavior, state, proposed, replicas, now_seconds
            )
    return _note_change(state, replicas, decision.replicas, now_seconds), decision


def proposal(settings: HpaSettings, metric: AverageValue, *, replicas: int) -> int:
    """Replicas by the metric alone: unchanged inside the tolerance band, else total ÷ target."""
    total, target = _milli(metric.total), _milli(metric.target)
    ratio = total / (target * replicas)
    down, up = _tolerances(settings)
    if 1 - down <= ratio <= 1 + up:
        return replicas
    return ceil(total / target)


def _milli(value: float) -> int:
    # KEDA hands over three decimals, rounded.
    return round(value * 1000)


def _tolerances(settings: HpaSettings) -> tuple[float, float]:
    if settings.behavior is None:
        return settings.tolerance_ratio, settings.tolerance_ratio
    down = settings.behavior.scale_down.tolerance_ratio
    up = settings.behavior.scale_up.tolerance_ratio
    return (
        settings.tolerance_ratio if down is None else down,
        settings.tolerance_ratio if up is None else up,
    )


def _remember(
    settings: HpaSettings, state: HpaState, proposed: int, now_seconds: float
) -> HpaState:
    behavior = settings.behavior
    longest = settings.downscale_window_seconds
    if behavior is not None:
        longest = max(
            behavior.scale_up.stabilization_window_seconds,
            behavior.scale_down.stabilization_window_seconds,
        )
    kept = tuple(m for m in state.recommendations if m.at_seconds >= now_seconds - longest)
    newest = Mark(at_seconds=now_seconds, replicas=proposed)
    return HpaState(recommendations=(*kept, newest), ups=state.ups, downs=state.downs)


def _within(state: HpaState, window_seconds: int, now_seconds: float) -> list[int]:
    """Recommendations inside a window; the newest always, else a window of 0 would be empty."""
    older = state.recommendations[:-1]
    inside = [m.replicas for m in older if m.at_seconds >= now_seconds - window_seconds]
    return [*inside, state.recommendations[-1].replicas]


def _limited_plainly(
    settings: HpaSettings, state: HpaState, proposed: int, replicas: int, now_seconds: float
) -> HpaDecision:
    held = max(_within(state, settings.downscale_window_seconds, now_seconds))
    ceiling = min(max(_UPSCALE_FACTOR * replicas, _UPSCALE_FLOOR), settings.replicas_max)
    chosen = max(min(held, ceiling), settings.replicas_min)
    why = f"metric asks {proposed}, highest of the window {held}, allowed up to {ceiling}"
    return HpaDecision(replicas=chosen, why=why)


def _limited_by_behavior(
    settings: HpaSettings,
    behavior: Behavior,
    state: HpaState,
    proposed: int,
    replicas: int,
    now_seconds: float,
) -> HpaDecision:
    up, down = behavior.scale_up, behavior.scale_down
    lowest = min(_within(state, up.stabilization_window_seconds, now_seconds))
    highest = max(_within(state, down.stabilization_window_seconds, now_seconds))
    stable = min(max(replicas, lowest), highest)
    if stable > replicas:
        ceiling = max(_reach(up, state, replicas, now_seconds, sign=1), replicas)
        chosen = min(stable, ceiling, settings.replicas_max)
    elif stable < replicas:
        floor = min(_reach(down, state, replicas, now_seconds, sign=-1), replicas)
        chosen = max(stable, floor, settings.replicas_min)
    else:
        chosen = replicas
    why = f"metric asks {proposed}, stabilised {stable}, policies allow {chosen}"
    return HpaDecision(replicas=chosen, why=why)


def _reach(
    rules: ScalingRules, state: HpaState, replicas: int, now_seconds: float, *, sign: int
) -> int:
    """How far the policies let the count go, from where each one's period began."""
    if rules.select_policy is SelectPolicy.DISABLED:
        return replicas
    reached: list[int] = []
    for policy in rules.policies:
        since = now_seconds - policy.period_seconds
        added = sum(m.replicas for m in state.ups if m.at_seconds > since)
        removed = sum(m.replicas for m in state.downs if m.at_seconds > since)
        at_start = replicas - added + removed
        match policy.kind:
            case PolicyKind.PODS:
                reached.append(at_start + sign * policy.value)
            case PolicyKind.PERCENT:
                by_percent = at_start * (1 + sign * policy.value / 100)
                # The controller rounds a step up upwards and truncates a step down.
                reached.append(ceil(by_percent) if sign > 0 else int(by_percent))
    allows_most = rules.select_policy is SelectPolicy.MAX
    return max(reached) if allows_most == (sign > 0) else min(reached)


def _note_change(state: HpaState, replicas: int, chosen: int, now_seconds: float) -> HpaState:
    change = chosen - replicas
    if not change:
        return state
    # The API limits a policy's period to half an hour.
    since = now_seconds - 1800
    mark = Mark(at_seconds=now_seconds, replicas=abs(change))
    ups = _recent(state.ups, since)
    downs = _recent(state.downs, since)
    return HpaState(
        recommendations=state.recommendations,
        ups=(*ups, mark) if change > 0 else ups,
        downs=(*downs, mark) if change < 0 else downs,
    )


def _recent(marks: Iterable[Mark], since_seconds: float) -> tuple[Mark, ...]:
    return tuple(mark for mark in marks if mark.at_seconds > since_seconds)
