"""The ports of an OTLP receiver: requests are admitted here, and taken by their source.

Bodies are passed on as they came. Neither library unpacks them, because both would do so without a
limit, in the event loop.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import grpc.aio
from aiohttp import web

from foresail.ports.access import has_token
from foresail.ports.open_connections import PortLimits
from foresail.ports.sites import Sites, certificates
from foresail.serve.otlp_peers import PASSED_ON, OtlpPeers
from foresail.settings.otlp import OtlpSettings
from scaler.errors import ForesailError
from scaler.limits import Limit, exceeded
from scaler.message_text import limited
from scaler.serving.aborts import aborting_alone
from scaler.serving.server import LISTENING_OPTIONS, TlsFiles, start_listening
from scaler.serving.state_peers import PeerAddress
from scaler.sources.otlp import BODY_BYTES_MAX, BusyError, OtlpSource
from scaler.sources.otlp_decoding import accepted
from scaler.sources.otlp_point import UndecodableError

PATH: Final = "/v1/metrics"
_SERVICE: Final = "opentelemetry.proto.collector.metrics.v1.MetricsService"
EXPORT: Final = f"/{_SERVICE}/Export"
_PROTOBUF: Final = "application/x-protobuf"
_BUSY: Final = "too many requests wait: send this again later"
_UNKNOWN: Final = "show the token of the source's otlp.tokenFile (Authorization: Bearer)"
_RETRY_SECONDS: Final = 5
_BODY_SECONDS_MAX: Final = 10.0
_CALLS_MAX: Final = 128
"""Requests at once at each port, each with a body of up to `BODY_BYTES_MAX`."""
_CONNECTION_SECONDS_MAX: Final = 300.0
"""Of one over gRPC: calls without a token keep it from its rest. A sender that is told of its end
goes on with another connection."""
_LAST_CALLS_SECONDS: Final = 15.0
"""After that, for the calls under way: longer than a body may take."""
_STOP_SECONDS: Final = 1.0

Context = grpc.aio.ServicerContext[Any, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpPorts:
    """Where a receiver listens; None where it does not."""

    grpc: int | None = None
    http: int | None = None


@dataclass(frozen=True, slots=True)
class _Receiver:
    source: OtlpSource
    settings: OtlpSettings
    peers: OtlpPeers | None
    posts: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_CALLS_MAX))

    async def export(self, _: AsyncIterator[bytes], context: Context) -> bytes:
        """`MetricsService.Export`, with its body as it came.

        Served as a stream of one body: gRPC reads that of a plain call before it calls us, without
        a limit of time and from senders that show no token.
        """
        metadata = dict(context.invocation_metadata() or ())
        given, passed_on_by = metadata.get("authorization", ""), metadata.get(PASSED_ON)
        if not await self._admitted(given if isinstance(given, str) else ""):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, _UNKNOWN)
        if self.peers is not None and passed_on_by == self.peers.instance:
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, "this replica passed it on")
        try:
            async with asyncio.timeout(_BODY_SECONDS_MAX):
                body = await context.read()
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, _late())
        if body is grpc.aio.EOF:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a call without a body")
        try:
            return await self._taken(body, passes_on=passed_on_by is None)
        except BusyError:
            # The one status that every sender comes again after.
            await context.abort(grpc.StatusCode.UNAVAILABLE, _BUSY)
        except UndecodableError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, limited(str(error)))
        raise AssertionError  # abort raises; its type stub does not declare that

    async def post(self, request: web.Request) -> web.Response:
        """`POST /v1/metrics`."""
        if not await self._admitted(request.headers.get("Authorization", "")):
            return _said(401, _UNKNOWN)
        unread = _unreadable(request)
        if unread is not None:
            return _said(415, unread)
        try:
            taken = await self._received(request)
        except TimeoutError:
            return _said(408, _late())
        except BusyError:
            busy = _said(503, _BUSY)
            busy.headers["Retry-After"] = str(_RETRY_SECONDS)
            return busy
        except UndecodableError as error:
            return _said(400, limited(str(error)))
        return web.Response(body=taken, content_type=_PROTOBUF)

    async def _received(self, request: web.Request) -> bytes:
        if self.posts.locked():
            exceeded(Limit.OTLP_WAITING)
            raise BusyError
        async with self.posts:
            async with asyncio.timeout(_BODY_SECONDS_MAX):
                body = await request.read()
            return await self._taken(body, passes_on=True)

    async def _taken(self, body: bytes, *, passes_on: bool) -> bytes:
        """Take a body; the answer to its sender."""
        taken = await self.source.take(body)
        if self.peers is not None and passes_on:
            self.peers.pass_on(body)
        return accepted(taken.rejected)

    async def _admitted(self, authorization: str) -> bool:
        token_file = self.settings.token_file
        return token_file is None or await has_token(authorization, token_file)

    async def grpc_served(self, address: str, stack: AsyncExitStack) -> int:
        server = grpc.aio.server(
            maximum_concurrent_rpcs=_CALLS_MAX,
            options=[
                *LISTENING_OPTIONS,
                ("grpc.max_receive_message_length", BODY_BYTES_MAX),
                ("grpc.per_message_decompression", 0),
                *_kept_at_most(PortLimits()),
            ],
        )
        # Without a deserializer gRPC gives the bytes as they came.
        export: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_unary_rpc_method_handler(
            aborting_alone(self.export)
        )
        handlers = grpc.method_handlers_generic_handler(_SERVICE, {"Export": export})
        server.add_generic_rpc_handlers((handlers,))
        port = await start_listening(server, address, _tls_files(self.settings))
        stack.push_async_callback(server.stop, _STOP_SECONDS)
        return port

    async def http_served(self, address: str, stack: AsyncExitStack) -> int:
        application = web.Application(client_max_size=BODY_BYTES_MAX)
        application.add_routes([web.post(PATH, self.post)])
        files, context = _tls_files(self.settings), None
        if files is not None:
            context = await asyncio.to_thread(
                certificates, files.certificate, files.key, files.client_ca
            )
        sites = await stack.enter_async_context(Sites())
        return await sites.add(application, address, context, takes_bodies=True)


def _kept_at_most(limits: PortLimits) -> list[tuple[str, int]]:
    """Options of a gRPC server, so that senders leave open files to health and metrics."""
    return [
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.max_connection_idle_ms", int(limits.idle_seconds * 1000)),
        ("grpc.max_connection_age_ms", int(_CONNECTION_SECONDS_MAX * 1000)),
        ("grpc.max_connection_age_grace_ms", int(_LAST_CALLS_SECONDS * 1000)),
    ]


def _tls_files(settings: OtlpSettings) -> TlsFiles | None:
    tls = settings.tls
    if tls is None:
        return None
    return TlsFiles(certificate=tls.certificate, key=tls.key, client_ca=tls.client_ca)


def _peers_of(settings: OtlpSettings) -> OtlpPeers | None:
    if settings.peers is None:
        return None
    return OtlpPeers(
        PeerAddress.of(settings.peers),
        EXPORT,
        tls=_tls_files(settings),
        token_file=settings.token_file,
    )


def _late() -> str:
    return f"no body within {_BODY_SECONDS_MAX:g} s"


def _said(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text + "\n")


def _unreadable(request: web.Request) -> str | None:
    """Why the body cannot be read, by its headers."""
    if request.content_type != _PROTOBUF:
        given = limited(request.content_type)
        return f"{given}: send {_PROTOBUF} (OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf)"
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding not in {"identity", "gzip"}:
        return f"Content-Encoding {limited(encoding)}: send gzip or none"
    return None


@asynccontextmanager
async def otlp_served(settings: OtlpSettings, source: OtlpSource) -> AsyncIterator[OtlpPorts]:
    """A listening receiver's ports.

    Raises:
        ForesailError: a port is taken, or a TLS file cannot be read.
    """
    peers = _peers_of(settings)
    receiver = _Receiver(source, settings, peers)
    async with AsyncExitStack() as stack:
        if peers is not None:
            following = asyncio.create_task(peers.run(), name="otlp-peers")
            stack.callback(following.cancel)
        ports: dict[str, int] = {}
        for name, address, serve in (
            ("grpc", settings.grpc, receiver.grpc_served),
            ("http", settings.http, receiver.http_served),
        ):
            if address is None:
                continue
            try:
                ports[name] = await serve(address, stack)
            except ForesailError as error:
                message = f"source {source.config.name!r}: otlp.{name}: {error}"
                raise ForesailError(message) from error
        yield OtlpPorts(**ports)
