"""Rules that only compute a metric: KEDA and the HPA turn it into replicas.

The metric is a total over the fleet with a target a replica, as an external metric of type
AverageValue; ratios are therefore multiplied by the replicas that report them.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from replay import hpa
from replay.control import Control
from replay.keda import ScaledObject, Value
from replay.policies.port import PolicyKind, Seen
from replay.replay_input import ReplayInput

Metric = Callable[[Seen, ReplayInput, float], tuple[float, float]]
"""Total over the fleet and target a replica, from what is seen and the knob."""


class KedaDriven:
    """One metric behind KEDA's polling and the HPA's arithmetic."""

    period_seconds = 15

    def __init__(
        self,
        metric: Callable[[Seen], tuple[float, float]],
        replay_input: ReplayInput,
        *,
        scaled: ScaledObject | None = None,
        behavior: hpa.Behavior | None = None,
    ) -> None:
        platform = replay_input.platform
        bounded = replace(
            scaled or ScaledObject(),
            replicas_min=platform.replicas_min,
            replicas_max=platform.replicas_max,
        )
        self._metric = metric
        self._control = Control(bounded, behavior, replicas_at_start=replay_input.replicas_at_start)

    @property
    def control_why(self) -> str:
        """What KEDA or the HPA made of the last answer."""
        return self._control.why

    def decide(self, seen: Seen) -> int:
        replicas = seen.replicas
        # KEDA's poll and the HPA's sync of one moment read the same metrics.
        total, target = self._metric(seen)
        answer = Value(total=total, target=target, is_active=seen.in_flight > 0)
        for due in self._control.due(seen.at_seconds, replicas=replicas):
            replicas = self._control.apply(
                due, answer, replicas=replicas, now_seconds=seen.at_seconds
            )
        return replicas


def _kind(  # noqa: PLR0913, PLR0917 - a row of a table
    name: str,
    source: str,
    knob: str,
    usual: float,
    knobs: tuple[float, ...],
    metric: Metric,
    scaled: ScaledObject | None = None,
) -> PolicyKind:
    def make(replay_input: ReplayInput, setting: float) -> KedaDriven:
        return KedaDriven(
            lambda seen: metric(seen, replay_input, setting), replay_input, scaled=scaled
        )

    return PolicyKind(name=name, source=source, knob=knob, usual=usual, knobs=knobs, make=make)


def _in_flight(seen: Seen, replay_input: ReplayInput, share: float) -> tuple[float, float]:
    return seen.in_flight, share * replay_input.replica_streams


def in_flight_metric(
    replay_input: ReplayInput, share: float
) -> Callable[[Seen], tuple[float, float]]:
    """Requests in flight over a share of what one replica's load test read."""
    return partial(_in_flight, replay_input=replay_input, share=share)


def _kv(seen: Seen, _replay_input: ReplayInput, target: float) -> tuple[float, float]:
    return seen.kv_use_ratio * seen.ready, target


def _waiting(seen: Seen, _replay_input: ReplayInput, target: float) -> tuple[float, float]:
    return seen.waiting, target


def _composite(seen: Seen, _replay_input: ReplayInput, scale: float) -> tuple[float, float]:
    return max(seen.waiting / 3, seen.kv_use_ratio * seen.ready / 0.7), scale


def _saturation(seen: Seen, _replay_input: ReplayInput, target: float) -> tuple[float, float]:
    if not seen.ready:
        return float(max(1, seen.replicas)), target  # blind reads as saturated
    return max(seen.waiting / 5, seen.kv_use_ratio * seen.ready / 0.8), target


_TUTORIAL = ScaledObject(polling_interval_seconds=15, cooldown_period_seconds=360)
_RATIOS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
KINDS = (
    _kind(
        "hpa-inflight",
        "HPA on requests in flight, at the 70 % of Knative's target utilisation",
        "share of a replica's profiled concurrency",
        0.7,
        _RATIOS,
        _in_flight,
    ),
    _kind("hpa-kv", "HPA on mean KV-cache use", "target ratio", 0.7, _RATIOS, _kv),
    _kind(
        "keda-waiting",
        "vLLM production-stack's KEDA tutorial: waiting requests, polling 15 s, cooldown 360 s",
        "waiting requests a replica",
        5.0,
        (0.25, 0.5, 1.0, 2.0, 5.0, 10.0),
        _waiting,
        _TUTORIAL,
    ),
    _kind(
        "keda-composite",
        "keda-inference-scaler: max(queue / 3, KV / 0.7)",
        "value that means one replica is full",
        1.0,
        (0.3, 0.4, 0.5, 0.6, 0.8, 1.0),
        _composite,
    ),
    _kind(
        "epp-saturation",
        "llm-d's endpoint picker through KEDA: max(queue / 5, KV / 0.8), 1 when blind",
        "target saturation",
        1.0,
        (0.25, 0.35, 0.45, 0.6, 0.8, 1.0),
        _saturation,
    ),
)
