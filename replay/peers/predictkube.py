"""Our reading of PredictKube's rule in KEDA: the larger of a prediction and the last value.

The hosted model is closed; ours predicts what was a day before.
"""

from replay.policies.keda_driven import keda_kind
from replay.policies.port import Seen
from replay.replay_input import ReplayInput
from replay.traffic import DAY_SECONDS


class DayBefore:
    """Requests a second by the minute, and what they were a day before a moment to come."""

    def __init__(self, replay_input: ReplayInput) -> None:
        self._minutes = replay_input.past.requests_per_second.tolist()
        self._begin = len(self._minutes)

    def note(self, at_seconds: int, rate: float) -> None:
        """Once a minute; a rate of the minute that ends now."""
        if at_seconds % 60 == 0 and at_seconds:
            self._minutes.append(rate)

    def ahead(self, seconds: float) -> float | None:
        """None while a day has not passed."""
        place = len(self._minutes) - 1 + round((seconds - DAY_SECONDS) / 60)
        return self._minutes[place] if place >= 0 else None


class LargerOfPrediction:
    """max(prediction, last value) over a threshold a replica, through KEDA."""

    def __init__(self, replay_input: ReplayInput, share: float) -> None:
        self._days = DayBefore(replay_input)
        self._target = share * replay_input.replica_requests_per_second
        self._horizon = replay_input.start_up_seconds

    def __call__(self, seen: Seen) -> tuple[float, float]:
        self._days.note(seen.at_seconds, seen.arrived_per_second)
        predicted = self._days.ahead(self._horizon)
        last = seen.arrived_per_second
        return last if predicted is None else max(predicted, last), self._target


KINDS = (
    keda_kind(
        name="max-pred-last",
        source="PredictKube's max(prediction, last), here of the day before, a start-up ahead",
        knob="share of a replica's profiled requests a second",
        usual=1.0,
        knobs=(0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        metric=LargerOfPrediction,
    ),
)
