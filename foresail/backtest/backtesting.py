"""`foresail backtest`: a workload's own past, read from its Prometheus, as traffic to replay.

What was asked is told by what was served: requests that nobody answered left no trace in the
engine's counters, so a past that was overloaded looks calmer than it was.
"""

from dataclasses import dataclass
from math import nan

import numpy as np

from foresail.figures import last
from foresail.serve.wiring import Sources
from foresail.settings.file import Settings
from replay.past_capacity import PastLoad
from replay.traces import Trace, tokens_each
from replay.traffic import DAY_SECONDS, Floats
from scaler.errors import ForesailError
from scaler.scope import Scope
from scaler.signals import Feed, Observation, Signal, Value
from scaler.sources.catalogue import load

STEP_SECONDS = 60.0
_SIGNALS = (
    Signal.REQUESTS,
    Signal.PROMPT_TOKENS,
    Signal.GENERATED_TOKENS,
    Signal.REPLICAS,
    Signal.ITL,
    Signal.RUNNING,
    Signal.WAITING,
    Signal.KV_USE,
)
_STEPS_A_DAY = int(DAY_SECONDS / STEP_SECONDS)
_KNOWN_MIN = 30
"""Steps; less is no past."""
_DAYS_FROM_MIDNIGHT = 2.0
"""More of them begin at a midnight: a day's profile does."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Past:
    """What was recorded of a workload."""

    trace: Trace
    load: PastLoad
    """Of each minute of the trace."""

    def replica_hours(self) -> float:
        """Of the fleet as it was, gaps left out."""
        return float(np.nansum(self.load.replicas)) * STEP_SECONDS / 3600


async def past_of(
    settings: Settings,
    *,
    source: str | None,
    engine: str,
    scope: Scope,
    days: float,
    now_seconds: float,
) -> Past:
    """The last `days` of a workload, from one of the settings' sources.

    Raises:
        ForesailError: there is no such source, it does not answer, or it knows nothing of it.
    """
    names = [one.name for one in settings.sources]
    chosen = source or names[0]
    if chosen not in names:
        raise ForesailError(f"--source {chosen!r}: the settings have {', '.join(names)}")
    sources = Sources.of(settings)
    try:
        preset = load(engine).with_latency_sums()
        feed = sources.by_name[chosen].feed(preset=preset, scope=scope)
        what = f"{scope} in source {chosen!r}"
        return await read_past(feed, what=what, days=days, now_seconds=now_seconds)
    finally:
        await sources.close()


async def read_past(feed: Feed, *, what: str, days: float, now_seconds: float) -> Past:
    """The last `days` of a feed, from a midnight (UTC) on where there are more than two.

    Args:
        feed: of a preset with sums in place of latencies.
        what: of whom, for messages.

    Raises:
        ForesailError: the source does not answer, or it knows nothing of the workload.
    """
    begin = now_seconds - days * DAY_SECONDS
    if days > _DAYS_FROM_MIDNIGHT:
        begin = -(-begin // DAY_SECONDS) * DAY_SECONDS
    seen = [
        observation
        async for observation in feed.history(
            start_seconds=begin, end_seconds=now_seconds, step_seconds=STEP_SECONDS
        )
    ]
    return _past(seen, what=what, days=days)


def _past(seen: list[Observation], *, what: str, days: float) -> Past:
    columns = _table(seen)
    known = np.isfinite(columns[:, 0])
    if known.sum() < _KNOWN_MIN:
        raise ForesailError(
            f"{what}: {int(known.sum())} minutes of requests in {last(days)}, at least "
            f"{_KNOWN_MIN} are needed; is the model's name the one in the metrics, does the "
            "source keep its past, and do more --days help?"
        )
    first = int(np.flatnonzero(known)[0])
    if len(known) - first > 2 * _STEPS_A_DAY:
        first += (
            -(round(seen[0].at_seconds / STEP_SECONDS) + first) % _STEPS_A_DAY
        )  # a day's profile begins at midnight
    columns = columns[first:]
    begin = seen[0].at_seconds + first * STEP_SECONDS
    for signal, column in zip(_SIGNALS[:3], columns.T, strict=False):
        if not np.nansum(column) > 0:
            raise ForesailError(f"{what}: no {signal.replace('_', ' ')} in {last(days)}")
    requests, prompt, output, replicas, between, running, waiting, kv_use = columns.T
    trace = Trace(
        name=what,
        step_seconds=STEP_SECONDS,
        requests_per_second=requests,
        prompt_tokens=tokens_each(prompt, requests),
        output_tokens=tokens_each(output, requests),
        begin_seconds=begin,
    )
    load = PastLoad(
        replicas=replicas,
        streams=between,
        requests_per_second=requests,
        prompt_tokens_per_second=prompt,
        generated_tokens_per_second=output,
        running=running,
        waiting=waiting,
        kv_use_ratio=kv_use,
    )
    return Past(trace=trace, load=load)


def _table(seen: list[Observation]) -> Floats:
    """A row a step: one that the source left out, for want of samples, is a gap."""
    if not seen:
        return np.empty((0, len(_SIGNALS)))
    steps = [round(observation.at_seconds / STEP_SECONDS) for observation in seen]
    rows = np.full((steps[-1] - steps[0] + 1, len(_SIGNALS)), nan)
    for step, observation in zip(steps, seen, strict=True):
        rows[step - steps[0]] = [_amount(observation, signal) for signal in _SIGNALS]
    return rows


def _amount(observation: Observation, signal: Signal) -> float:
    reading = observation.readings.get(signal)
    return reading.value if isinstance(reading, Value) else nan
