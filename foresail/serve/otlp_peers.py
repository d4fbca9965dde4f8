"""Passes on what one replica receives over OTLP, so that every replica plans from the same metrics.

A sender keeps one connection, and so it reaches one replica. KEDA may ask any of them. What was
passed on carries the name of the replica that got it, and is not passed on again. Each peer has a
queue and a task of its own: one that hangs delays neither the sender nor another peer. What does
not fit in its queue is left out; totals make up for it with the next report.
"""

import asyncio
from pathlib import Path
from typing import Final, Never
from uuid import uuid4

import grpc
import grpc.aio
import structlog

from scaler.errors import ForesailError
from scaler.limits import Limit, exceeded
from scaler.serving.server import TlsFiles
from scaler.serving.state_peers import PeerAddress, channel_to, hosts_of
from scaler.sources.access import authorization

log = structlog.get_logger()

PASSED_ON: Final = "foresail-passed-on-by"
"""The metadata with the name of the replica."""
WAITING_MAX: Final = 32
_RESOLVE_SECONDS: Final = 10.0
_SEND_SECONDS_MAX: Final = 5.0
_RETRY_SECONDS: Final = 1.0


class OtlpPeers:
    """The other replicas' receivers of one source."""

    def __init__(
        self,
        address: PeerAddress,
        method: str,
        *,
        tls: TlsFiles | None,
        token_file: Path | None,
    ) -> None:
        """Begin without peers.

        Args:
            address: leads to all replicas, this one included.
            method: of the service that takes what is passed on.
            tls: this receiver's own files, shown to peers too.
        """
        self.instance = uuid4().hex
        self._address = address
        self._method = method
        self._tls = tls
        self._token_file = token_file
        self._queues: dict[str, asyncio.Queue[bytes]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failing: set[str] = set()
        """Hosts whose last body was not taken, which is logged once."""

    def pass_on(self, body: bytes) -> None:
        """Send a body to every peer, later."""
        for waiting in self._queues.values():
            try:
                waiting.put_nowait(body)
            except asyncio.QueueFull:
                exceeded(Limit.OTLP_WAITING)

    async def run(self) -> None:
        """Follow the name's addresses, until cancelled."""
        try:
            while True:
                self._follow(await hosts_of(self._address))
                await asyncio.sleep(_RESOLVE_SECONDS)
        finally:
            self._follow([])

    def _follow(self, hosts: list[str]) -> None:
        for gone in [host for host in self._tasks if host not in hosts]:
            self._tasks.pop(gone).cancel()
            self._queues.pop(gone, None)
            self._failing.discard(gone)
        for host in hosts:
            if host not in self._tasks:
                waiting: asyncio.Queue[bytes] = asyncio.Queue(WAITING_MAX)
                self._queues[host] = waiting
                self._tasks[host] = asyncio.create_task(self._send(host, waiting), name="pass-on")

    async def _send(self, host: str, waiting: "asyncio.Queue[bytes]") -> None:
        """Send to one peer until cancelled, or until it turns out to be this replica."""
        while True:
            try:
                # A new channel after each failure, because a channel keeps the certificates that
                # it began with, which are replaced.
                async with channel_to(self._address, host, self._tls) as channel:
                    await self._send_over(channel, host, waiting)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.ALREADY_EXISTS:
                    self._queues.pop(host, None)
                    return  # this replica itself
                self._failed(host, f"{error.code().name}: {error.details()}")
            except (OSError, ForesailError) as error:  # files that are being replaced
                self._failed(host, str(error))
            await asyncio.sleep(_RETRY_SECONDS)

    async def _send_over(
        self, channel: grpc.aio.Channel, host: str, waiting: "asyncio.Queue[bytes]"
    ) -> Never:
        export: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(self._method)
        while True:
            body = await waiting.get()
            metadata = [(PASSED_ON, self.instance), *await self._authorization()]
            await export(body, metadata=metadata, timeout=_SEND_SECONDS_MAX)
            self._failing.discard(host)

    def _failed(self, host: str, why: str) -> None:
        if host not in self._failing:
            log.warning("otlp_not_passed_on", peer=host, error=why)
        self._failing.add(host)

    async def _authorization(self) -> list[tuple[str, str]]:
        if self._token_file is None:
            return []
        given = await asyncio.to_thread(authorization, self._token_file, None)
        return [(name.lower(), value) for name, value in given.items()]
