"""Limits that were exceeded: as a series of both processes together, and once each in the log."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import structlog
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from scaler.limits import COUNTS, Limit

log = structlog.get_logger()


class LimitLog:
    """Names each limit in the log when it was first exceeded in this process."""

    def __init__(self) -> None:
        self._named: set[Limit] = set()

    def name_new(self) -> None:
        new = COUNTS.snapshot().keys() - self._named
        for limit in sorted(new):
            log.warning("limit_exceeded", limit=str(limit), see="docs/limits.md")
        self._named |= new


LOG: Final = LimitLog()
"""Of this process."""


class LimitCollector(Collector):
    """One series for each limit, from the first scrape on, so that a rate sees the first excess.

    A scrape also names new limits in the log, for processes that do nothing at intervals.
    """

    def __init__(
        self, others: Callable[[], Mapping[Limit, int]] = dict, *, named: LimitLog = LOG
    ) -> None:
        """Export the counts of this process and of the other one.

        Args:
            others: the last report of the process that answers KEDA, where there is one.
            named: which limits were named in the log.
        """
        self._others = others
        self._named = named

    @override
    def collect(self) -> Iterator[CounterMetricFamily]:
        self._named.name_new()
        counts = Counter(COUNTS.snapshot())
        counts.update(self._others())
        family = CounterMetricFamily(
            "foresail_limit_exceeded",
            "Times that a limit was exceeded, by its name in docs/limits.md.",
            labels=("limit",),
        )
        for limit in Limit:
            family.add_metric((limit,), counts[limit])
        yield family
