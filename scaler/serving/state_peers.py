"""Asks other servers for their states.

One DNS name resolves to all servers, including this one, which refuses its own request. A failure
here costs accuracy or a moment without an answer, so every failure yields no states and one line in
the log.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import grpc
import grpc.aio
import structlog

from scaler.errors import ForesailError
from scaler.rpc.foresail.v1 import state_pb2 as pb
from scaler.rpc.foresail.v1 import state_pb2_grpc as pb_grpc
from scaler.serving.server import TlsFiles
from scaler.state.feed_bytes import FEED_BYTES_MAX
from scaler.state.records import RefusalReason
from scaler.state.workload_bytes import WORKLOAD_BYTES_MAX

log = structlog.get_logger()

PEERS_MAX: Final = 8
"""Addresses asked; a pair is usual."""
LIST_SECONDS_MAX: Final = 5.0
"""How long a joining server waits for its peers before it answers KEDA."""
FEEDS_SECONDS_MAX: Final = 8.0
"""Less than a planner waits for a request, which leaves it time to read its disk instead."""
SILENCE_SECONDS: Final = 60.0
"""How long a peer that failed is not asked for feeds."""
WORKLOADS_MAX: Final = 20_000
"""Accepted from one peer; a server knows at most limits.objectsMax."""
WORKLOADS_BYTES_MAX: Final = 2**27
"""Of one peer's workloads: three times what 20,000 usual ones take."""


class PeerError(ForesailError):
    """Peers cannot be asked as the settings are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerAddress:
    """The address that leads to all servers of one installation."""

    host: str
    port: int

    @classmethod
    def of(cls, text: str) -> "PeerAddress":
        host, _, port = text.rpartition(":")
        return cls(host=host.strip("[]"), port=int(port))


class Peers:
    """The other servers of this installation."""

    def __init__(self, address: PeerAddress, *, instance: str, tls: TlsFiles | None) -> None:
        """Ask at `address`.

        Args:
            instance: this server's random name, which it does not answer.
            tls: the server's own files; its certificate is shown to peers too, and the client CA
                is the one that must have signed theirs.

        Raises:
            PeerError: the files name no client CA.
        """
        if tls is not None and tls.client_ca is None:
            message = "peers over TLS need tls.clientCa: without it servers cannot verify peers"
            raise PeerError(message)
        self._address = address
        self._instance = instance
        self._tls = tls
        self._silent_until: dict[str, float] = {}

    async def workloads(self) -> list[bytes]:
        """The states of all peers' workloads; empty where none answers in time."""
        hosts = await hosts_of(self._address)
        found: list[bytes] = []
        async with asyncio.TaskGroup() as group:
            for host in hosts:
                _ = group.create_task(self._list(host, found), name="list-workloads")
        return found

    async def feeds(self, keys: Sequence[str]) -> AsyncIterator[bytes]:
        """The states of these feeds, each from the first peer that has it."""
        missing, now = list(keys), asyncio.get_running_loop().time()
        for host in await hosts_of(self._address):
            if not missing:
                return
            if self._silent_until.get(host, now) > now:
                continue
            async for feed in self._get(host, missing):
                if feed.key not in missing:
                    continue
                for payload in _no_larger(host, [feed], FEED_BYTES_MAX):
                    missing.remove(feed.key)
                    yield payload

    async def _list(self, host: str, found: list[bytes]) -> None:
        request = pb.ListWorkloadsRequest(instance=self._instance)
        try:
            async with self._stub(host) as stub:
                count = size = 0
                async for page in stub.ListWorkloads(request, timeout=LIST_SECONDS_MAX):
                    count += len(page.workloads)
                    size += page.ByteSize()
                    if count > WORKLOADS_MAX or size > WORKLOADS_BYTES_MAX:
                        log.warning("peer_cut_off", peer=host, workloads=count, bytes=size)
                        return
                    found += _no_larger(host, page.workloads, WORKLOAD_BYTES_MAX)
                    await asyncio.sleep(0)
        except (grpc.aio.AioRpcError, OSError) as error:
            _log_failure(host, error)

    async def _get(self, host: str, keys: Sequence[str]) -> AsyncIterator[pb.FeedState]:
        request = pb.GetFeedsRequest(instance=self._instance, keys=keys)
        try:
            async with self._stub(host) as stub:
                async for response in stub.GetFeeds(request, timeout=FEEDS_SECONDS_MAX):
                    yield response.feed
        except (grpc.aio.AioRpcError, OSError) as error:
            _log_failure(host, error)
            self._silent_until[host] = asyncio.get_running_loop().time() + SILENCE_SECONDS

    @asynccontextmanager
    async def _stub(self, host: str) -> "AsyncIterator[pb_grpc.StateAsyncStub]":
        async with channel_to(self._address, host, self._tls) as channel:
            yield pb_grpc.StateStub(channel)


async def hosts_of(address: PeerAddress) -> list[str]:
    """The addresses behind the name, this server's among them; none while it has none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM
        )
    except OSError as error:
        # A headless Service has no address while no peer is ready.
        log.info("no_peer", name=address.host, error=str(error))
        return []
    return list(dict.fromkeys(str(one[4][0]) for one in found))[:PEERS_MAX]


def channel_to(address: PeerAddress, host: str, tls: TlsFiles | None) -> grpc.aio.Channel:
    """A channel to one of the addresses; its certificate carries the name.

    Args:
        tls: this server's own files, shown to the peer too.
    """
    target = f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"
    if tls is None:
        return grpc.aio.insecure_channel(target)
    options = [("grpc.ssl_target_name_override", address.host)]
    return grpc.aio.secure_channel(target, _credentials(tls), options)


def _no_larger(
    host: str, states: Iterable[pb.WorkloadState | pb.FeedState], bytes_max: int
) -> Iterator[bytes]:
    """The states as bytes, without those that no reader would take."""
    for state in states:
        if state.ByteSize() > bytes_max:
            log.warning(
                "state_refused",
                peer=host,
                reason=RefusalReason.LARGE.value,
                bytes=state.ByteSize(),
                bytes_max=bytes_max,
            )
        else:
            yield state.SerializeToString(deterministic=True)


def _credentials(tls: TlsFiles) -> grpc.ChannelCredentials:
    """Read for each connection, so that it uses a rotated certificate."""
    authorities = tls.client_ca.read_bytes() if tls.client_ca is not None else None
    return grpc.ssl_channel_credentials(
        authorities, tls.key.read_bytes(), tls.certificate.read_bytes()
    )


def _log_failure(host: str, error: Exception) -> None:
    if isinstance(error, grpc.aio.AioRpcError):
        if error.code() is grpc.StatusCode.ALREADY_EXISTS:
            return  # this server itself
        text = f"{error.code().name}: {error.details()}"
    else:
        text = str(error)
    log.warning("peer_not_heard", peer=host, error=text)
