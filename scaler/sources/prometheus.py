"""Prometheus as a source: one range selector for the present, range queries for the past.

A live read asks for the raw samples of the last two minutes, not for `rate()` or an instant vector.
Only raw samples carry the time of their scrape; an instant vector repeats a dead exporter's last
value for five minutes with the time of the query. `scaler.sources.reading` interprets the samples,
as it does for a scraped page.

Feeds that differ only in the model are read by one query (`scaler.sources.prometheus_feed`).
"""

from weakref import WeakValueDictionary

from scaler.scope import Scope
from scaler.sources.preset import Preset
from scaler.sources.prometheus_config import PrometheusConfig
from scaler.sources.prometheus_feed import PrometheusFeed, PrometheusGroup
from scaler.sources.prometheus_reads import PrometheusReads
from scaler.sources.prometheus_selection import Selection
from scaler.sources.read_threads import ReadThreads
from scaler.sources.refused_time import RefusedTime


class PrometheusSource(PrometheusReads):
    """Feeds from one Prometheus, which share its connections and threads."""

    def __init__(
        self,
        config: PrometheusConfig,
        refused_time: RefusedTime | None = None,
        threads: ReadThreads | None = None,
    ) -> None:
        """Make a source that reads nothing yet.

        Args:
            config: where it is, and how it is asked.
            refused_time: shared by the sources of a process; None = its own.
            threads: shared with other sources, and not closed here; None = its own.
        """
        super().__init__(config, RefusedTime() if refused_time is None else refused_time, threads)
        self._groups: WeakValueDictionary[Selection, PrometheusGroup] = WeakValueDictionary()

    def feed(self, *, preset: Preset, scope: Scope) -> PrometheusFeed:
        """The feed of one workload.

        Raises:
            SourceMisconfiguredError: the scope cannot be asked for.
        """
        selection = Selection.of(preset, scope, self.config)
        group = self._groups.get(selection)
        if group is None:
            group = self._groups[selection] = PrometheusGroup(self, selection)
        return PrometheusFeed(group, preset, scope)
