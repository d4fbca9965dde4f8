"""What one tenant and one client of the network do at once to `foresail serve`, and how often.

They run in a process of their own, at the lowest priority: what the attacker's own work costs is no
cost of the server.
"""

import asyncio
import contextlib
import itertools
import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from typing import Final, Self

import aiohttp
import grpc.aio

from bench._attack_otlp import export_request
from bench._attack_source import FAULTS, PAGE_FAULTS
from scaler.rpc import externalscaler_pb2 as pb
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc

NAMESPACE: Final = "hostile"
FRONTS: Final = (
    "own_objects",
    "scrape",
    "otlp",
    "names",
    "edits",
    "huge",
    "pages",
    "unread_connections",
    "streams",
)
_OBJECTS_OF_A_FAULT: Final = 80
_OBJECTS_OF_A_PAGE: Final = 20
_POLL_SECONDS: Final = 15.0
_NAMES_A_SECOND: Final = 30.0
_EDITS_A_SECOND: Final = 20.0
_HUGE_A_SECOND: Final = 3.0
_EXPORTS_A_SECOND: Final = 20.0
_HTTP_CLIENTS: Final = 16
_HTTP_PAUSE_SECONDS: Final = 0.02
_IDLE_SOCKETS: Final = 100
_REPORT_SECONDS: Final = 2.0
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""A connection of HTTP/2 and its empty settings."""
_PING: Final = bytes((0, 0, 8, 6, 0, 0, 0, 0, 0)) + b"foresail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """Where the attacked server is."""

    grpc_port: int
    http_port: int
    otlp_port: int
    """Of the receiver that its namespace may send to."""
    source_port: int
    """Of the attacker's own sources."""


class Attack:
    """The fronts, running until the block ends."""

    def __init__(self, victim: Victim, fronts: Collection[str] = FRONTS) -> None:
        """Attack on these of `FRONTS`."""
        context = get_context("spawn")
        self._counts: SimpleQueue[dict[str, int]] = context.SimpleQueue()
        arguments = (victim, tuple(fronts), self._counts)
        self._process = context.Process(target=_run, args=arguments, name="attacker", daemon=True)
        self._last: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def counts(self) -> dict[str, int]:
        """What each front did so far."""
        while not self._counts.empty():
            self._last = self._counts.get()
        return self._last


def _run(victim: Victim, fronts: Collection[str], counts: "SimpleQueue[dict[str, int]]") -> None:
    os.nice(19)
    asyncio.run(_Fronts(victim, counts).run(fronts))


class _Fronts:
    def __init__(self, victim: Victim, reports: "SimpleQueue[dict[str, int]]") -> None:
        self._victim = victim
        self._reports = reports
        self._counts: Counter[str] = Counter()

    async def run(self, names: Collection[str]) -> None:
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        address = f"127.0.0.1:{self._victim.grpc_port}"
        async with (
            grpc.aio.insecure_channel(address, options=options) as channel,
            aiohttp.ClientSession() as session,
            asyncio.TaskGroup() as group,
        ):
            keda = pb_grpc.ExternalScalerStub(channel)
            own: dict[str, Callable[[], list[Awaitable[None]]]] = {
                "own_objects": lambda: [
                    self._own_objects("own_objects", keda, FAULTS, _OBJECTS_OF_A_FAULT)
                ],
                "scrape": lambda: [
                    self._own_objects("scrape", keda, PAGE_FAULTS, _OBJECTS_OF_A_PAGE)
                ],
                "otlp": lambda: [
                    self._every(_EXPORTS_A_SECOND, lambda n: self._export(session, n))
                ],
                "names": lambda: [self._every(_NAMES_A_SECOND, lambda n: self._name(keda, n))],
                "edits": lambda: [self._every(_EDITS_A_SECOND, lambda n: self._edit(keda, n))],
                "huge": lambda: [self._every(_HUGE_A_SECOND, lambda n: self._huge(keda, n))],
                "pages": lambda: [self._pages(session, client) for client in range(_HTTP_CLIENTS)],
                "unread_connections": lambda: [
                    self._unread(port) for port in (self._victim.grpc_port, self._victim.http_port)
                ],
                "streams": lambda: [self._streams(keda)],
            }
            for front in (self._report(), *(one for name in names for one in own[name]())):
                _ = group.create_task(_coroutine(front))

    async def _report(self) -> None:
        while True:
            self._reports.put(dict(self._counts))
            await asyncio.sleep(_REPORT_SECONDS)

    async def _every(self, a_second: float, do: Callable[[int], Awaitable[None]]) -> None:
        for number in itertools.count():
            await do(number)
            await asyncio.sleep(1 / a_second)

    async def _own_objects(
        self,
        front: str,
        keda: "pb_grpc.ExternalScalerAsyncStub",
        sources: Sequence[str],
        objects_of_each: int,
    ) -> None:
        """Its own workloads on its own sources, polled as KEDA does."""
        references = [
            _reference(f"{source}-{n}", {"model": f"m-{n}", "source": source, "mode": "act"})
            for source in sources
            for n in range(objects_of_each)
        ]
        while True:
            for reference in references:
                await self._ask(front, keda, reference)
                await asyncio.sleep(_POLL_SECONDS / len(references))

    async def _export(self, session: aiohttp.ClientSession, number: int) -> None:
        self._counts["otlp"] += 1
        url = f"http://127.0.0.1:{self._victim.otlp_port}/v1/metrics"
        body, encoding = export_request(number)
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": encoding}
        limit = aiohttp.ClientTimeout(total=5)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.post(url, data=body, headers=headers, timeout=limit) as answer:
                await answer.read()

    async def _name(self, keda: "pb_grpc.ExternalScalerAsyncStub", number: int) -> None:
        metadata = {"model": f"m-{number}", "source": "hang"}
        await self._ask("names", keda, _reference(f"name-{number}", metadata))

    async def _edit(self, keda: "pb_grpc.ExternalScalerAsyncStub", number: int) -> None:
        base = f"http://127.0.0.1:{self._victim.source_port}"
        metadata = {"model": "m", "serverAddress": f"{base}/{FAULTS[number % 5]}/{number}"}
        await self._ask("edits", keda, _reference("edited", metadata))

    async def _huge(self, keda: "pb_grpc.ExternalScalerAsyncStub", number: int) -> None:
        match number % 3:
            case 0:
                reference = _reference("keys", {f"k{n}-{number}": "v" for n in range(1200)})
            case 1:
                reference = _reference("n" * 3_500_000, {"model": "m"})
            case _:
                events = ";".join(["* * * * * for 1m x2"] * 50) + " " * number
                reference = _reference("events", {"model": "m", "events": events})
        await self._ask("huge", keda, reference)

    async def _ask(
        self, front: str, keda: "pb_grpc.ExternalScalerAsyncStub", reference: pb.ScaledObjectRef
    ) -> None:
        self._counts[front] += 1
        with contextlib.suppress(grpc.aio.AioRpcError):
            await keda.IsActive(reference, timeout=5)

    async def _pages(self, session: aiohttp.ClientSession, client: int) -> None:
        base = f"http://127.0.0.1:{self._victim.http_port}"
        paths = ("/metrics", f"/explain/{NAMESPACE}/nobody", f"/explain/{'x' * 4000}/y", "/readyz")
        while True:
            self._counts["pages"] += 1
            headers = {"Authorization": f"Bearer {client}-{self._counts['pages']}"}
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                url = base + paths[client % len(paths)]
                async with session.get(url, headers=headers) as answer:
                    await answer.read()
            await asyncio.sleep(_HTTP_PAUSE_SECONDS)

    async def _unread(self, port: int) -> None:
        """Connections that ask without end and read nothing."""
        loop = asyncio.get_running_loop()
        http = port == self._victim.http_port
        begin = b"" if http else _PREFACE
        more = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" if http else _PING

        async def one() -> None:
            while True:
                self._counts["unread_connections"] += 1
                with socket.socket() as connection, contextlib.suppress(OSError):
                    connection.setblocking(False)  # noqa: FBT003 its only argument
                    await loop.sock_connect(connection, ("127.0.0.1", port))
                    await loop.sock_sendall(connection, begin)
                    while True:
                        await loop.sock_sendall(connection, more)
                        await asyncio.sleep(1)
                await asyncio.sleep(1)

        await asyncio.gather(*(one() for _ in range(_IDLE_SOCKETS)))

    async def _streams(self, keda: "pb_grpc.ExternalScalerAsyncStub") -> None:
        """Push streams without end, none of which is read."""
        open_streams = []
        for number in itertools.count():
            self._counts["streams"] += 1
            reference = _reference(f"hang-{number % _OBJECTS_OF_A_FAULT}", {"model": "m"})
            open_streams.append(keda.StreamIsActive(reference))
            if len(open_streams) > 2000:  # noqa: PLR2004 a bound of its own memory
                open_streams.pop(0).cancel()
            await asyncio.sleep(0.05)


async def _coroutine(front: Awaitable[None]) -> None:
    await front


def _reference(name: str, metadata: dict[str, str]) -> pb.ScaledObjectRef:
    return pb.ScaledObjectRef(name=name, namespace=NAMESPACE, scalerMetadata=metadata)
