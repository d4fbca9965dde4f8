"""The past of one feed: range queries in chunks, read step by step."""

from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from scaler.errors import SourceError
from scaler.scope import Scope
from scaler.signals import Observation
from scaler.sources.preset import Preset
from scaler.sources.prometheus_reads import PrometheusReads
from scaler.sources.reading import Limits, ObservationReader
from scaler.sources.selector import duration
from scaler.sources.series import Sample

CHUNK_STEPS: Final = 240
"""Steps in the first range query of a past, and the fewest in one."""
_CHUNK_STEPS_MAX: Final = 4 * CHUNK_STEPS
"""Prometheus allows 11,000."""
_CHUNK_SAMPLES: Final = 10_000
"""Samples that an answer should have at most, where the steps are not the fewest. A past with few
samples, of a new model for example, takes few queries."""


async def read_past(  # noqa: PLR0913 - what is read, and when
    reads: PrometheusReads,
    preset: Preset,
    scope: Scope,
    selected: str,
    *,
    start_seconds: float,
    end_seconds: float,
    step_seconds: float,
) -> AsyncIterator[Observation]:
    """Past observations, as `Feed.history` has them.

    Args:
        reads: the Prometheus.
        preset: without the buckets, which are not read.
        scope: of the feed.
        selected: the selector of its series.
        start_seconds: as the others, of `Feed.history`.
    """
    # A step without a sample is a gap; an older sample must not fill it.
    limits = Limits(
        window_seconds=max(reads.config.limits.window_seconds, step_seconds),
        stale_after_seconds=step_seconds / 2,
    )
    reader = ObservationReader(preset, model=scope.model, limits=limits)
    # A millisecond short of a step: Prometheus 2 counts a range's left end in, 3 does not, and
    # a sample on the grid would be seen at two steps.
    query = f"last_over_time({selected}[{duration(step_seconds - 0.001)}])"
    first = -(-start_seconds // step_seconds) * step_seconds
    # Rates at the first step need samples from before it.
    before = -(-limits.window_seconds // step_seconds)
    chunk_start = first - before * step_seconds
    steps = CHUNK_STEPS
    while chunk_start <= end_seconds:
        chunk_end = min(chunk_start + (steps - 1) * step_seconds, end_seconds)
        past = _Past(reads, reader, query, chunk_start, chunk_end, step_seconds)
        try:
            samples, observations = await reads.run(past.read, scope.namespace)
        except SourceError:
            if steps == CHUNK_STEPS:
                raise
            # A busy hour after an empty day may be too much for one answer. The thread may still be
            # at it: another reader reads it again, with the samples before it that rates need.
            steps, reader = CHUNK_STEPS, ObservationReader(preset, model=scope.model, limits=limits)
            first = max(first, chunk_start)
            chunk_start -= before * step_seconds
            continue
        for observation in observations:
            if observation.at_seconds >= first:
                yield observation
        chunk_start += steps * step_seconds
        steps = _next_steps(steps, samples)


def _next_steps(steps: int, samples: int) -> int:
    """The steps of the next query: twice as many while the answers have room, else half."""
    if 2 * samples <= _CHUNK_SAMPLES:
        return min(2 * steps, _CHUNK_STEPS_MAX)
    if samples > _CHUNK_SAMPLES:
        return max(steps // 2, CHUNK_STEPS)
    return steps


@dataclass(frozen=True, slots=True)
class _Past:
    """One chunk of history, read in a thread."""

    reads: PrometheusReads
    reader: ObservationReader
    query: str
    start_seconds: float
    end_seconds: float
    step_seconds: float

    def read(self) -> tuple[int, list[Observation]]:
        """How many samples there were, and the observations of them."""
        count = 0
        steps: defaultdict[float, list[Sample]] = defaultdict(list)
        for series in self.reads.grid(
            self.query,
            start_seconds=self.start_seconds,
            end_seconds=self.end_seconds,
            step_seconds=self.step_seconds,
        ):
            count += len(series.points)
            for sample in series.samples():
                steps[sample.at_seconds].append(sample)
        return count, [self.reader.observe(steps[at], now_seconds=at) for at in sorted(steps)]
