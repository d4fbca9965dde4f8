"""KEDA's calls about many objects, on one connection, and what each of them got.

A client that goes by KEDA's rules: an object's poll is `GetMetricSpec`, `GetMetrics` and `IsActive`
in turn, without a deadline; addresses are taken in turns; a call that fails is made once more at
once, over a connection with the certificates as they are then. A call is lost when both fail.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic  # noqa: TID251 - processes live in real time
from typing import Any, TypeVar

import grpc
import grpc.aio

from scaler.rpc import externalscaler_pb2 as pb
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc
from scaler.serving.service import METRIC_NAME

T = TypeVar("T")
_READY_SECONDS = 60.0
_TURNS = '{"loadBalancingConfig": [{"round_robin": {}}]}'
Files = Callable[[], tuple[bytes, bytes, bytes]]
"""The authorities that are trusted, the client's key and its certificate, as they are now."""


@dataclass(kw_only=True)
class Calls:
    """What was counted between two moments."""

    least: float
    """An answer below it is a wrong scale-down."""
    answered: int = 0
    asked_again: int = 0
    """Calls that failed and were answered at the second try."""
    lost: Counter[str] = field(default_factory=Counter)
    """By method: neither try was answered."""
    errors: Counter[str] = field(default_factory=Counter)
    """Of the second tries, by status."""
    lower: int = 0
    """Answers below the least, and objects said to be inactive."""
    longest_seconds: float = 0.0


class KedaLoad:
    """Polls of all objects until the load ends; a thread of its own makes them."""

    def __init__(
        self,
        addresses: Sequence[str],
        host: str,
        files: Files,
        objects: Sequence[pb.ScaledObjectRef],
        *,
        every_seconds: float,
    ) -> None:
        """Prepare the calls.

        Args:
            addresses: of the servers, with the port; whichever of them run.
            host: the name in their certificates.
            files: of the client.
            objects: that are asked about.
            every_seconds: between two polls of one object.
        """
        self.objects = objects
        self._addresses, self._host, self._files = addresses, host, files
        self._every_seconds = every_seconds
        self._calls = Calls(least=0.0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="keda-load")
        self._shown: tuple[bytes, bytes, bytes] | None = None
        self._channel: grpc.aio.Channel | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @contextmanager
    def running(self) -> Iterator["KedaLoad"]:
        self._thread.start()
        try:
            self._do(self._begin())
            yield self
        finally:
            self._do(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def count(self, *, least: float) -> Calls:
        """Count anew from now on; the calls are added up in what is given."""
        self._calls = Calls(least=least)
        return self._calls

    def reconnect(self) -> None:
        """Go on over a new connection, if the certificates are new."""
        self._do(self._connect())

    def answers(self, address: str) -> Mapping[str, float | None]:
        """What one server answers for each object now; None = an error, or inactive."""
        return self._do(self._answers_of(address))

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=120)

    async def _begin(self) -> None:
        await self._connect()
        gap = self._every_seconds / len(self.objects)
        self._tasks = [
            asyncio.create_task(self._clock(one, index * gap))
            for index, one in enumerate(self.objects)
        ]

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._channel is not None:
            await self._channel.close()

    def _channel_to(self, target: str) -> grpc.aio.Channel:
        ca, key, certificate = self._files()
        credentials = grpc.ssl_channel_credentials(ca, key, certificate)
        options = [
            ("grpc.ssl_target_name_override", self._host),
            ("grpc.service_config", _TURNS),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        return grpc.aio.secure_channel(target, credentials, options)

    async def _connect(self) -> None:
        """Over a new connection from now on, if the certificates are new."""
        shown = self._files()
        if shown == self._shown:
            return
        self._shown, old = shown, self._channel
        fresh = self._channel_to("ipv4:" + ",".join(self._addresses))
        async with asyncio.timeout(_READY_SECONDS):
            await fresh.channel_ready()
        self._channel = fresh
        if old is not None:
            await old.close(grace=5)

    async def _clock(self, one: pb.ScaledObjectRef, phase: float) -> None:
        at = self._loop.time() + phase
        while True:
            await asyncio.sleep(at - self._loop.time())
            await self._poll(one)
            at = max(at + self._every_seconds, self._loop.time())

    async def _poll(self, one: pb.ScaledObjectRef) -> None:
        calls = self._calls
        question = pb.GetMetricsRequest(scaledObjectRef=one, metricName=METRIC_NAME)
        if await self._asked("GetMetricSpec", one) is None:
            return
        found = await self._asked("GetMetrics", question)
        if found is not None:
            calls.lower += any(each.metricValueFloat < calls.least for each in found.metricValues)
            active = await self._asked("IsActive", one)
            calls.lower += active is not None and calls.least > 0 and not active.result

    async def _asked(self, method: str, question: object) -> Any:
        """The answer, at the second try if need be; None = the call is lost."""
        calls, begun, status = self._calls, monotonic(), ""
        for again in (False, True):
            if again:
                # KEDA makes the scaler anew, which reads its Secret.
                with suppress(TimeoutError):
                    await self._connect()
            stub = pb_grpc.ExternalScalerStub(self._channel)
            call: Callable[[object], Awaitable[Any]] = getattr(stub, method)
            try:
                answer = await call(question)
            except grpc.aio.AioRpcError as error:
                status = f"{error.code().name}: {error.details()}"
                continue
            calls.answered += 1
            calls.asked_again += again
            calls.longest_seconds = max(calls.longest_seconds, monotonic() - begun)
            return answer
        calls.lost[method] += 1
        calls.errors[status] += 1
        return None

    async def _answers_of(self, address: str) -> dict[str, float | None]:
        async with self._channel_to(f"ipv4:{address}") as channel:
            stub = pb_grpc.ExternalScalerStub(channel)
            found: dict[str, float | None] = {}
            for one in self.objects:
                question = pb.GetMetricsRequest(scaledObjectRef=one, metricName=METRIC_NAME)
                found[one.name] = None
                with suppress(grpc.aio.AioRpcError):
                    spec = await stub.GetMetricSpec(one)
                    metrics = await stub.GetMetrics(question)
                    active = await stub.IsActive(one)
                    if active.result and len(spec.metricSpecs) == len(metrics.metricValues) == 1:
                        found[one.name] = metrics.metricValues[0].metricValueFloat
            return found
