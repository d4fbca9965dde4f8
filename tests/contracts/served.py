"""A board served over a real connection, for tests of the contract."""

from dataclasses import dataclass, field

import grpc.aio
from prometheus_client import CollectorRegistry

from scaler.decision.answers import Answer, Outcome, Reference, TimedOutcome
from scaler.rpc import externalscaler_pb2 as pb
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc
from scaler.serving.board import Board
from scaler.serving.entry import Entry
from scaler.serving.server import ScalerServer
from scaler.serving.service import ExternalScaler
from scaler.serving.streams import StreamLifetimes
from scaler.trigger_parsing import AllowedOptions

ALLOWED = AllowedOptions(
    engines={"vllm": False, "llm-d": True}, sources=frozenset({"main"}), default_source="main"
)
START = 1_790_000_000.0


@dataclass
class Served:
    """A served board and a client that calls as KEDA does: no deadline, one channel."""

    board: Board
    server: ScalerServer
    service: ExternalScaler
    lifetimes: StreamLifetimes
    registry: CollectorRegistry
    port: int
    now: list[float]
    channel: grpc.aio.Channel
    keda: "pb_grpc.ExternalScalerAsyncStub"
    metadata: dict[str, str] = field(
        default_factory=lambda: {
            "scalerAddress": "foresail:6500",
            "model": "llama-70b",
            "mode": "act",
        }
    )

    def reference(self, name: str = "llama") -> pb.ScaledObjectRef:
        return pb.ScaledObjectRef(name=name, namespace="team-a", scalerMetadata=self.metadata)

    def question(
        self, name: str = "llama", metric: str = "foresail-replicas"
    ) -> pb.GetMetricsRequest:
        return pb.GetMetricsRequest(scaledObjectRef=self.reference(name), metricName=metric)

    def entry(self, name: str = "llama") -> Entry:
        return self.board.ask(Reference.of("team-a", name, self.metadata))

    def publish(self, outcome: Outcome, name: str = "llama") -> None:
        now = self.now[0]
        timed = TimedOutcome(outcome=outcome, read_at_seconds=now, valid_until_seconds=now + 300.0)
        self.entry(name).publish(timed)

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


def answer(replicas: int, *, active: bool = True) -> Answer:
    return Answer(replicas=replicas, active=active, made_at_seconds=START)
