"""The gRPC server that KEDA connects to.

It is an asyncio server. A threaded server gives each open stream a worker, so as many push triggers
as there are workers would block every answer.

Certificates are read again at the next handshake after their files change: a rotated secret needs
no restart, and with a half-written one the old pair stays in use.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from scaler.errors import ForesailError
from scaler.reloaded import Reloaded, server_context
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc
from scaler.rpc.foresail.v1 import state_pb2_grpc as state_grpc
from scaler.serving.bodies import Bodies
from scaler.serving.health import Health
from scaler.serving.service import ExternalScaler
from scaler.serving.state_service import StateService
from scaler.serving.streams import CONNECTION_AGE_SECONDS, CONNECTION_GRACE_SECONDS, StreamLifetimes

SERVICE_NAME = "externalscaler.ExternalScaler"
LISTENING_OPTIONS = (
    # Drop the connection of a client whose node died; allow the client's pings.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    # From a connection to its first settings, with TLS.
    ("grpc.server_handshake_timeout_ms", 15_000),
    # A taken port must fail the start, not share its connections with another program.
    ("grpc.so_reuseport", 0),
)
CONNECTIONS_MAX = 1024
"""At once. KEDA has one for each client certificate of its triggers."""
MESSAGE_BYTES_MAX = 2**18
"""Of a call: four times the metadata that a trigger may have, so that one that is too long is told
so in our words. Up to `bodies.ON_THEIR_WAY_MAX` of them are held at once."""
_SHUTDOWN_SECONDS = 5.0
_QUIET_SECONDS_MAX = 3.0
_TOLD_SECONDS = 0.05
"""For gRPC to tell its clients that the server stops."""


class ListenError(ForesailError):
    """The server cannot listen: a taken port, or certificates that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files of the server's identity, and of the CA whose clients it admits."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    """None admits any client; a file (old and new CA together while rotating) asks for mTLS."""


class ReloadingCertificates:
    """The certificate and key to serve with, in the form that gRPC takes."""

    def __init__(self, files: TlsFiles) -> None:
        """Read the files.

        Raises:
            ListenError: a file is missing or not readable, or key and certificate are no pair.
        """
        self._files = files
        paths = [files.certificate, files.key, *([files.client_ca] if files.client_ca else [])]
        try:
            self._reloaded = Reloaded(paths, self._read)
        except OSError as error:
            given = error.filename or f"{files.certificate}, {files.key}"
            raise ListenError(f"TLS file {given}: {error.strerror}") from error
        self.configuration = self._reloaded.current()

    def fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC at every handshake: a new configuration, or None to keep the old."""
        before, self.configuration = self.configuration, self._reloaded.current()
        return None if self.configuration is before else self.configuration

    def _read(self) -> grpc.ServerCertificateConfiguration:
        # gRPC accepts any bytes, and with a key of another certificate fails every handshake.
        server_context(self._files.certificate, self._files.key)
        ca = self._files.client_ca
        return grpc.ssl_server_certificate_configuration(
            [(self._files.key.read_bytes(), self._files.certificate.read_bytes())],
            root_certificates=ca.read_bytes() if ca is not None else None,
        )


async def start_listening(server: grpc.aio.Server, address: str, tls: TlsFiles | None) -> int:
    """Start a server on `host:port` (port 0: any free one) and return the port.

    Raises:
        ListenError: the address cannot be had, or a TLS file cannot be read.
    """
    try:
        port = _bind(server, address, tls)
    except RuntimeError as error:
        message = f"cannot listen on {address}: taken, or not an address of this machine"
        raise ListenError(message) from error
    await server.start()
    return port


def _bind(server: grpc.aio.Server, address: str, tls: TlsFiles | None) -> int:
    if tls is None:
        return server.add_insecure_port(address)
    certificates = ReloadingCertificates(tls)
    credentials = grpc.dynamic_ssl_server_credentials(
        certificates.configuration,
        certificates.fetch,  # type: ignore[arg-type]  # None is documented: nothing new
        require_client_authentication=tls.client_ca is not None,
    )
    return server.add_secure_port(address, credentials)


class ScalerServer:
    """The listening server: start, report health, drain."""

    def __init__(
        self,
        service: ExternalScaler,
        lifetimes: StreamLifetimes,
        *,
        state: StateService | None = None,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        self._service = service
        self._lifetimes = lifetimes
        self._health = Health(SERVICE_NAME)
        self._server = grpc.aio.server(
            interceptors=[Bodies(), *interceptors],
            options=[
                *LISTENING_OPTIONS,
                ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
                ("grpc.max_allowed_incoming_connections", CONNECTIONS_MAX),
                # Without an age a new Foresail replica gets no traffic until a connection breaks.
                ("grpc.max_connection_age_ms", int(CONNECTION_AGE_SECONDS * 1000)),
                ("grpc.max_connection_age_grace_ms", int(CONNECTION_GRACE_SECONDS * 1000)),
            ],
        )
        pb_grpc.add_ExternalScalerServicer_to_server(service, self._server)
        if state is not None:
            state_grpc.add_StateServicer_to_server(state, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    async def start(self, address: str, tls: TlsFiles | None) -> int:
        """Listen on `host:port` (port 0: any free one) and return the port.

        Raises:
            ListenError: the address cannot be had, or a TLS file cannot be read.
        """
        return await start_listening(self._server, address, tls)

    def serving(self, ready: bool) -> None:  # noqa: FBT001 the only argument
        """Set the status of the health service."""
        self._health.set(serving=ready)

    async def drain(self) -> None:
        """End all streams with OK, let calls finish, stop in a moment without any.

        Calls are answered once clients were told that the server stops: a client that waits for an
        answer sends nothing that the stopping server would cancel.
        """
        self.serving(ready=False)
        self._lifetimes.drain()
        self._service.hold()
        try:
            await self._service.quiet(seconds_max=_QUIET_SECONDS_MAX)
            stopping = asyncio.create_task(self._server.stop(_SHUTDOWN_SECONDS), name="stop")
            await asyncio.sleep(_TOLD_SECONDS)
        finally:
            self._service.release()
        await stopping
