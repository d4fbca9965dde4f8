"""Our reading of Knative's KPA (serving `pkg/autoscaler/scaling/autoscaler.go`, 98e5ef9)."""

from math import ceil

from replay.policies.port import PolicyKind, Seen
from replay.policies.windows import Window
from replay.replay_input import ReplayInput

_SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class Knative:
    """Mean concurrency over a stable and a panic window; in panic it only goes up."""

    period_seconds = 2
    _STABLE_SECONDS = 60
    _PANIC_SECONDS = 6
    _PANIC_RATIO = 2.0
    _DOWN_RATIO_MAX = 2.0

    def __init__(self, replay_input: ReplayInput, share: float) -> None:
        self._target = share * replay_input.replica_streams
        self._stable = Window(self._STABLE_SECONDS)
        self._panic = Window(self._PANIC_SECONDS)
        self._panic_since: int | None = None
        self._highest = 0

    def decide(self, seen: Seen) -> int:
        now = seen.at_seconds
        for window in (self._stable, self._panic):
            window.add(now, seen.in_flight)
        ready = max(1, seen.ready)
        least = int(ready / self._DOWN_RATIO_MAX)
        want_stable, want_panic = (
            max(least, ceil(window.mean() / self._target)) for window in (self._stable, self._panic)
        )
        if want_panic / ready >= self._PANIC_RATIO:
            if self._panic_since is None:
                self._highest = 0
            self._panic_since = now
        elif self._panic_since is not None and now - self._panic_since > self._STABLE_SECONDS:
            self._panic_since = None
        if self._panic_since is None:
            return want_stable
        self._highest = max(self._highest, want_panic, want_stable)
        return self._highest


KINDS = (
    PolicyKind(
        name="knative-kpa",
        source="Knative KPA: windows of 60 s and 6 s, panic at 200 %, 70 % of the concurrency",
        knob="share of a replica's profiled concurrency",
        usual=0.7,
        knobs=_SHARES,
        make=Knative,
    ),
)
