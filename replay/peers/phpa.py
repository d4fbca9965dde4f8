"""Our reading of the Predictive HPA (jthomperoo/predictive-horizontal-pod-autoscaler, 2023-07).

It models the history of the replica count, so it extrapolates its own past decisions.
"""

from collections import deque

import numpy as np

from replay import hpa
from replay.peers.hpa_inflight import in_flight_metric
from replay.policies.keda_driven import KedaDriven
from replay.policies.port import PolicyKind, Seen
from replay.replay_input import ReplayInput


class HoltWinters:
    """Additive Holt-Winters one step ahead, with fixed coefficients."""

    _WEIGHT = 0.9
    """Alpha, beta and gamma alike."""

    def __init__(self, season: int) -> None:
        self._season = season
        self._first: list[float] = []
        self._seasonal: deque[float] = deque(maxlen=season)
        self._level = self._trend = 0.0

    def next(self, value: float) -> float:
        """Take a value, foretell the next; the value itself until two seasons are known."""
        if len(self._first) < 2 * self._season:
            self._first.append(value)
            if len(self._first) == 2 * self._season:
                self._begin()
            return value
        old = self._seasonal.popleft()
        level = self._WEIGHT * (value - old) + (1 - self._WEIGHT) * (self._level + self._trend)
        self._trend = self._WEIGHT * (level - self._level) + (1 - self._WEIGHT) * self._trend
        self._level = level
        self._seasonal.append(self._WEIGHT * (value - level) + (1 - self._WEIGHT) * old)
        return level + self._trend + self._seasonal[0]

    def _begin(self) -> None:
        first, second = (
            np.array(self._first[: self._season]),
            np.array(self._first[self._season :]),
        )
        self._level = float(second.mean())
        self._trend = float((second - first).mean()) / self._season
        self._seasonal.extend((second - self._level).tolist())


class PredictiveHpa:
    """The larger of what the HPA wants and what Holt-Winters makes of its last wishes."""

    period_seconds = hpa.SYNC_PERIOD_SECONDS
    _SEASON = 6

    def __init__(
        self, replay_input: ReplayInput, share: float, behavior: hpa.Behavior | None = None
    ) -> None:
        metric = in_flight_metric(replay_input, share)
        self._hpa = KedaDriven(metric, replay_input, behavior=behavior)
        self._model = HoltWinters(self._SEASON)

    def decide(self, seen: Seen) -> int:
        wish = self._hpa.decide(seen)
        return max(wish, round(self._model.next(wish)))


KINDS = (
    PolicyKind(
        name="phpa-holt-winters",
        source="Predictive HPA: its Holt-Winters example (0.9, season of 6 syncs), maximum",
        knob="share of a replica's profiled concurrency",
        usual=0.7,
        knobs=(0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        make=PredictiveHpa,
        with_behavior=PredictiveHpa,
    ),
)
