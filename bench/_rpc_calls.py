"""KEDA's calls: objects polled by several clocks on one channel, as KEDA's source has it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import grpc.aio
import numpy as np
from rich.progress import track

from scaler.rpc import externalscaler_pb2 as pb
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc
from scaler.serving.service import METRIC_NAME


@dataclass(slots=True)
class Tally:
    """Latencies of the counted calls, and how many failed."""

    is_wrong: Callable[[pb.ScaledObjectRef], bool] = lambda _: True
    """Whether an error is one, for this object."""
    seconds: list[float] = field(default_factory=list)
    errors: int = 0


OBJECTS_OF_NAMESPACE = 100
"""Far below the number that a server takes of one namespace, as in a cluster of many teams."""


def bench_object(index: int, *, source: str = "main") -> pb.ScaledObjectRef:
    """An object with a model of its own, in a namespace with others."""
    metadata = {
        "scalerAddress": "foresail:6500",
        "source": source,
        "model": f"model-{index}",
        "mode": "act",
        "leadTime": "5m",
        "maxReplicas": "40",
        "replicaPromptTokensPerSecond": "4000",
    }
    return pb.ScaledObjectRef(
        name=f"so-{index}",
        namespace=f"bench-{index // OBJECTS_OF_NAMESPACE}",
        scalerMetadata=metadata,
    )


async def drive(
    keda: "pb_grpc.ExternalScalerAsyncStub",
    references: Sequence[pb.ScaledObjectRef],
    tally: Tally,
    *,
    periods: Sequence[float],
    seconds: float,
) -> None:
    """Poll every object by these clocks until the time is over.

    The clocks of an object start at a moment of its own, as the reconciles that start them do.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()

    async def clock(reference: pb.ScaledObjectRef, period: float, phase: float) -> None:
        at = begun + phase * period
        while at < begun + seconds:
            await asyncio.sleep(at - loop.time())
            await _poll(keda, reference, tally)
            at += period

    generator = np.random.default_rng(1)
    async with asyncio.TaskGroup() as group:
        for reference in references:
            for period in periods:
                _ = group.create_task(clock(reference, period, generator.random()))


async def _poll(
    keda: "pb_grpc.ExternalScalerAsyncStub", reference: pb.ScaledObjectRef, tally: Tally
) -> None:
    """One poll: three calls, one after another; an error fails the rest of it."""
    question = pb.GetMetricsRequest(scaledObjectRef=reference, metricName=METRIC_NAME)
    calls = (
        lambda: keda.GetMetricSpec(reference),
        lambda: keda.GetMetrics(question),
        lambda: keda.IsActive(reference),
    )
    for call in calls:
        begun = perf_counter()
        try:
            await call()
        except grpc.aio.AioRpcError:
            if tally.is_wrong(reference):
                tally.errors += 1
                return
        tally.seconds.append(perf_counter() - begun)


async def replicas(
    keda: "pb_grpc.ExternalScalerAsyncStub", reference: pb.ScaledObjectRef
) -> float | None:
    """The number for an object; None for an error."""
    question = pb.GetMetricsRequest(scaledObjectRef=reference, metricName=METRIC_NAME)
    try:
        return (await keda.GetMetrics(question)).metricValues[0].metricValueFloat
    except grpc.aio.AioRpcError:
        return None


async def until_live(
    keda: "pb_grpc.ExternalScalerAsyncStub",
    references: Sequence[pb.ScaledObjectRef],
    *,
    seconds_max: float,
) -> None:
    """Make every object known and wait until each has a plan: counted calls meet live objects.

    One object is asked about at a time. Questions about all that wait, again and again, would take
    the processors from the planner that they wait for.

    Raises:
        TimeoutError: some have none after so long.
    """
    deadline = perf_counter() + seconds_max
    for reference in track(references, "objects made known", transient=True):
        await keda.GetMetricSpec(reference)
    waiting = list(references)
    while waiting:
        if await replicas(keda, waiting[-1]) is not None:
            _ = waiting.pop()
        elif perf_counter() <= deadline:
            await asyncio.sleep(1.0)
        else:
            missing = [one for one in waiting if await replicas(keda, one) is None]
            message = (
                f"{len(missing)} of {len(references)} objects have no plan after {seconds_max} s"
            )
            raise TimeoutError(message)
