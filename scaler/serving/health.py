"""The health service of a gRPC server, by the protocol grpc.health.v1.

The library's own servicer writes to a watcher while it holds the lock that a new status waits for:
one client that watches and reads nothing would keep a server from its drain.
"""

import asyncio
from typing import Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc as pb_grpc
from typing_extensions import override

from scaler.limits import Limit, exceeded

WATCHERS_MAX: Final = 64
"""At once; a probe asks with `Check`."""

Context = grpc.aio.ServicerContext[object, object]


class Health(pb_grpc.HealthServicer):  # type: ignore[misc]  # the library has no types
    """Whether some services serve; none of them until `set`."""

    def __init__(self, *services: str) -> None:
        self._is_serving = dict.fromkeys(("", *services), False)
        self._changed = asyncio.Event()
        self._watchers = 0

    def set(self, *, serving: bool) -> None:
        """Report this of all services; waits for no watcher."""
        self._is_serving = dict.fromkeys(self._is_serving, serving)
        self._changed.set()
        self._changed = asyncio.Event()

    @override
    async def Check(
        self, request: "pb.HealthCheckRequest", context: Context
    ) -> "pb.HealthCheckResponse":
        if request.service not in self._is_serving:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return self._response(request.service)

    @override
    async def Watch(self, request: "pb.HealthCheckRequest", context: Context) -> None:
        if self._watchers >= WATCHERS_MAX:
            exceeded(Limit.STREAMS)
            message = f"{WATCHERS_MAX} clients watch the health: ask with Check"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, message)
        self._watchers += 1
        try:
            await self._tell(request, context)
        finally:
            self._watchers -= 1

    async def _tell(self, request: "pb.HealthCheckRequest", context: Context) -> None:
        told = None
        while True:
            changed, response = self._changed, self._response(request.service)
            if response != told:
                await context.write(response)
                told = response
            await changed.wait()

    def _response(self, service: str) -> "pb.HealthCheckResponse":
        response = pb.HealthCheckResponse
        match self._is_serving.get(service):
            case None:
                return response(status=response.SERVICE_UNKNOWN)
            case True:
                return response(status=response.SERVING)
            case False:
                return response(status=response.NOT_SERVING)
