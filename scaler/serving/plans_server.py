"""The gRPC server of the Plans API, with health and reflection, in the planning process."""

import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from scaler.rpc.foresail.v1 import plans_pb2 as pb
from scaler.rpc.foresail.v1 import plans_pb2_grpc as pb_grpc
from scaler.serving.bodies import Bodies
from scaler.serving.health import Health
from scaler.serving.plan_book import PlanBook
from scaler.serving.plans_service import PlansService
from scaler.serving.server import (
    LISTENING_OPTIONS,
    MESSAGE_BYTES_MAX,
    TlsFiles,
    start_listening,
)

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["Plans"].full_name
CONNECTIONS_MAX = 256
"""At once: this process has health and metrics, too, and needs open files for them."""
_IDLE_SECONDS_MAX = 120.0
"""Of a connection without a call; a reader that asks again opens another one."""
_SHUTDOWN_SECONDS = 1.0
"""For streams that do not end because nobody reads them. The answering process kills a planner that
has not ended in five."""


class PlansServer:
    """The listening server: start, serve, drain."""

    def __init__(self, service: PlansService, book: PlanBook) -> None:
        self._service = service
        self._book = book
        self._health = Health(SERVICE_NAME)
        self._server = grpc.aio.server(
            interceptors=[Bodies()],
            options=[
                *LISTENING_OPTIONS,
                ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
                ("grpc.max_allowed_incoming_connections", CONNECTIONS_MAX),
                ("grpc.max_connection_idle_ms", int(_IDLE_SECONDS_MAX * 1000)),
            ],
        )
        pb_grpc.add_PlansServicer_to_server(service, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        served = (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(served, self._server)

    async def start(self, address: str, tls: TlsFiles | None) -> int:
        """Listen on `host:port` (port 0: any free one) and return the port.

        Callers are put off until `serve`.

        Raises:
            ListenError: the address cannot be had, or a TLS file cannot be read.
        """
        return await start_listening(self._server, address, tls)

    async def serve(self) -> None:
        """Answer from now on: every workload that was known before is known again."""
        self._service.serving = True
        self._health.set(serving=True)

    async def drain(self) -> None:
        """End all streams with OK, let calls finish, stop."""
        self._health.set(serving=False)
        self._book.close()
        await self._server.stop(_SHUTDOWN_SECONDS)
