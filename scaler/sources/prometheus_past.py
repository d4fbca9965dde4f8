"""The past of one feed: range queries in chunks, read step by step."""

from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from scaler.scope import Scope
from scaler.signals import Observation
from scaler.sources.catalogue import Preset
from scaler.sources.prometheus_reads import PrometheusReads
from scaler.sources.reading import Limits, ObservationReader
from scaler.sources.selector import duration
from scaler.sources.series import Sample

CHUNK_STEPS: Final = 240
"""Steps in a range query. Prometheus allows 11,000; the size of the answer is the lower limit."""


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
    chunk_start = first - -(-limits.window_seconds // step_seconds) * step_seconds
    while chunk_start <= end_seconds:
        chunk_end = min(chunk_start + (CHUNK_STEPS - 1) * step_seconds, end_seconds)
        past = _Past(reads, reader, query, chunk_start, chunk_end, step_seconds)
        for observation in await reads.run(past.read, scope.namespace):
            if observation.at_seconds >= first:
                yield observation
        chunk_start += CHUNK_STEPS * step_seconds


@dataclass(frozen=True, slots=True)
class _Past:
    """One chunk of history, read in a thread."""

    reads: PrometheusReads
    reader: ObservationReader
    query: str
    start_seconds: float
    end_seconds: float
    step_seconds: float

    def read(self) -> list[Observation]:
        steps: defaultdict[float, list[Sample]] = defaultdict(list)
        for sample in self.reads.grid(
            self.query,
            start_seconds=self.start_seconds,
            end_seconds=self.end_seconds,
            step_seconds=self.step_seconds,
        ):
            steps[sample.at_seconds].append(sample)
        return [self.reader.observe(steps[at], now_seconds=at) for at in sorted(steps)]
