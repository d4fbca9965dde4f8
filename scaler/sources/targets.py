"""Discovery of the pods' own metrics pages, by a list or by DNS; `pods` asks the API server.

A page does not name its exporter, so every target carries the labels that Prometheus would have
added to its samples; `scaler.sources.series` tells exporters apart by them.
"""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit

from scaler.errors import SourceUnavailableError
from scaler.scope import Scope
from scaler.sources.access import checked_url
from scaler.sources.names import Names
from scaler.sources.selector import narrowing

_NO_ADDRESS: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", -5)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One metrics page."""

    url: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveredTargets:
    """The targets of a workload now, and remarks on the search."""

    targets: tuple[Target, ...]
    remarks: tuple[str, ...] = ()


class Discovery(Protocol):
    """Finds a workload's targets."""

    def required_labels(self, scope: Scope, reserved: Mapping[str, str]) -> Mapping[str, str]:
        """Labels that each sample of the targets must carry to be the workload's.

        Args:
            scope: whose labels.
            reserved: labels that a trigger must not name, and the content of each.

        Raises:
            SourceMisconfiguredError: the scope cannot be asked for.
        """
        ...

    async def find(self, scope: Scope) -> DiscoveredTargets:
        """Raises SourceError: the search failed."""
        ...

    async def close(self) -> None: ...


class StaticTargets:
    """Addresses from the settings."""

    def __init__(self, *urls: str) -> None:
        self._found = DiscoveredTargets(
            targets=tuple(
                Target(url=checked_url(url), labels={"instance": urlsplit(url).netloc})
                for url in urls
            )
        )

    def required_labels(self, scope: Scope, reserved: Mapping[str, str]) -> Mapping[str, str]:
        return narrowing(scope, reserved)

    async def find(self, scope: Scope) -> DiscoveredTargets:
        return self._found

    async def close(self) -> None:
        return


@dataclass(slots=True, kw_only=True)
class DnsTargets:
    """The addresses behind a name: a headless Service resolves to its ready pods.

    One look-up at a time serves all feeds: each occupies a thread until the resolver gives up, and
    there are few threads and hundreds of feeds. No other source waits for them.
    """

    host: str
    port: int
    path: str = "/metrics"
    scheme: str = "http"
    _names: Names = field(default_factory=lambda: Names("pages"), init=False)
    _lookup: "asyncio.Task[DiscoveredTargets | SourceUnavailableError] | None" = field(
        default=None, init=False
    )

    def required_labels(self, scope: Scope, reserved: Mapping[str, str]) -> Mapping[str, str]:
        return narrowing(scope, reserved)

    async def find(self, scope: Scope) -> DiscoveredTargets:
        if self._lookup is None or self._lookup.done():
            self._lookup = asyncio.create_task(self._look_up(), name=f"look up {self.host}")
        # Shielded: a feed that stops waiting must not end the look-up for the others.
        found = await asyncio.shield(self._lookup)
        if isinstance(found, SourceUnavailableError):
            raise found
        return found

    async def close(self) -> None:
        if self._lookup is not None:
            self._lookup.cancel()
        await self._names.close()

    async def _look_up(self) -> DiscoveredTargets | SourceUnavailableError:
        try:
            answers = await self._names.look_up(self.host, self.port)
        except socket.gaierror as error:
            if error.errno in _NO_ADDRESS:
                # A headless Service without a ready pod has no record either.
                return DiscoveredTargets(targets=(), remarks=(f"{self.host} has no address",))
            return SourceUnavailableError(f"looking up {self.host}: {error.strerror}")
        addresses = sorted({answer["host"] for answer in answers})
        return DiscoveredTargets(targets=tuple(self._target(address) for address in addresses))

    def _target(self, address: str) -> Target:
        return target_at(self.scheme, address, self.port, self.path, {})


def target_at(scheme: str, address: str, port: int, path: str, labels: Mapping[str, str]) -> Target:
    host = f"[{address}]" if ":" in address else address
    instance = f"{host}:{port}"
    return Target(url=f"{scheme}://{instance}{path}", labels={**labels, "instance": instance})
