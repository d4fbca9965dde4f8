"""Our reading of AIBrix's linear prediction: the larger of APA's count and the trend's.

Source: vllm-project/aibrix `pkg/controller/podautoscaler/prediction/predictor.go` (98354005,
2026-09, and the later version that draws the line from the fitted level at now): least squares over
the observe window, at least 3 points that span half of it, horizon 120 s, not below 0. (Its cap of
4 times the level cannot bind where the horizon is shorter than the window.) The composition is that
of `autoscaler_predictive_test.go` (295c36d), and pods that start hold it back as they do APA. In
that version mode `Auto` only reports what it composed; ours acts on it, as the field is meant to.
"""

from collections import deque
from math import ceil

from replay.peers.aibrix import TARGETS, WINDOW_SECONDS, AibrixApa
from replay.policies.port import PolicyKind, Seen
from replay.replay_input import ReplayInput

HORIZON_SECONDS = 120
_POINTS_MIN = 3
_COVERAGE_MIN = 0.5


def projected(samples: list[tuple[float, float]], now: float) -> float | None:
    """The line through the window's samples at the horizon; None where it is too short for one.

    Args:
        samples: time and value, the oldest first, all within the window before `now`.
    """
    if len(samples) < _POINTS_MIN:
        return None
    if samples[-1][0] - samples[0][0] < _COVERAGE_MIN * WINDOW_SECONDS:
        return None
    count = len(samples)
    mean_at = sum(at for at, _ in samples) / count
    mean = sum(value for _, value in samples) / count
    spread = sum((at - mean_at) ** 2 for at, _ in samples)
    slope = sum((at - mean_at) * (value - mean) for at, value in samples) / spread
    level = mean + slope * (now - mean_at)
    return max(0.0, level + slope * HORIZON_SECONDS)


class AibrixPredictive:
    """APA, and never less than what the trend asks for."""

    period_seconds = AibrixApa.period_seconds

    def __init__(self, replay_input: ReplayInput, target: float) -> None:
        self._reactive = AibrixApa(replay_input, target)
        self._target = target
        self._samples: deque[tuple[float, float]] = deque()

    def decide(self, seen: Seen) -> int:
        now, replicas = seen.at_seconds, seen.replicas
        self._samples.append((now, seen.kv_use_ratio))
        while self._samples[0][0] <= now - WINDOW_SECONDS:
            self._samples.popleft()
        wanted = self._reactive.wish(seen)
        ahead = projected(list(self._samples), now)
        if ahead is not None:
            most = AibrixApa.UP_RATE_MAX * replicas
            wanted = max(wanted, min(ceil(replicas * ahead / self._target), most))
        return self._reactive.settled(seen, wanted)


KINDS = (
    PolicyKind(
        name="aibrix-predictive",
        source="AIBrix APA with its linear prediction: 120 s ahead over a window of 180 s",
        knob="target KV use",
        usual=0.5,
        knobs=TARGETS,
        make=AibrixPredictive,
    ),
)
