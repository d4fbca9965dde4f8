from collections.abc import AsyncIterator

import grpc.aio
import pytest
from prometheus_client import CollectorRegistry

from scaler.board import Board
from scaler.metadata import parse
from scaler.metrics import ServiceMetrics
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc
from scaler.server import ScalerServer
from scaler.service import ExternalScaler
from scaler.streams import StreamLives
from tests.contracts.served import OFFER, START, Served


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    now = [START]
    registry = CollectorRegistry()
    board = Board(lambda m: parse(m, OFFER), clock=lambda: now[0], objects_max=3)
    lives = StreamLives(per_peer_max=4)
    service = ExternalScaler(board, ServiceMetrics(registry), lives, replicas_max=1000)
    server = ScalerServer(service, lives)
    port = await server.start("127.0.0.1:0", None)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = pb_grpc.ExternalScalerStub(channel)
        yield Served(board, server, service, lives, registry, port, now, channel, stub)
    await server.drain()
