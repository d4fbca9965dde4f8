"""llm-d's SLO-aware KEDA blueprint: P90 latency over the objective, up above .55, down below .40.

Source: llm-d/llm-d `guides/workload-autoscaling/slo-aware/README.md` (1860df2, 2026-09) and
llm-d.ai "SLO-Aware Autoscaling with KEDA - the control law":

    s = mean over 45 s of min(max(P90 TTFT / objective, P90 TPOT / objective), 2); no traffic: 0

    s > .55      ready x s / .55, not below what is provisioned: the replicas that start are credit
    s < .40      ready x s / .40
    between      what is provisioned

The guide names thresholds, clamp, smoothing, dead band and credit; the ratios of the last three
lines are our reading. Its HPA adds 100 % or 4 pods in 60 s and removes one in 120 s. Latency is as
measured, its fallback without the predictor. The knob is the upper threshold, the lower one keeps
its proportion.
"""

from replay import hpa
from replay.keda import ScaledObject
from replay.policies.keda_driven import Metric, keda_kind
from replay.policies.port import Seen
from replay.policies.windows import Window, whole_above
from replay.replay_input import ReplayInput
from replay.score import Objective

_SMOOTHED_SECONDS = 45
_CLAMP = 2.0
_DOWN_PER_UP = 0.40 / 0.55
_BEHAVIOR = hpa.Behavior(
    scale_up=hpa.ScalingRules(
        policies=(
            hpa.Policy(kind=hpa.PolicyKind.PERCENT, value=100, period_seconds=60),
            hpa.Policy(kind=hpa.PolicyKind.PODS, value=4, period_seconds=60),
        ),
        stabilization_window_seconds=0,
    ),
    scale_down=hpa.ScalingRules(
        policies=(hpa.Policy(kind=hpa.PolicyKind.PODS, value=1, period_seconds=120),),
        stabilization_window_seconds=300,
    ),
)


class SloAware:
    """The recording rules and the formula."""

    def __init__(self, objective: Objective, up: float) -> None:
        self._objective, self._up, self._down = objective, up, up * _DOWN_PER_UP
        self._saturation = Window(_SMOOTHED_SECONDS)

    def __call__(self, seen: Seen) -> tuple[float, float]:
        self._saturation.add(seen.at_seconds, min(self._latency_ratio(seen), _CLAMP))
        saturation = self._saturation.mean()
        if saturation > self._up:
            return max(seen.replicas, whole_above(seen.ready * saturation / self._up)), 1.0
        if saturation < self._down:
            return whole_above(seen.ready * saturation / self._down), 1.0
        return seen.replicas, 1.0

    def _latency_ratio(self, seen: Seen) -> float:
        if seen.ttft_p90_seconds is None:
            return 0.0
        return max(
            seen.ttft_p90_seconds / self._objective.ttft_seconds,
            seen.itl_seconds / self._objective.itl_seconds,
        )


def _slo_aware(replay_input: ReplayInput, up: float) -> Metric:
    return SloAware(replay_input.platform.objective, up)


KINDS = (
    keda_kind(
        name="llmd-slo-aware",
        source="llm-d's SLO-aware KEDA blueprint: P90 latency over the objective, .55 up, .40 down",
        knob="latency over the objective above which to add; removing below 0.73 of it",
        usual=0.55,
        knobs=(0.4, 0.55, 0.65, 0.75, 0.85, 0.95),
        metric=_slo_aware,
        scaled=ScaledObject(polling_interval_seconds=15),
        behavior=_BEHAVIOR,
    ),
)
