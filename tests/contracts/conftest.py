from collections.abc import AsyncIterator

import grpc.aio
import pytest
from prometheus_client import CollectorRegistry

from scaler.rpc import externalscaler_pb2_grpc as pb_grpc
from scaler.serving.board import Board
from scaler.serving.metrics import ServiceMetrics
from scaler.serving.server import ScalerServer
from scaler.serving.service import ExternalScaler
from scaler.serving.streams import StreamLifetimes
from scaler.trigger_parsing import parse
from tests.contracts.served import ALLOWED, START, Served


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    now = [START]
    registry = CollectorRegistry()
    board = Board(lambda _, m: parse(m, ALLOWED), clock=lambda: now[0], objects_max=3)
    lifetimes = StreamLifetimes(per_peer_max=4)
    service = ExternalScaler(board, ServiceMetrics(registry), lifetimes, replicas_max=1000)
    server = ScalerServer(service, lifetimes)
    port = await server.start("127.0.0.1:0", None)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = pb_grpc.ExternalScalerStub(channel)
        yield Served(board, server, service, lifetimes, registry, port, now, channel, stub)
    await server.drain()
