"""The pods' own metrics pages as a source: for clusters without Prometheus, and for fresher data.

A rate takes two reads, so the first read after a start yields gauges only, and there is no past. A
target that does not answer is left out; its last samples become stale as those of a gone pod do.
The source is unavailable only if no target answers.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp

from scaler.errors import SourceError, SourceMisconfiguredError, SourceUnavailableError, alone
from scaler.limits import Limit, exceeded
from scaler.scope import Scope
from scaler.signals import Feed, Observation
from scaler.sources.access import Basic, Tls, authorization
from scaler.sources.connections import Connections, Parts, parsing_seconds
from scaler.sources.kept_pages import KeptPages
from scaler.sources.look_threads import OneLook
from scaler.sources.page import listed
from scaler.sources.preset import Preset
from scaler.sources.reading import Limits, ObservationReader
from scaler.sources.selector import check_namespace
from scaler.sources.series import Sample
from scaler.sources.source_shares import SourceShares
from scaler.sources.targets import DiscoveredTargets, Discovery, Target
from scaler.sources.text_format import PageLines, PageTooLongError, samples_of

# With OpenMetrics prometheus_client would replace the colons in names. Packing 50 kB takes more
# time than it saves.
_ACCEPT: Final = {"Accept": "text/plain;version=0.0.4", "Accept-Encoding": "identity"}
_REFUSED: Final = frozenset({401, 403})
_LONG_BYTES: Final = 2**20
"""Of a page that an engine's exporter hardly writes: its namespace has little time for such."""
_LONG_SECONDS: Final = 0.005
"""Of the event loop, for the lines of a page: 1 MiB of common lines takes 0.0015, and of line ends
0.03."""
_THREAD_SECONDS_MAX: Final = 10.0
"""For the pages of one workload: as many as it may have take 2."""
_TARGETS_MAX: Final = 1000
"""Of one workload; 500 pods have nearly as many series as one may have."""
_COMPUTING_SECONDS: Final = 2.0
"""For the samples of pages that came at the last moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeConfig:
    """Discovery of and access to the pods' pages."""

    name: str
    """The operator's name for it, also in messages."""
    discovery: Discovery
    namespaces: frozenset[str] | None = None
    """Namespaces whose objects may read the pages; None means all."""
    bearer_token_file: Path | None = None
    basic: Basic | None = None
    tls: Tls = field(default_factory=Tls)
    tls_server_name: str | None = None
    """The name in the pods' certificates, because requests go to addresses."""
    limits: Limits = field(default_factory=Limits)
    timeout_seconds: float
    """For one whole read, with discovery and all pages, before samples are made of them."""
    concurrency: int = 32
    """Pages read at once for one workload; a limit for all would let hanging pods delay others."""
    body_bytes_max: int = 16 * 2**20
    """Of one page; vLLM's has 50 kB, and a page without end must not be read for ever."""
    samples_max: int = 20_000
    """Of the preset's series on one page; vLLM's has under a thousand."""
    samples_of_all_max: int = 60_000
    """Of all pages of one workload: 500 pods have 55,000."""


class ScrapeSource:
    """Feeds from pods' pages, which share connections."""

    def __init__(self, config: ScrapeConfig, shares: SourceShares | None = None) -> None:
        """Make a source that reads nothing yet.

        Args:
            config: where the pages are, and how they are asked for.
            shares: of all sources of the process; None = its own.
        """
        self.config = config
        self.shares = SourceShares() if shares is None else shares
        self._has_own_shares = shares is None
        self._connections = Connections(
            config.tls, owner=config.name, server_name=config.tls_server_name
        )

    def feed(self, *, preset: Preset, scope: Scope) -> Feed:
        """The feed of one workload.

        Raises:
            SourceMisconfiguredError: the scope cannot be asked for, or not by its namespace.
        """
        config = self.config
        check_namespace(scope, config.namespaces, source=config.name, setting="scrape.namespaces")
        return _ScrapeFeed(self, preset, scope)

    async def close(self) -> None:
        if self._has_own_shares:
            self.shares.close()
        await self._connections.close()
        await self.config.discovery.close()

    def refuse_oversized(self, namespace: str | None) -> None:
        """Let no look begin of a namespace whose answers and pages took too much time.

        Raises:
            SourceUnavailableError: it waits.
        """
        now, source = asyncio.get_running_loop().time(), f"source {self.config.name!r}"
        for time_spent in (self.shares.refused_time, self.shares.page_time):
            time_spent.check(namespace, source=source, now_seconds=now)

    async def lines(
        self, target: Target, names: Collection[str], namespace: str | None, kept: KeptPages
    ) -> list[bytes] | SourceError:
        """The lines of these series, or the failure, so that one dead pod does not end the read."""
        try:
            return await self._fetched(target, names, namespace, kept)
        except SourceError as error:
            return alone(error)
        except aiohttp.ClientConnectorCertificateError as error:
            return SourceMisconfiguredError(f"{target.url}: TLS: {error.certificate_error}")
        except (aiohttp.ClientError, TimeoutError) as error:
            self._charge(namespace, 0.0, 0, parsing_seconds(error))
            return SourceUnavailableError(f"{target.url}: {str(error) or type(error).__name__}")

    async def _fetched(
        self, target: Target, names: Collection[str], namespace: str | None, kept: KeptPages
    ) -> list[bytes]:
        config = self.config
        headers = {**_ACCEPT, **await self._authorization()}
        async with self._connections.request("GET", target.url, headers=headers) as response:
            if response.status in _REFUSED:
                raise SourceMisconfiguredError(
                    f"{target.url}: HTTP {response.status}: it wants a key, or another one; "
                    "give it in the source's bearerTokenFile or basic"
                )
            if response.status != HTTPStatus.OK:
                raise SourceUnavailableError(f"{target.url}: HTTP {response.status}")
            encoding = response.headers.get("Content-Encoding", "identity")
            if encoding != "identity":
                raise SourceMisconfiguredError(
                    f"{target.url}: Content-Encoding {encoding!r}, which was not asked for: let "
                    "what is before the engine send its page as it is"
                )
            page = PageLines(names, bytes_max=config.body_bytes_max, lines_max=config.samples_max)
            seconds, parts, known = 0.0, Parts(), 0
            try:
                async for part in parts.of(response.content):
                    begun = time.thread_time()
                    page.add(part)
                    new = page.lines[known:]
                    known = len(page.lines)
                    seconds += time.thread_time() - begun
                    if new:
                        kept.add(len(new), sum(map(len, new)))
            except PageTooLongError as error:
                exceeded(error.limit)
                raise SourceUnavailableError(f"{target.url}: {error}") from error
            finally:
                self._charge(namespace, seconds, page.received_bytes, parts.seconds)
            return page.end()

    def _charge(
        self,
        namespace: str | None,
        seconds: float,
        received_bytes: int,
        parsing_seconds: float,
    ) -> None:
        """Count what a page took of the event loop, unless an engine's may take as much."""
        if received_bytes > _LONG_BYTES or max(seconds, parsing_seconds) > _LONG_SECONDS:
            now = asyncio.get_running_loop().time()
            spent = seconds + parsing_seconds
            self.shares.refused_time.add(namespace, spent, received_bytes, now_seconds=now)

    async def _authorization(self) -> Mapping[str, str]:
        """The header, from the secrets as they are now; a thread reads them."""
        token_file, basic = self.config.bearer_token_file, self.config.basic
        if token_file is None and basic is None:
            return {}
        return await asyncio.to_thread(authorization, token_file, basic)


class _ScrapeFeed:
    def __init__(self, source: ScrapeSource, preset: Preset, scope: Scope) -> None:
        self._source = source
        self._preset = preset
        self._scope = scope
        reserved = {preset.model_label: "the model"}
        self._required = source.config.discovery.required_labels(scope, reserved).items()
        limits = source.config.limits
        room = source.shares.room(
            scope, source=source.config.name, keep_seconds=limits.keep_seconds
        )
        self._reader = ObservationReader(preset, model=scope.model, limits=limits, room=room)
        self._slots = asyncio.Semaphore(source.config.concurrency)
        self._look = OneLook(
            source.shares.threads, "pages", namespace=scope.namespace, source=source.config.name
        )

    async def observe(self, *, now_seconds: float) -> Observation:
        name = self._source.config.name
        self._source.refuse_oversized(self._scope.namespace)
        loop = asyncio.get_running_loop()
        limit = loop.time() + self._source.config.timeout_seconds
        try:
            async with asyncio.timeout_at(limit):
                found = await self._source.config.discovery.find(self._scope)
        except TimeoutError as error:
            exceeded(Limit.READ_SECONDS)
            raise SourceUnavailableError(
                f"source {name!r}: its targets were not found {self._within}"
            ) from error
        if len(found.targets) > _TARGETS_MAX:
            exceeded(Limit.TARGETS)
            raise SourceUnavailableError(
                f"source {name!r}: {len(found.targets)} targets, over {_TARGETS_MAX}"
            )
        self._look.refuse_while_busy()
        kept = KeptPages(
            f"pages of {self._scope.namespace}",
            source=name,
            lines_max=self._source.config.samples_of_all_max,
        )
        try:
            pages = await self._pages(found.targets, limit, kept)
            kept.check()
            async with asyncio.timeout_at(limit + _COMPUTING_SECONDS):
                return await self._look.made(lambda: self._charged(found, pages, now_seconds, loop))
        except TimeoutError as error:
            exceeded(Limit.READ_SECONDS)
            raise SourceUnavailableError(
                f"source {name!r}: its pages were not read {self._within}"
            ) from error
        finally:
            self._look.when_done(kept.let_go)

    def _charged(
        self,
        found: DiscoveredTargets,
        pages: Sequence[list[bytes] | SourceError],
        now_seconds: float,
        loop: asyncio.AbstractEventLoop,
    ) -> Observation:
        """Observe, and count what it takes of the thread. Blocks."""
        begun = time.thread_time()
        try:
            return self._observe(found, pages, now_seconds)
        finally:
            self._source.shares.page_time.add(
                self._scope.namespace, time.thread_time() - begun, 0, now_seconds=loop.time()
            )

    def _observe(
        self,
        found: DiscoveredTargets,
        pages: Sequence[list[bytes] | SourceError],
        now_seconds: float,
    ) -> Observation:
        """The observation of the pages. Blocks."""
        name = self._source.config.name
        samples: list[Sample] = []
        failed: dict[str, SourceError] = {}
        begun = time.thread_time()
        for target, page in zip(found.targets, pages, strict=True):
            if time.thread_time() - begun > _THREAD_SECONDS_MAX:
                exceeded(Limit.READ_SECONDS)
                raise SourceUnavailableError(f"source {name!r}: its pages take too long to read")
            try:
                samples += self._samples(page, target, now_seconds)
            except SourceError as error:
                failed[target.url] = alone(error)  # else a cycle: this frame is of its traceback
        if failed and len(failed) == len(found.targets):
            first = next(iter(failed.values()))
            raise type(first)(f"source {name!r}: none of {len(failed)} targets answers; {first}")
        observation = self._reader.observe(samples, now_seconds=now_seconds)
        remarks = [*found.remarks]
        if failed:
            remarks.append(
                f"{len(failed)} of {len(found.targets)} targets do not answer: {listed(failed)}"
            )
        return replace(observation, remarks=(*remarks, *observation.remarks))

    async def history(
        self, *, start_seconds: float, end_seconds: float, step_seconds: float
    ) -> AsyncIterator[Observation]:
        """Yields nothing: a page has no past."""
        past: tuple[Observation, ...] = ()
        for observation in past:
            yield observation

    async def _pages(
        self, targets: Sequence[Target], limit: float, kept: KeptPages
    ) -> list[list[bytes] | SourceError]:
        namespace = self._scope.namespace

        async def page(target: Target) -> list[bytes] | SourceError:
            if self._slots.locked():
                exceeded(Limit.PAGES_AT_ONCE)
            try:
                async with asyncio.timeout_at(limit), self._slots:
                    kept.check()
                    self._source.refuse_oversized(namespace)
                    return await self._source.lines(target, self._preset.spelled, namespace, kept)
            except SourceUnavailableError as error:
                # Of the look: what its other pages show would be less than there is.
                kept.fail(str(error))
                return alone(error)
            except TimeoutError:
                exceeded(Limit.READ_SECONDS)
                return SourceUnavailableError(f"{target.url}: no answer {self._within}")

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(page(target)) for target in targets]
        return [task.result() for task in tasks]

    @property
    def _within(self) -> str:
        return f"within {self._source.config.timeout_seconds:g} s"

    def _samples(
        self, page: list[bytes] | SourceError, target: Target, now_seconds: float
    ) -> list[Sample]:
        """The workload's samples of a page; as in PromQL a missing label counts as empty.

        Raises:
            SourceError: there is no page, or it cannot be read.
        """
        if isinstance(page, SourceError):
            raise page
        try:
            return [
                sample
                for sample in samples_of(page, labels=target.labels, at_seconds=now_seconds)
                if all(sample.labels.get(label, "") == value for label, value in self._required)
            ]
        except PageTooLongError as error:
            exceeded(error.limit)
            raise SourceUnavailableError(f"{target.url}: {error}") from error
        except ValueError as error:
            raise SourceUnavailableError(f"{target.url}: no metrics page") from error
