"""What the sources of one process share, so that a namespace has its part of each once.

A tenant may have many sources and many triggers; what it takes of the process is counted over all.
"""

from dataclasses import dataclass, field
from typing import Final

from scaler.scope import Scope
from scaler.sources.held_bytes import HeldBytes
from scaler.sources.look_threads import LookThreads
from scaler.sources.refused_time import RefusedTime
from scaler.sources.series_room import SeriesRoom, held_for_series

PAGE_SHARE: Final = 0.2
"""Of one core, for the samples that are made for one namespace: of the pages of 900 pods of vLLM
every 15 s."""
PAGE_BURST_SECONDS: Final = 5.0


@dataclass(slots=True, kw_only=True)
class SourceShares:
    """Time, memory and threads, by namespace."""

    refused_time: RefusedTime = field(default_factory=RefusedTime)
    """For what comes to nothing, or is larger than an engine's."""
    page_time: RefusedTime = field(
        default_factory=lambda: RefusedTime(burst_seconds=PAGE_BURST_SECONDS, share=PAGE_SHARE)
    )
    """Of threads, for samples of pages and of what came over OTLP."""
    series: HeldBytes = field(default_factory=held_for_series)
    """That are kept from look to look."""
    threads: LookThreads = field(default_factory=LookThreads)
    """That make samples."""

    period_seconds: float = 15.0
    """Between two looks."""

    def room(self, scope: Scope, *, source: str, keep_seconds: float) -> SeriesRoom:
        """For the series of one workload, which are kept for so long."""
        return SeriesRoom(
            self.series,
            namespace=scope.namespace,
            source=source,
            looks_kept=keep_seconds / self.period_seconds,
        )

    def close(self) -> None:
        self.threads.close()
