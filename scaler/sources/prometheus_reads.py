"""Questions to one Prometheus: in threads, within time limits, and none while it wants a pause.

Everything that blocks or computes (the request, the JSON, the reading) runs in a few threads of the
source. It does not run in asyncio's threads, which a hanging Prometheus would block for all.
Sources that share their slots share their threads.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from prometheus_api_client import PrometheusConnect
from pydantic import TypeAdapter
from urllib3.util.retry import Retry

from fleet.answer_notes import WHOLE_OR_NOTHING
from scaler.errors import AskedTooOftenError, SourceUnavailableError
from scaler.limits import Limit, exceeded
from scaler.sources.access import checked_url
from scaler.sources.pause import Pause
from scaler.sources.prometheus_answer import series_of_answer
from scaler.sources.prometheus_config import PrometheusConfig, auth_of
from scaler.sources.prometheus_session import PrometheusSession, translated
from scaler.sources.prometheus_transport import Transport
from scaler.sources.read_threads import ReadThreads
from scaler.sources.refused_time import RefusedTime
from scaler.sources.series import SampledSeries, shortened

_CLOSING_SECONDS: Final = 0.05
"""The request ends this much after the read gives up, so that the read reports the reason."""
_VALUES: Final = TypeAdapter(list[str])
_Answer = TypeVar("_Answer")


class PrometheusReads:
    """The questions to one Prometheus, which share its connections and threads."""

    def __init__(
        self,
        config: PrometheusConfig,
        refused_time: RefusedTime,
        threads: ReadThreads | None,
    ) -> None:
        """Ask nothing yet.

        Args:
            config: where it is, and how it is asked.
            refused_time: shared by the sources of a process.
            threads: shared with other sources, and not closed here; None = its own.
        """
        self.config = config
        self._refused_time = refused_time
        self._has_own_threads = threads is None
        self._threads = threads or ReadThreads(config.concurrency, config.name)
        url = checked_url(config.url).rstrip("/")
        self._transport = Transport(
            config.tls,
            body_bytes_max=config.body_bytes_max,
            owner=config.owner or config.name,
            refused_time=self._refused_time,
            names=self._threads.names,
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
        self._work: set[Future[Any]] = set()
        """In a thread, or waiting for one."""
        self._pause = Pause()

    async def close(self) -> None:
        for future in self._work:
            _ = future.cancel()  # of those that run it ends nothing
        await self._transport.end()
        self._session.close()
        if self._has_own_threads:
            await self._threads.close()

    async def run(self, work: Callable[[], _Answer], namespace: str | None = None) -> _Answer:
        """Do blocking work for a namespace in one of the source's threads, within its time limit.

        The limit also ends the requests of the work, so that the thread is free again.
        """
        if self._transport.ended:  # a forgotten feed may still have begun to read
            raise self._is_closed()
        loop = asyncio.get_running_loop()
        self._refuse_while_paused(loop.time())
        source = f"source {self.config.name!r} at {self.config.url}"
        self._refused_time.check(namespace, source=source, now_seconds=loop.time())
        limit = loop.time() + self.config.timeout_seconds
        work = self._transport.bound(work, loop, limit + _CLOSING_SECONDS, namespace)
        try:
            future = self._threads.reads.submit(work)
        except RuntimeError as error:
            raise self._is_closed() from error
        self._work.add(future)
        try:
            async with asyncio.timeout_at(limit):
                answer = await asyncio.wrap_future(future)
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
        finally:
            self._work.discard(future)
            del future  # it holds the error, whose traceback holds the answer
        self._pause.end()
        return answer

    def _refuse_while_paused(self, now_seconds: float) -> None:
        left = self._pause.until_seconds - now_seconds
        if left > 0:
            raise SourceUnavailableError(
                f"source {self.config.name!r} at {self.config.url}: asked too often (HTTP 429); "
                f"asked again in {left:.0f} s"
            )

    def _is_closed(self) -> SourceUnavailableError:
        return SourceUnavailableError(f"source {self.config.name!r}: closed")

    def window(self, query: str, *, now_seconds: float) -> list[SampledSeries]:
        """The samples of a range selector, each with the time of its scrape. Blocks."""
        with translated(self.config.name, self.config.url):
            params = {"time": f"{now_seconds:.3f}", **WHOLE_OR_NOTHING}
            return list(series_of_answer(self._client.custom_query(query, params=params)))

    def grid(
        self, query: str, *, start_seconds: float, end_seconds: float, step_seconds: float
    ) -> list[SampledSeries]:
        """A query evaluated at every step. Blocks."""
        with translated(self.config.name, self.config.url):
            return list(
                series_of_answer(
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
            values = _VALUES.validate_python(self._client.get_label_values(label, params=params))
            return shortened(values)
