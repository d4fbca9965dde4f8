"""A client of the Plans API.

    async with Plans("127.0.0.1:6501") as plans:
        async for event in plans.watch(): ...

A watch goes on by itself after a fault, a restart of the server or a move to another replica: from
the last version it received, else with a new `Snapshot`. docs/plans-api.md has a whole example.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError

from foresail.plans_api.checks import MalformedPlanError
from foresail.plans_api.events import Changed, Event, Removed, Snapshot, WatchPosition
from foresail.plans_api.plan import Plan, Refused, plan_of
from scaler.decision.answers import Reference
from scaler.errors import ForesailError
from scaler.message_text import limited
from scaler.rpc.foresail.v1 import plans_pb2 as pb

__all__ = [
    "Changed",
    "ClientTls",
    "Event",
    "Plan",
    "Plans",
    "PlansError",
    "Refused",
    "Removed",
    "Snapshot",
]

log = structlog.get_logger()

BACKOFF_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits after one failure, two, and so on; each ± a fifth, so that readers do not come at once."""
_LIST_SECONDS_MAX: Final = 10.0
_PAGE_SECONDS_MAX: Final = 10.0
_LIST_BYTES_MAX: Final = 2**29
"""100,000 plans take about half of it."""
_LIST: Final = "/foresail.v1.Plans/ListWorkloadPlans"
_WATCH: Final = "/foresail.v1.Plans/WatchWorkloadPlans"
_FINAL: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
"""Asking again would end the same way."""
_OPTIONS: Final = (
    # Notice within a minute that the server's node died.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # The waits between attempts are those of `BACKOFF_SECONDS` alone.
    ("grpc.use_local_subchannel_pool", 1),
    # The window does not grow to megabytes of plans, which a slow reader would get when they are
    # old: what it does not take yet stays on the server, and is made when there is room.
    ("grpc.http2.bdp_probe", 0),
)


Response = TypeVar("Response", pb.ListWorkloadPlansResponse, pb.WatchWorkloadPlansResponse)


class PlansError(ForesailError):
    """The server refuses, or does not answer for too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """PEM files; they are read anew for each connection, so that a rotated pair is used."""

    ca: Path
    """Whose signature the server's certificate must have."""
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None
    """The name in the server's certificate; by default the host of the address."""


_NOT_SERVED = (
    "; the Plans API is served where the group `plans` in the settings of `foresail serve` says, "
    "port 6501 by default; with `tls` it asks for a CA and a certificate"
)
_HINTS = {
    grpc.StatusCode.UNAVAILABLE: _NOT_SERVED,
    grpc.StatusCode.UNIMPLEMENTED: _NOT_SERVED,
}


class Plans:
    """The plans of a running `foresail serve`."""

    def __init__(
        self,
        address: str,
        *,
        namespaces: Sequence[str] = (),
        tls: ClientTls | None = None,
        backoff_seconds: Sequence[float] = BACKOFF_SECONDS,
    ) -> None:
        """Read from `address`, `host:port`.

        Args:
            namespaces: only of these; empty = of all that the caller may read.
            tls: None = plain text.
        """
        self._address = address
        self._namespaces = tuple(namespaces)
        self._tls = tls
        self._backoff_seconds = tuple(backoff_seconds)
        self._open: set[grpc.aio.Channel] = set()

    async def __aenter__(self) -> Self:
        """Check the TLS files; each question connects by itself.

        Raises:
            PlansError: a TLS file cannot be read.
        """
        if self._tls is not None:
            _ = _secured(self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections of watches that were left without being closed."""
        for channel in tuple(self._open):
            await channel.close()

    async def list(self, *, seconds_max: float = _LIST_SECONDS_MAX) -> tuple[Plan, ...]:
        """The newest plan of each workload.

        Args:
            seconds_max: how long to ask again while the server cannot be reached.

        Raises:
            PlansError: the server refuses, or does not answer in that time.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds_max
        for wait_seconds in self._waits():
            try:
                return await self._list_once()
            except grpc.aio.AioRpcError as error:
                if error.code() in _FINAL or loop.time() + wait_seconds > until:
                    raise self._failure(error) from error
            except MalformedPlanError as error:
                raise PlansError(f"plans of {self._address}: {error}") from error
            await asyncio.sleep(wait_seconds)
        raise AssertionError  # the waits do not end

    async def watch(self, *, version: str | None = None) -> AsyncGenerator[Event]:
        """All plans, then each change, without end.

        A reader that is slower than the changes skips plans; it gets the newest of each workload.

        Args:
            version: of the last event of an earlier watch, to begin with the changes since then.

        Raises:
            PlansError: the server refuses; other faults are logged, and it is asked again.
        """
        position, waits = WatchPosition(version), self._waits()
        while True:
            failure = "the server ended the watch"
            try:
                async with aclosing(self._watch_once(position)) as events:
                    async for event in events:
                        waits = self._waits()
                        if event is not None:
                            yield event
            except PlansError as error:  # a certificate is being replaced
                failure = str(error)
            except MalformedPlanError as error:
                failure = f"plans of {self._address}: {error}"
            except grpc.aio.AioRpcError as error:
                if error.code() in _FINAL:
                    raise self._failure(error) from error
                failure = str(self._failure(error))
            wait_seconds = next(waits)
            log.warning("plans_not_heard", error=failure, again_in=round(wait_seconds, 1))
            await asyncio.sleep(wait_seconds)

    async def _list_once(self) -> tuple[Plan, ...]:
        found: dict[Reference, Plan] = {}
        length = 0
        request = pb.ListWorkloadPlansRequest(namespaces=self._namespaces)
        async with self._connected() as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[pb.ListWorkloadPlansRequest, bytes]
            call = channel.unary_unary(
                _LIST, request_serializer=pb.ListWorkloadPlansRequest.SerializeToString
            )
            while True:
                content = await call(request, timeout=_PAGE_SECONDS_MAX)
                response = _parsed(pb.ListWorkloadPlansResponse, content)
                for message in response.plans:
                    plan = plan_of(message)
                    found[plan.workload] = plan
                if not response.HasField("next_page_token"):
                    return tuple(found.values())
                length += len(content)
                if response.next_page_token == request.page_token or length > _LIST_BYTES_MAX:
                    raise MalformedPlanError(
                        f"its list has no end: after {length:,} bytes it goes on with page "
                        f"{limited(repr(response.next_page_token))}"
                    )
                request.page_token = response.next_page_token

    async def _watch_once(self, position: WatchPosition) -> AsyncGenerator[Event | None]:
        """What each message of one connection tells the caller."""
        request = pb.WatchWorkloadPlansRequest(
            namespaces=self._namespaces, version=position.version
        )
        async with self._connected() as channel:
            call: grpc.aio.UnaryStreamMultiCallable[pb.WatchWorkloadPlansRequest, bytes]
            call = channel.unary_stream(
                _WATCH, request_serializer=pb.WatchWorkloadPlansRequest.SerializeToString
            )
            async for content in call(request):
                yield position.take(_parsed(pb.WatchWorkloadPlansResponse, content))

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[grpc.aio.Channel]:
        """A connection of its own, so that the end of one question does not end another.

        Calls on it give bytes: gRPC logs a traceback for a message that it cannot parse, and then
        hands over None.
        """
        if self._tls is None:
            channel = grpc.aio.insecure_channel(self._address, options=_OPTIONS)
        else:
            credentials, options = _secured(self._tls)
            channel = grpc.aio.secure_channel(self._address, credentials, options)
        self._open.add(channel)
        try:
            yield channel
        finally:
            self._open.discard(channel)
            await channel.close()

    def _waits(self) -> Iterator[float]:
        number = 0
        while True:
            wait = self._backoff_seconds[min(number, len(self._backoff_seconds) - 1)]
            yield wait * random.uniform(0.8, 1.2)  # noqa: S311 - spread only
            number += 1

    def _failure(self, error: grpc.aio.AioRpcError) -> PlansError:
        hint = _HINTS.get(error.code(), "")
        details = limited(error.details() or "no reason is given")
        return PlansError(f"plans of {self._address}: {error.code().name}: {details}{hint}")


def _parsed(kind: type[Response], content: bytes) -> Response:
    try:
        return kind.FromString(content)
    except DecodeError as error:
        raise MalformedPlanError(
            f"an answer of {len(content):,} bytes is no {kind.DESCRIPTOR.full_name}"
        ) from error


def _secured(tls: ClientTls) -> tuple[grpc.ChannelCredentials, list[tuple[str, str | int]]]:
    """Credentials and options of a channel.

    Raises:
        PlansError: a file cannot be read.
    """
    try:
        credentials = grpc.ssl_channel_credentials(
            tls.ca.read_bytes(),
            None if tls.key is None else tls.key.read_bytes(),
            None if tls.certificate is None else tls.certificate.read_bytes(),
        )
    except OSError as error:
        raise PlansError(f"TLS file {error.filename}: {error.strerror}") from error
    named = [] if tls.server_name is None else [("grpc.ssl_target_name_override", tls.server_name)]
    return credentials, [*_OPTIONS, *named]
