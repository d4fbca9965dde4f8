"""Prometheus as a source: one range selector for the present, range queries for the past.

A live read asks for the raw samples of the last two minutes, not for `rate()` or an instant vector.
Only raw samples carry the time of their scrape; an instant vector repeats a dead exporter's last
value for five minutes with the time of the query. `scaler.sources.reading` interprets the samples,
as it does for a scraped page.

Everything that blocks or computes (the request, the JSON, the reading) runs in a few threads of the
source. It does not run in asyncio's threads, which a hanging Prometheus would block for all.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, TypeVar

from prometheus_api_client import PrometheusConnect
from pydantic import TypeAdapter
from urllib3.util.retry import Retry

from fleet.answer_notes import WHOLE_OR_NOTHING
from scaler.errors import AskedTooOftenError, SourceError, SourceUnavailableError
from scaler.limits import Limit, exceeded
from scaler.scope import Scope
from scaler.signals import Absent, Feed, Observation
from scaler.sources.access import checked_url
from scaler.sources.catalogue import Preset
from scaler.sources.page import listed
from scaler.sources.pause import Pause
from scaler.sources.prometheus_answer import samples_of_answer
from scaler.sources.prometheus_config import PrometheusConfig, auth_of
from scaler.sources.prometheus_session import PrometheusSession, translated
from scaler.sources.prometheus_transport import Transport, remarks
from scaler.sources.reading import Limits, ObservationReader
from scaler.sources.refused_time import RefusedTime
from scaler.sources.selector import duration, matchers, selector
from scaler.sources.series import Sample

CHUNK_STEPS: Final = 240
"""Steps in a range query. Prometheus allows 11,000; the size of the answer is the lower limit."""
_HINT_EVERY_SECONDS: Final = 60.0
_HINT_LOOKBACK_SECONDS: Final = 3600.0
_CLOSING_SECONDS: Final = 0.05
"""The request ends this much after the read gives up, so that the read reports the reason."""
_VALUES: Final = TypeAdapter(list[str])
_Answer = TypeVar("_Answer")


class PrometheusSource:
    """Feeds from one Prometheus, which share its connections and threads."""

    def __init__(self, config: PrometheusConfig, refused_time: RefusedTime | None = None) -> None:
        """Make a source that reads nothing yet.

        Args:
            config: where it is, and how it is asked.
            refused_time: shared by the sources of a process; None = its own.
        """
        self.config = config
        self._refused_time = RefusedTime() if refused_time is None else refused_time
        url = checked_url(config.url).rstrip("/")
        self._transport = Transport(
            config.tls,
            body_bytes_max=config.body_bytes_max,
            owner=config.owner or config.name,
            refused_time=self._refused_time,
        )
        self._session = PrometheusSession(
            self._transport,
            auth=auth_of(config, self._transport),
            headers=config.headers,
        )
        self._client = PrometheusConnect(
            url=url,
            session=self._session,
            # The next look is the retry; one inside a look would only delay the error.
            retry=Retry(total=0, redirect=False),
            method="POST",
        )
        self._threads = ThreadPoolExecutor(config.concurrency, f"source-{config.name}")
        self._pause = Pause()

    def feed(self, *, preset: Preset, scope: Scope) -> Feed:
        """The feed of one workload.

        Raises:
            SourceMisconfiguredError: the scope cannot be asked for.
        """
        return _PrometheusFeed(self, preset, scope)

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        await self._transport.end()
        self._session.close()

    async def run(self, work: Callable[[], _Answer], namespace: str | None = None) -> _Answer:
        """Do blocking work for a namespace in one of the source's threads, within its time limit.

        The limit also ends the requests of the work, so that the thread is free again.
        """
        if self._transport.ended:  # a forgotten feed may still have begun to read
            raise self._is_closed()
        loop = asyncio.get_running_loop()
        self._refuse_while_paused(loop.time())
        self._refuse_oversized(namespace, loop.time())
        limit = loop.time() + self.config.timeout_seconds
        work = self._transport.bound(work, loop, limit + _CLOSING_SECONDS, namespace)
        try:
            async with asyncio.timeout_at(limit):
                answer = await loop.run_in_executor(self._threads, work)
        except AskedTooOftenError as error:
            self._pause.begin(loop.time(), error.wait_seconds)
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if self._transport.ended and task is not None and not task.cancelling():
                raise self._is_closed() from error  # the work was cancelled before it had a thread
            raise
        except TimeoutError as error:
            exceeded(Limit.READ_SECONDS)
            raise SourceUnavailableError(
                f"source {self.config.name!r} at {self.config.url}: no answer within "
                f"{self.config.timeout_seconds:g} s"
            ) from error
        self._pause.end()
        return answer

    def _refuse_while_paused(self, now_seconds: float) -> None:
        left = self._pause.until_seconds - now_seconds
        if left > 0:
            raise SourceUnavailableError(
                f"source {self.config.name!r} at {self.config.url}: asked too often (HTTP 429); "
                f"asked again in {left:.0f} s"
            )

    def _refuse_oversized(self, namespace: str | None, now_seconds: float) -> None:
        left = self._refused_time.wait_seconds(namespace, now_seconds=now_seconds)
        if left > 0:
            exceeded(Limit.REFUSED_TIME)
            raise SourceUnavailableError(
                f"source {self.config.name!r} at {self.config.url}: answers about namespace "
                f"{namespace!r} were too large to be read, and took too much time; "
                f"asked again in {left:.0f} s"
            )

    def _is_closed(self) -> SourceUnavailableError:
        return SourceUnavailableError(f"source {self.config.name!r}: closed")

    def window(self, query: str, *, now_seconds: float) -> list[Sample]:
        """The samples of a range selector, each with the time of its scrape. Blocks."""
        with translated(self.config.name, self.config.url):
            params = {"time": f"{now_seconds:.3f}", **WHOLE_OR_NOTHING}
            return list(samples_of_answer(self._client.custom_query(query, params=params)))

    def grid(
        self, query: str, *, start_seconds: float, end_seconds: float, step_seconds: float
    ) -> list[Sample]:
        """A query evaluated at every step. Blocks."""
        with translated(self.config.name, self.config.url):
            return list(
                samples_of_answer(
                    self._client.custom_query_range(
                        query,
                        start_time=datetime.fromtimestamp(start_seconds, UTC),
                        end_time=datetime.fromtimestamp(end_seconds, UTC),
                        step=f"{step_seconds:g}",
                        params=WHOLE_OR_NOTHING,
                    )
                )
            )

    def label_values(self, label: str, query: str, *, start_seconds: float) -> Sequence[str]:
        """Values of a label among the series that match. Blocks."""
        with translated(self.config.name, self.config.url):
            params = {"match[]": query, "start": f"{start_seconds:.0f}"}
            return _VALUES.validate_python(self._client.get_label_values(label, params=params))


class _PrometheusFeed:
    def __init__(self, source: PrometheusSource, preset: Preset, scope: Scope) -> None:
        config = source.config
        self._source = source
        self._preset = preset
        self._scope = scope
        self._limits = config.limits
        self._equal = matchers(
            preset, scope, namespace_label=config.namespace_label, labels=config.labels
        )
        # A millisecond short, because the query's time is rounded to one: the reader would forget
        # a sample at the very edge, and take a series that is gone for one that never was.
        self._query = f"{self._selector(preset)}[{duration(self._limits.keep_seconds - 0.001)}]"
        self._hint = ""
        self._hint_until_seconds = 0.0
        self._seen_at_seconds: float | None = None

    async def observe(self, *, now_seconds: float) -> Observation:
        return await self._source.run(lambda: self._observe(now_seconds), self._scope.namespace)

    async def history(
        self, *, start_seconds: float, end_seconds: float, step_seconds: float
    ) -> AsyncIterator[Observation]:
        preset = self._preset.without_buckets()
        # A step without a sample is a gap; an older sample must not fill it.
        limits = Limits(
            window_seconds=max(self._limits.window_seconds, step_seconds),
            stale_after_seconds=step_seconds / 2,
        )
        reader = ObservationReader(preset, model=self._scope.model, limits=limits)
        # A millisecond short of a step: Prometheus 2 counts a range's left end in, 3 does not, and
        # a sample on the grid would be seen at two steps.
        query = f"last_over_time({self._selector(preset)}[{duration(step_seconds - 0.001)}])"
        first = -(-start_seconds // step_seconds) * step_seconds
        # Rates at the first step need samples from before it.
        chunk_start = first - -(-limits.window_seconds // step_seconds) * step_seconds
        while chunk_start <= end_seconds:
            chunk_end = min(chunk_start + (CHUNK_STEPS - 1) * step_seconds, end_seconds)
            past = _Past(self._source, reader, query, chunk_start, chunk_end, step_seconds)
            for observation in await self._source.run(past.read, self._scope.namespace):
                if observation.at_seconds >= first:
                    yield observation
            chunk_start += CHUNK_STEPS * step_seconds

    def _observe(self, now_seconds: float) -> Observation:
        samples = self._source.window(self._query, now_seconds=now_seconds)
        if not samples:
            why = self._why_nothing(now_seconds)
            return Observation(
                at_seconds=now_seconds,
                readings=dict.fromkeys(self._preset.signals, Absent(why=why)),
                remarks=remarks(),
            )
        self._refuse_past(samples, now_seconds)
        # A new reader each time: the answer holds the whole window, so no samples of thousands of
        # workloads are kept between two reads.
        reader = ObservationReader(self._preset, model=self._scope.model, limits=self._limits)
        observation = reader.observe(samples, now_seconds=now_seconds)
        return replace(observation, remarks=(*observation.remarks, *remarks()))

    def _refuse_past(self, samples: Sequence[Sample], now_seconds: float) -> None:
        """Refuse an answer that is older than the last one: its demand is that of another hour.

        After our clock or the server's was set back, queries at the new time return old samples
        that look fresh.

        Raises:
            SourceUnavailableError: until there are samples newer than those that were read.
        """
        stale_after, seen = self._limits.stale_after_seconds, self._seen_at_seconds
        # The same limit as in the reader.
        times = [s.at_seconds for s in samples if s.at_seconds <= now_seconds + stale_after]
        if not times:
            return
        newest = max(times)
        if seen is not None and newest < seen - stale_after:
            config = self._source.config
            raise SourceUnavailableError(
                f"source {config.name!r} at {config.url}: its newest sample is "
                f"{seen - newest:.0f} s older than one that was read before: a clock was set back"
            )
        self._seen_at_seconds = newest if seen is None else max(seen, newest)

    def _selector(self, preset: Preset) -> str:
        label = self._preset.model_label if self._preset.has_unlabelled else None
        return selector(preset.spelled, self._equal, may_lack=label)

    def _why_nothing(self, now_seconds: float) -> str:
        if not 0 < self._hint_until_seconds - now_seconds <= _HINT_EVERY_SECONDS:
            try:
                self._hint = self._hinted(now_seconds)
            except SourceError:
                # A proxy may allow queries and deny look-ups; the answer itself can still be used.
                self._hint = ""
            self._hint_until_seconds = now_seconds + _HINT_EVERY_SECONDS
        why = f"no {self._preset.engine} series for {self._scope}"
        if self._seen_at_seconds is not None:
            last = datetime.fromtimestamp(self._seen_at_seconds, UTC)
            why += f" since {last:%Y-%m-%d %H:%M:%S} UTC"
        return f"{why}{self._hint}"

    def _hinted(self, now_seconds: float) -> str:
        """A hint at what to compare. It names nothing of other namespaces."""
        config, model_label = self._source.config, self._preset.model_label
        start_seconds = now_seconds - _HINT_LOOKBACK_SECONDS

        def seen(label: str, equal: Mapping[str, str]) -> Sequence[str]:
            query = selector(self._preset.spelled, equal)
            return self._source.label_values(label, query, start_seconds=start_seconds)

        without_model = {k: v for k, v in self._equal.items() if k != model_label}
        models = seen(model_label, without_model)
        if models:
            return f"; models seen there: {listed(models)}"
        place = config.namespace_label
        if place is not None and seen(place, config.labels):
            return (
                f"; the engine is seen, but not with {place} {self._scope.namespace!r} "
                "and these labels"
            )
        return "; is the engine scraped, and under these labels?"


@dataclass(frozen=True, slots=True)
class _Past:
    """One chunk of history, read in a thread."""

    source: PrometheusSource
    reader: ObservationReader
    query: str
    start_seconds: float
    end_seconds: float
    step_seconds: float

    def read(self) -> list[Observation]:
        steps: defaultdict[float, list[Sample]] = defaultdict(list)
        for sample in self.source.grid(
            self.query,
            start_seconds=self.start_seconds,
            end_seconds=self.end_seconds,
            step_seconds=self.step_seconds,
        ):
            steps[sample.at_seconds].append(sample)
        return [self.reader.observe(steps[at], now_seconds=at) for at in sorted(steps)]
