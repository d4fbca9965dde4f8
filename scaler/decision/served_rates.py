"""Served tokens beyond what the replicas could have served: a fault of a counter, not demand.

A crowd may make requests wait by the thousand, but a token is counted when it is served, and the
replicas that report serve what they can. A counter that jumps shows a rate of many times that for
one window of its source; when it falls back, the fall passes for a restart that counts all its
tokens again, for one more window. Both are kept out of demand, forecast and learning.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from scaler.decision.capacity import Origin, ReplicaCapacity
from scaler.decision.tracker import PollResult
from scaler.limits import Limit
from scaler.signals import Absent, Observation, Signal

FIGURES_MAX: Final = 50.0
"""How often a replica may serve the figure that a trigger gives. Figures are what keeps the
objective, some are wrong by a factor of three, and engines that count cached prompt tokens serve
ten times as many of them."""
PRIOR_MAX: Final = 100.0
"""The same of a preset's figure, which was measured on another engine."""
DOUBTED_SECONDS: Final = 120.0
"""After the last such rate: the window of the source, and as long again for the fall."""

_KEYS: Final = {
    Signal.PROMPT_TOKENS: "replicaPromptTokensPerSecond",
    Signal.GENERATED_TOKENS: "replicaGeneratedTokensPerSecond",
}


@dataclass(slots=True, kw_only=True)
class ServedRates:
    """The check of one feed's rates, look by look."""

    _ready: deque[tuple[float, float]] = field(default_factory=deque)
    _doubted: dict[Signal, tuple[float, str]] = field(default_factory=dict)
    """When such a rate was last read, and why it is not believed."""

    def take(self, poll: PollResult, capacities: Iterable[ReplicaCapacity]) -> PollResult:
        """The same poll result, without the rates that no replicas served.

        Args:
            capacities: a replica's, as each workload of the feed has it; a rate is believed where
                one of them can explain it.
        """
        seen = poll.observation
        ready = None if seen is None else seen.value(Signal.REPLICAS)
        if seen is None or ready is None:
            return poll
        most = self._most_ready(seen.at_seconds, ready)
        known = list(capacities)
        absent = {
            signal: Absent(why=why, limit=Limit.SERVED_RATE)
            for signal in _KEYS
            if (why := self._doubt(seen, signal, most, known)) is not None
        }
        if not absent:
            return poll
        observation = replace(seen, readings={**seen.readings, **absent})
        return replace(poll, observation=observation)

    def clock_moved(self, seconds: float) -> None:
        """Continue after the wall clock was set."""
        self._ready = deque((at + seconds, count) for at, count in self._ready)
        self._doubted = {signal: (at + seconds, why) for signal, (at, why) in self._doubted.items()}

    def _most_ready(self, at: float, ready: float) -> float:
        """The most replicas of late: a rate is of a whole window, a pool's count of this moment."""
        self._ready.append((at, ready))
        while not at - DOUBTED_SECONDS <= self._ready[0][0] <= at:
            self._ready.popleft()
        return max(1.0, *(count for _, count in self._ready))

    def _doubt(
        self,
        seen: Observation,
        signal: Signal,
        ready: float,
        capacities: list[ReplicaCapacity],
    ) -> str | None:
        """Why the rate of this signal is not believed now; None where it is."""
        rate = seen.value(signal)
        if rate is None:
            return None
        most = max((_most(one, signal) for one in capacities), default=float("inf")) * ready
        if rate > most:
            why = (
                f"{rate:,.0f} a second, and {ready:,.0f} ready replicas serve at most {most:,.0f} "
                f"by their figures: a counter jumped, or {_KEYS[signal]} is far too low"
            )
            self._doubted[signal] = seen.at_seconds, why
            return why
        at, why = self._doubted.get(signal, (float("-inf"), ""))
        if 0 <= seen.at_seconds - at < DOUBTED_SECONDS:
            return f"not believed yet after {why}"
        _ = self._doubted.pop(signal, None)
        return None


def _most(capacity: ReplicaCapacity, signal: Signal) -> float:
    """Tokens a second that one replica is believed to serve; infinite without a figure."""
    work = capacity.work
    each = work.prompt if signal is Signal.PROMPT_TOKENS else work.generated
    times = PRIOR_MAX if work.origin is Origin.PRIOR else FIGURES_MAX
    return times / each if each > 0 else float("inf")
