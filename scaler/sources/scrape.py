"""The pods' own metrics pages as a source: for clusters without Prometheus, and for fresher eyes.

Two reads make a rate, so the first one after a start says only what gauges say, and there is no
past. A target that does not answer is left out; its last samples age in the reader as a gone pod's
would. Only when none answers is the source unavailable.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from scaler.errors import SourceError, SourceMisconfiguredError, SourceUnavailableError
from scaler.signals import Feed, Observation
from scaler.sources.access import Basic, Tls, TlsContexts, secret
from scaler.sources.catalogue import Preset
from scaler.sources.page import listed
from scaler.sources.reading import Limits, Reader
from scaler.sources.scope import Scope
from scaler.sources.series import Sample
from scaler.sources.targets import Discovery, Target

# Asked for OpenMetrics, prometheus_client would replace the colons in names.
_ACCEPT: Final = "text/plain;version=0.0.4"
_REFUSED: Final = frozenset({401, 403})


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeConfig:
    """One way to the pods' pages."""

    name: str
    """What the operator calls it; messages do too."""
    discovery: Discovery
    bearer_token_file: Path | None = None
    basic: Basic | None = None
    tls: Tls = field(default_factory=Tls)
    tls_server_name: str | None = None
    """The name in the pods' certificates; we call them by address."""
    limits: Limits = field(default_factory=Limits)
    timeout_seconds: float
    """For all targets of one read."""
    concurrency: int = 32
    body_bytes_max: int = 16 * 2**20
    """vLLM's page is 50 kB; a page without end must not fill our memory."""


class ScrapeSource:
    """Feeds from pods' pages, which share connections."""

    def __init__(self, config: ScrapeConfig) -> None:
        self.config = config
        self._tls = TlsContexts(config.tls)
        self._places = asyncio.Semaphore(config.concurrency)
        self._session: aiohttp.ClientSession | None = None

    def feed(self, *, preset: Preset, scope: Scope) -> Feed:
        return _ScrapeFeed(self, preset, scope)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        await self.config.discovery.close()

    async def page(self, target: Target) -> str | SourceError:
        """The target's page, or why there is none: one dead pod must not end the others' reads."""
        try:
            async with self._places:
                return await self._fetched(target)
        except SourceError as error:
            return error
        except aiohttp.ClientConnectorCertificateError as error:
            return SourceMisconfiguredError(f"{target.url}: TLS: {error.certificate_error}")
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError) as error:
            return SourceUnavailableError(f"{target.url}: {str(error) or type(error).__name__}")

    async def _fetched(self, target: Target) -> str:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers={"Accept": _ACCEPT})
        async with self._session.get(
            target.url,
            headers=self._authorization(),
            ssl=self._tls.current() if target.url.startswith("https") else True,
            server_hostname=self.config.tls_server_name,
            allow_redirects=False,
        ) as response:
            if response.status in _REFUSED:
                raise SourceMisconfiguredError(f"{target.url}: HTTP {response.status}")
            if response.status != HTTPStatus.OK:
                raise SourceUnavailableError(f"{target.url}: HTTP {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_chunked(2**16):
                body += chunk
                if len(body) > self.config.body_bytes_max:
                    raise SourceUnavailableError(
                        f"{target.url}: a page of over {self.config.body_bytes_max} bytes"
                    )
            return body.decode()

    def _authorization(self) -> dict[str, str]:
        if self.config.bearer_token_file is not None:
            return {"Authorization": f"Bearer {secret(self.config.bearer_token_file)}"}
        if self.config.basic is not None:
            password = secret(self.config.basic.password_file)
            return {
                "Authorization": aiohttp.encode_basic_auth(self.config.basic.username, password)
            }
        return {}


class _ScrapeFeed:
    def __init__(self, source: ScrapeSource, preset: Preset, scope: Scope) -> None:
        self._source = source
        self._preset = preset
        self._scope = scope
        self._reader = Reader(preset, model=scope.model, limits=source.config.limits)

    async def observe(self, *, now_seconds: float) -> Observation:
        name = self._source.config.name
        found = await self._source.config.discovery.find(self._scope)
        pages = await self._pages(found.targets)
        samples: list[Sample] = []
        failed: dict[str, SourceError] = {}
        for target, page in zip(found.targets, pages, strict=True):
            try:
                if isinstance(page, SourceError):
                    raise page
                samples += samples_of(
                    page, names=self._preset.spelled, labels=target.labels, at_seconds=now_seconds
                )
            except SourceError as error:
                failed[target.url] = error
            except ValueError:
                failed[target.url] = SourceUnavailableError(f"{target.url}: no metrics page")
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
        """Nothing: a page has no past."""
        past: tuple[Observation, ...] = ()
        for observation in past:
            yield observation

    async def _pages(self, targets: Sequence[Target]) -> list[str | SourceError]:
        timeout_seconds = self._source.config.timeout_seconds
        limit = asyncio.get_running_loop().time() + timeout_seconds

        async def page(target: Target) -> str | SourceError:
            try:
                async with asyncio.timeout_at(limit):
                    return await self._source.page(target)
            except TimeoutError:
                return SourceUnavailableError(
                    f"{target.url}: no answer within {timeout_seconds:g} s"
                )

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(page(target)) for target in targets]
        return [task.result() for task in tasks]


def samples_of(
    page: str, *, names: Collection[str], labels: Mapping[str, str], at_seconds: float
) -> Iterator[Sample]:
    """The samples of these names on a page in Prometheus' text format.

    Other lines are dropped before they are parsed: a preset reads one line of eight.

    Raises:
        ValueError: not that format.
    """
    wanted = (line for line in page.splitlines() if _name_of(line) in names)
    for family in text_string_to_metric_families("\n".join(wanted) + "\n"):
        for sample in family.samples:
            # The exporter's own labels win, as with `honor_labels`: they say what it is.
            yield Sample(
                name=sample.name,
                labels={**labels, **sample.labels},
                value=sample.value,
                at_seconds=at_seconds,
            )


def _name_of(line: str) -> str:
    brace = line.find("{")
    return line[:brace] if brace >= 0 else line.partition(" ")[0]
