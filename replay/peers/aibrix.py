"""Our reading of AIBrix's APA: mean KV use over a target, with a dead band and bounded rates.

Source: vllm-project/aibrix `pkg/controller/podautoscaler/` at 015a2e5 (2026-09), with its defaults:
window 180 s, tolerance 0.1, rates 2 and 2. Pods that start hold the number back (pull request
2671). Its cooldown down of 300 s delays nothing: of what was recommended in that time a decrease
takes the least.
"""

from collections import deque
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
    _DOWN_WINDOW_SECONDS = 300

    def __init__(self, _replay_input: ReplayInput, target: float) -> None:
        self._target = target
        self._use = Window(WINDOW_SECONDS)
        self._recommended: deque[tuple[int, int]] = deque()

    def decide(self, seen: Seen) -> int:
        return self.settled(seen, self.wish(seen))

    def wish(self, seen: Seen) -> int:
        """What the mean use asks for; it is to be called once at each moment."""
        self._use.add(seen.at_seconds, seen.kv_use_ratio)
        replicas, ratio = seen.replicas, self._ratio
        if ratio > 1 + self._TOLERANCE:
            return min(ceil(replicas * ratio), self.UP_RATE_MAX * replicas)
        if ratio < 1 - self._TOLERANCE:
            return max(ceil(replicas * ratio), replicas // 2)
        return replicas

    def settled(self, seen: Seen, wish: int) -> int:
        """The wish, held back by pods that start.

        Where fewer are wanted, the lowest number that was recommended in five minutes: an HPA takes
        the highest.
        """
        now, wish = seen.at_seconds, self._guarded(seen, wish)
        self._recommended.append((now, wish))
        while self._recommended[0][0] <= now - self._DOWN_WINDOW_SECONDS:
            self._recommended.popleft()
        if wish < seen.replicas:
            return min(number for _, number in self._recommended)
        return wish

    def _guarded(self, seen: Seen, wish: int) -> int:
        """Pods that start count as idle where more are wanted, and else as busy as the target."""
        replicas = seen.replicas
        ready = min(seen.ready, replicas)
        if replicas in {ready, wish}:
            return wish
        if wish > replicas:
            return min(wish, max(replicas, ceil(ready * self._ratio)))
        return max(wish, min(replicas, ceil(ready * self._ratio + (replicas - ready))))

    @property
    def _ratio(self) -> float:
        return self._use.mean() / self._target


KINDS = (
    PolicyKind(
        name="aibrix-apa",
        source="AIBrix APA on KV use: 180 s, tolerance 0.1, rates 2 and 2, pods that start held",
        knob="target KV use",
        usual=0.5,
        knobs=TARGETS,
        make=AibrixApa,
    ),
)
