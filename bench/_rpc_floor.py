"""A scaler that answers a constant and does nothing else, in a process of its own.

A caller sees the latency of the machine, of gRPC and of the caller itself. Measured in the same
moments it is the floor under the latency of any server that is asked in this way.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator

import grpc.aio
from typing_extensions import override

from scaler.rpc import externalscaler_pb2 as pb
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc


class _Constant(pb_grpc.ExternalScalerServicer):
    @override
    async def GetMetricSpec(
        self, request: pb.ScaledObjectRef, context: object
    ) -> pb.GetMetricSpecResponse:
        return pb.GetMetricSpecResponse(
            metricSpecs=[pb.MetricSpec(metricName="replicas", targetSizeFloat=1)]
        )

    @override
    async def GetMetrics(
        self, request: pb.GetMetricsRequest, context: object
    ) -> pb.GetMetricsResponse:
        return pb.GetMetricsResponse(
            metricValues=[pb.MetricValue(metricName="replicas", metricValueFloat=3)]
        )

    @override
    async def IsActive(self, request: pb.ScaledObjectRef, context: object) -> pb.IsActiveResponse:
        return pb.IsActiveResponse(result=True)

    @override
    def StreamIsActive(
        self, request: pb.ScaledObjectRef, context: object
    ) -> AsyncIterator[pb.IsActiveResponse]:
        raise NotImplementedError

    @override
    def StreamMetricSpec(
        self, request: pb.ScaledObjectRef, context: object
    ) -> AsyncIterator[pb.GetMetricSpecResponse]:
        raise NotImplementedError


@contextlib.asynccontextmanager
async def floor() -> AsyncIterator[str]:
    """The address of a running one."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench._rpc_floor", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _serve() -> None:
    server = grpc.aio.server()
    pb_grpc.add_ExternalScalerServicer_to_server(_Constant(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    os.write(1, f"127.0.0.1:{port}\n".encode())
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve())
