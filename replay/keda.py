"""KEDA's side of a ScaledObject with one trigger: poll, activation, cooldown, fallback.

A reading of KEDA 2.19 to 2.21 (`executor/scale_scaledobjects.go`, `fallback/fallback.go`). KEDA
itself moves a workload only between zero (or idle) and its minimum; above that it hands the metric
to the HPA. Both paths ask the scaler, and a failure on either counts towards fallback, which is why
a threshold of three is passed within a minute and not after three polls.

The scaler's answer is an input: this module makes no call.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from replay.hpa import AverageValue

_TARGET_LEAST = 0.0005
"""What rounds to less than a milli is zero, and the API server rejects an HPA with that target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """GetMetricSpec, GetMetrics and IsActive answered."""

    total: float
    target: float
    is_active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """GetMetrics or IsActive failed, after KEDA's one retry."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecFailure:
    """GetMetricSpec failed. It never counts towards fallback (kedacore/keda#8056)."""

    why: str


ScalerAnswer = Value | Failure | SpecFailure


class FallbackBehavior(StrEnum):
    """`fallback.behavior`, without the one for scaling modifiers."""

    STATIC = "static"
    CURRENT = "currentReplicas"
    CURRENT_IF_HIGHER = "currentReplicasIfHigher"
    CURRENT_IF_LOWER = "currentReplicasIfLower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """`spec.fallback`."""

    failure_threshold: int
    """Fallback begins when failures in a row exceed this."""
    replicas: int
    behavior: FallbackBehavior = FallbackBehavior.STATIC

    def replicas_for(self, current: int) -> int:
        """How many it stands for while `current` are there."""
        match self.behavior:
            case FallbackBehavior.STATIC:
                return self.replicas
            case FallbackBehavior.CURRENT:
                return current
            case FallbackBehavior.CURRENT_IF_HIGHER:
                return max(current, self.replicas)
            case FallbackBehavior.CURRENT_IF_LOWER:
                return min(current, self.replicas)
            case _:
                assert_never(self.behavior)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledObject:
    """The fields of `spec` that decide, with KEDA's defaults."""

    polling_interval_seconds: int = 30
    cooldown_period_seconds: int = 300
    initial_cooldown_period_seconds: int = 0
    replicas_min: int = 0
    replicas_max: int = 100
    replicas_idle: int | None = None
    fallback: Fallback | None = None

    def __post_init__(self) -> None:
        if self.replicas_idle is not None and self.replicas_idle >= self.replicas_min:
            raise ValueError(
                f"replicas_idle {self.replicas_idle} must be below replicas_min {self.replicas_min}"
            )

    @property
    def replicas_active(self) -> int:
        """Where activation goes, and the HPA's minimum."""
        return max(1, self.replicas_min)


@dataclass(frozen=True, slots=True, kw_only=True)
class KedaState:
    """What `status` remembers."""

    created_seconds: float = 0
    last_active_seconds: float | None = None
    failures: int = 0
    """In a row, of the one metric."""
    target: float = 1
    """Target of the last good answer: a fallback value is a multiple of it."""


class Ready(StrEnum):
    """The ScaledObject's Ready condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class PollDecision:
    """What one poll did."""

    replicas: int
    ready: Ready
    why: str


def poll(
    scaled: ScaledObject,
    state: KedaState,
    answer: ScalerAnswer,
    *,
    replicas: int,
    now_seconds: float,
) -> tuple[KedaState, PollDecision]:
    """One pass of the scale loop: `RequestScale`."""
    state = _counted(state, answer)
    is_error = not isinstance(answer, Value)
    falls_back = _falls_back(scaled, state, answer)
    is_active = isinstance(answer, Value) and answer.is_active
    if falls_back is not None and falls_back.replicas > 0:
        # Since 2.19 a trigger in fallback counts as active: it starts from zero too (#7239).
        is_active = True
    ready = Ready.TRUE
    if is_active:
        below = replicas == 0 or (
            scaled.replicas_idle is not None and replicas < scaled.replicas_min
        )
        if below:
            state = replace(state, last_active_seconds=now_seconds)
            return state, PollDecision(
                replicas=scaled.replicas_active, ready=ready, why="activated"
            )
        if is_error:
            return state, PollDecision(
                replicas=replicas, ready=Ready.UNKNOWN, why="active in fallback"
            )
        state = replace(state, last_active_seconds=now_seconds)
        return state, PollDecision(replicas=replicas, ready=ready, why="active")
    if is_error and (scaled.fallback is None or scaled.fallback.replicas != 0):
        ready = Ready.TRUE if scaled.fallback is not None else Ready.FALSE
        return state, PollDecision(replicas=replicas, ready=ready, why="error: held")
    return state, _inactive(scaled, state, replicas, now_seconds)


def _inactive(
    scaled: ScaledObject, state: KedaState, replicas: int, now_seconds: float
) -> PollDecision:
    rests_at = scaled.replicas_idle
    if rests_at is None and scaled.replicas_min == 0:
        rests_at = 0
    if rests_at is None:
        # Nothing to do above zero; from zero the minimum is restored, active or not.
        lifted = max(replicas, scaled.replicas_min)
        return PollDecision(replicas=lifted, ready=Ready.TRUE, why="inactive, minimum holds")
    if replicas <= rests_at:
        return PollDecision(replicas=replicas, ready=Ready.TRUE, why="at rest")
    if state.last_active_seconds is None:
        rest_from = state.created_seconds + scaled.initial_cooldown_period_seconds
    else:
        rest_from = state.last_active_seconds + scaled.cooldown_period_seconds
    if now_seconds < rest_from:
        return PollDecision(replicas=replicas, ready=Ready.TRUE, why="cooling down")
    return PollDecision(replicas=rests_at, ready=Ready.TRUE, why="cooled down")


def read(
    scaled: ScaledObject, state: KedaState, answer: ScalerAnswer, *, replicas: int
) -> tuple[KedaState, AverageValue | None]:
    """What the HPA gets when it asks KEDA's metrics adapter; None is an error."""
    state = _counted(state, answer)
    match answer:
        case Value(target=target) if target < _TARGET_LEAST:
            return state, None
        case Value(total=total, target=target):
            return state, AverageValue(total=total, target=target)
        case Failure() | SpecFailure():
            fallback = _falls_back(scaled, state, answer)
            if fallback is None:
                return state, None
            total = state.target * fallback.replicas_for(replicas)
            return state, AverageValue(total=total, target=state.target)
        case _:
            assert_never(answer)


def _counted(state: KedaState, answer: ScalerAnswer) -> KedaState:
    match answer:
        case Value(target=target):
            return replace(state, failures=0, target=target)
        case Failure():
            return replace(state, failures=state.failures + 1)
        case SpecFailure():
            return state
        case _:
            assert_never(answer)


def _falls_back(scaled: ScaledObject, state: KedaState, answer: ScalerAnswer) -> Fallback | None:
    fallback = scaled.fallback
    if fallback is None or not isinstance(answer, Failure):
        return None
    return fallback if state.failures > fallback.failure_threshold else None
