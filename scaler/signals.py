"""The signals that inference engines report, in one vocabulary for every engine.

An `Observation` holds all signals of one workload at one moment. Each signal in it is a `Reading`
in one of four states (value, zero, stale, absent). A true zero may shrink a workload, a stale or
absent reading may not. Autoscalers that mapped "no data" to 0
have scaled loaded fleets to zero during an outage of their metrics.
"""

import math
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol, assert_never

from scaler.durations import format_duration
from scaler.errors import SourceError
from scaler.limits import Limit
from scaler.message_text import limited


class Signal(StrEnum):
    """Canonical signals of one workload, summed over its replicas unless said otherwise."""

    WAITING = "waiting"
    """Requests queued because capacity is short; more replicas shorten this queue."""
    WAITING_DEFERRED = "waiting_deferred"
    """Requests queued for another reason (adapter budget, KV transfer); replicas do not help."""
    RUNNING = "running"
    """Requests being worked on."""
    KV_USE = "kv_use"
    """Share of the KV cache in use, 0 to 1, mean over replicas."""
    PROMPT_TOKENS = "prompt_tokens"
    """Prompt tokens per second that had to be computed (cache hits left out where known)."""
    GENERATED_TOKENS = "generated_tokens"
    """Generated tokens per second."""
    REQUESTS = "requests"
    """Requests per second that were finished or, where the engine counts them, accepted."""
    REJECTED = "rejected"
    """Requests per second rejected on arrival: demand that no queue shows."""
    TTFT = "ttft"
    """Time to first token, seconds, 95th percentile over the reading window."""
    ITL = "itl"
    """Inter-token latency, seconds, 95th percentile over the reading window."""
    REPLICAS = "replicas"
    """Engine replicas that report and are awake."""
    KV_CAPACITY = "kv_capacity"
    """Tokens that the KV cache of one replica holds, mean over replicas."""


ESSENTIAL = (Signal.RUNNING, Signal.WAITING, Signal.PROMPT_TOKENS, Signal.GENERATED_TOKENS)
"""A plan needs these: if all are missing there is no plan, if some are, it may not shrink."""


REMARKS_MAX: Final = 20
"""Of one observation: exporters can give cause for any number."""
READING_MAX = 1e15
"""Above this a number is a fault of its exporter, such as a counter that wrapped below zero: no
workload serves 10^15 of anything a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A measured value; `value == 0` is a true zero."""

    value: float
    at_seconds: float
    """Unix time of the newest sample it was made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """The series exist, but their newest sample is older than the source's limit."""

    at_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """No series, or none that a value can be made from."""

    why: str
    """The reason in words, of at most 1 KiB: exporters write parts of it."""
    limit: Limit | None = field(default=None, compare=False)
    """The limit that the number exceeds, where that is the reason."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "why", limited(self.why))


Reading = Value | Stale | Absent


def state_of(reading: Reading) -> str:
    """One of `value`, `zero`, `stale`, `absent`: the label of `foresail_signal_state`."""
    match reading:
        case Value(value=value):
            return "value" if value else "zero"
        case Stale():
            return "stale"
        case Absent():
            return "absent"
        case _:
            assert_never(reading)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyCounts:
    """What the replicas' latency histogram counted in the reading window, all of them together."""

    bounds_seconds: tuple[float, ...]
    """Upper bounds of the buckets, rising; the last one is infinite."""
    counts: tuple[float, ...]
    """Measurements in each bucket alone, one per bound."""
    total_seconds: float | None = None
    """Sum of all measurements; None where the engine does not export it."""

    @property
    def count(self) -> float:
        return sum(self.counts)

    @property
    def mean_seconds(self) -> float | None:
        """None where nothing was counted, or no sum is known."""
        if self.total_seconds is None or self.count <= 0:
            return None
        return self.total_seconds / self.count

    def share_above(self, seconds: float) -> float | None:
        """Share of the measurements above `seconds`, linear inside its bucket.

        None without a measurement, or with the infinite bucket alone, which tells nothing. What
        lies above the last finite bound counts as above everything.
        """
        if self.count <= 0 or self.bounds_seconds[0] == math.inf:
            return None
        above, lower = 0.0, 0.0
        for bound, count in zip(self.bounds_seconds, self.counts, strict=True):
            if lower >= seconds or bound == math.inf:
                above += count
            elif bound > seconds:
                above += count * ((bound - seconds) / (bound - lower))
            lower = bound
        return above / self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """All signals of one workload at one moment."""

    at_seconds: float
    readings: Mapping[Signal, Reading]
    """A signal the engine's preset does not know is missing from the mapping."""
    latencies: Mapping[Signal, LatencyCounts] = field(default_factory=dict)
    """Of `TTFT` and `ITL`; a histogram that was not read is missing from the mapping."""
    starts: Mapping[str, LatencyCounts] = field(default_factory=dict)
    """Of replicas, by kind, all since their exporter began; empty where no exporter counts them."""
    remarks: tuple[str, ...] = ()
    """Notes for explanations: copies dropped, old names used, engines asleep; at most
    `REMARKS_MAX`, of at most 1 KiB each."""

    def __post_init__(self) -> None:
        few, more = self.remarks[:REMARKS_MAX], len(self.remarks) - REMARKS_MAX
        if more > 0:
            few = (*few[:-1], f"and {more + 1} more remarks")
        object.__setattr__(self, "remarks", tuple(map(limited, few)))

    def value(self, signal: Signal) -> float | None:
        """The measured value, or None where there is none that may be used."""
        match self.readings.get(signal):
            case Value(value=value):
                return value
            case _:
                return None

    def why_not(self, signal: Signal, *, now_seconds: float) -> str | None:
        """Why there is no value of this signal, in words; None where there is one.

        Args:
            now_seconds: the moment that ages refer to.
        """
        match self.readings.get(signal):
            case Value():
                return None
            case Stale(at_seconds=at):
                return f"stale, newest sample {format_duration(now_seconds - at)} ago"
            case Absent(why=why):
                return why
            case None:
                return "this engine's preset has no such signal"

    def unmeasured(self, signals: Iterable[Signal], *, now_seconds: float) -> str:
        """Those of `signals` without a value, and why, such as `waiting: stale, newest …`."""
        reasons: dict[str, list[str]] = {}
        for signal in signals:
            why = self.why_not(signal, now_seconds=now_seconds)
            if why is not None:
                reasons.setdefault(why, []).append(signal)
        return "; ".join(f"{', '.join(each)}: {why}" for why, each in reasons.items())


class Feed(Protocol):
    """The observations of one workload, from any source."""

    async def observe(self, *, now_seconds: float) -> Observation:
        """Read now.

        Raises:
            SourceUnavailableError: no answer this time.
            SourceMisconfiguredError: no answer until the settings or the trigger change.
        """
        ...

    def history(
        self, *, start_seconds: float, end_seconds: float, step_seconds: float
    ) -> AsyncIterator[Observation]:
        """Past observations on the grid of `step_seconds`, oldest first; gaps are left out.

        Ends at once where the source keeps no past. Raises as `observe` does.
        """
        ...


class FeedGroup(Protocol):
    """Feeds of one source and one namespace that can be read together. Hashed by identity."""

    def parts(self, feeds: Sequence[Feed]) -> Sequence[Sequence[int]]:
        """The positions of those to read together; each position is in one part."""
        ...

    async def observe(
        self, feeds: Sequence[Feed], *, now_seconds: float
    ) -> Sequence[Observation | Exception]:
        """Read the feeds of one part now; for each in order its observation, or why it has none.

        What it returns is what `Feed.observe` returns or raises, and raises nothing that concerns
        one feed alone.
        """
        ...


class LoneGroup:
    """The group of a feed that is read by itself."""

    def parts(self, feeds: Sequence[Feed]) -> Sequence[Sequence[int]]:
        return [[position] for position in range(len(feeds))]

    async def observe(
        self, feeds: Sequence[Feed], *, now_seconds: float
    ) -> Sequence[Observation | Exception]:
        (feed,) = feeds
        try:
            return [await feed.observe(now_seconds=now_seconds)]
        except SourceError as error:
            return [error]
