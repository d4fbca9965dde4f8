"""Our reading of autoscalers that follow what already happened, each with a loop of its own."""

from math import ceil

from replay.policies.port import PolicyKind, Seen
from replay.policies.windows import Persistence, Window
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


class AibrixApa:
    """Mean KV use over a target, with a dead band, a doubling at most, a halving at most."""

    period_seconds = 15
    _WINDOW_SECONDS = 180
    _TOLERANCE = 0.1
    _DOWN_COOLDOWN_SECONDS = 300

    def __init__(self, _replay_input: ReplayInput, target: float) -> None:
        self._target = target
        self._use = Window(self._WINDOW_SECONDS)
        self._changed = 0

    def decide(self, seen: Seen) -> int:
        now, replicas = seen.at_seconds, seen.replicas
        self._use.add(now, seen.kv_use_ratio)
        ratio = self._use.mean() / self._target
        wanted = replicas
        if ratio > 1 + self._TOLERANCE:
            wanted = min(ceil(replicas * ratio), 2 * replicas)
        elif ratio < 1 - self._TOLERANCE and now - self._changed >= self._DOWN_COOLDOWN_SECONDS:
            wanted = max(ceil(replicas * ratio), replicas // 2)
        if wanted != replicas:
            self._changed = now
        return wanted


class RayServe:
    """Ongoing requests a replica, averaged over a look-back, acted on when the wish lasts."""

    period_seconds = 10
    _LOOK_BACK_SECONDS = 30

    def __init__(self, _replay_input: ReplayInput, target: float) -> None:
        self._target = target
        self._ongoing = Window(self._LOOK_BACK_SECONDS)
        self._patience = Persistence(up_seconds=30, down_seconds=600)

    def decide(self, seen: Seen) -> int:
        self._ongoing.add(seen.at_seconds, seen.in_flight)
        wish = ceil(self._ongoing.mean() / self._target)
        return self._patience.allowed(seen.at_seconds, seen.replicas, wish)


class SkyServe:
    """Requests a second over a rate that one replica serves; slow up, slower down."""

    period_seconds = 20

    def __init__(self, replay_input: ReplayInput, share: float) -> None:
        self._rate = share * replay_input.replica_requests_per_second
        self._patience = Persistence(up_seconds=300, down_seconds=1200)

    def decide(self, seen: Seen) -> int:
        wish = ceil(seen.arrived_per_second / self._rate)
        return self._patience.allowed(seen.at_seconds, seen.replicas, wish)


KINDS = (
    PolicyKind(
        name="knative-kpa",
        source="Knative KPA: windows of 60 s and 6 s, panic at 200 %, 70 % of the concurrency",
        knob="share of a replica's profiled concurrency",
        usual=0.7,
        knobs=_SHARES,
        make=Knative,
    ),
    PolicyKind(
        name="aibrix-apa",
        source="AIBrix APA on KV use: 180 s, tolerance 0.1, rates 2 and 2, cooldown down 300 s",
        knob="target KV use",
        usual=0.5,
        knobs=(0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5),
        make=AibrixApa,
    ),
    PolicyKind(
        name="ray-ongoing",
        source="Ray Serve: target 2 ongoing requests, look-back 30 s, delays 30 s and 600 s",
        knob="ongoing requests a replica",
        usual=2.0,
        knobs=(2.0, 8.0, 16.0, 24.0, 32.0, 40.0, 48.0),
        make=RayServe,
    ),
    PolicyKind(
        name="sky-qps",
        source="SkyServe: requests of 60 s over a target rate, delays 300 s and 1200 s",
        knob="share of a replica's profiled requests a second",
        usual=1.0,
        knobs=(0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        make=SkyServe,
    ),
)
