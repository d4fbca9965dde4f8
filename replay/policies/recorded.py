"""The fleet as it was recorded, in place of a rule: what somebody's rule, or hand, made of it."""

from dataclasses import dataclass
from functools import partial
from math import ceil, isfinite

from replay.policies.port import PolicyKind, Seen
from replay.replay_input import ReplayInput

_STEP_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFleet:
    """Replicas that reported in each minute."""

    begin_seconds: float
    """Unix time of the first minute."""
    replicas: tuple[float, ...]
    """NaN where nothing is known: the last number stands."""

    @property
    def name(self) -> str:
        return "yours"

    def kind(self) -> PolicyKind:
        source = "your fleet as it was recorded, minute by minute"
        return PolicyKind.as_it_is(self.name, source, partial(_Recorded, self))


class _Recorded:
    """Orders a start-up ahead, so that replicas serve when they did."""

    period_seconds = _STEP_SECONDS

    def __init__(self, fleet: RecordedFleet, replay_input: ReplayInput) -> None:
        assert replay_input.begin_seconds is not None
        self._ahead = ceil(replay_input.platform.fleet.start_up.median_seconds / _STEP_SECONDS)
        self._offset = round((replay_input.begin_seconds - fleet.begin_seconds) / _STEP_SECONDS)
        self._replicas = _without_gaps(fleet.replicas)

    def decide(self, seen: Seen) -> int:
        here = min(self._offset + seen.at_seconds // _STEP_SECONDS, len(self._replicas) - 1)
        return max(self._replicas[here : here + self._ahead + 1])


def _without_gaps(replicas: tuple[float, ...]) -> list[int]:
    last = next((one for one in replicas if isfinite(one)), 1.0)
    filled = []
    for one in replicas:
        last = one if isfinite(one) else last
        filled.append(round(last))
    return filled
