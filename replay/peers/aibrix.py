"""Our reading of AIBrix's APA: mean KV use over a target, with a dead band and bounded rates.

Source: vllm-project/aibrix `pkg/controller/podautoscaler/` at e3e10f9 (2026-08-23), with its
defaults: window 180 s, tolerance 0.1, rates 2 and 2, cooldown down 300 s.
"""

from math import ceil

from replay.policies.port import PolicyKind, Seen
from replay.policies.windows import Window
from replay.replay_input import ReplayInput

WINDOW_SECONDS = 180
TARGETS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


class AibrixApa:
    """Mean KV use over a target, with a dead band, a doubling at most, a halving at most."""

    period_seconds = 15
    UP_RATE_MAX = 2
    _TOLERANCE = 0.1
    _DOWN_COOLDOWN_SECONDS = 300

    def __init__(self, _replay_input: ReplayInput, target: float) -> None:
        self._target = target
        self._use = Window(WINDOW_SECONDS)
        self._changed = 0

    def decide(self, seen: Seen) -> int:
        now, replicas = seen.at_seconds, seen.replicas
        self._use.add(now, seen.kv_use_ratio)
        ratio = self._use.mean() / self._target
        wanted = replicas
        if ratio > 1 + self._TOLERANCE:
            wanted = min(ceil(replicas * ratio), self.UP_RATE_MAX * replicas)
        elif ratio < 1 - self._TOLERANCE and now - self._changed >= self._DOWN_COOLDOWN_SECONDS:
            wanted = max(ceil(replicas * ratio), replicas // 2)
        if wanted != replicas:
            self._changed = now
        return wanted


KINDS = (
    PolicyKind(
        name="aibrix-apa",
        source="AIBrix APA on KV use: 180 s, tolerance 0.1, rates 2 and 2, cooldown down 300 s",
        knob="target KV use",
        usual=0.5,
        knobs=TARGETS,
        make=AibrixApa,
    ),
)
