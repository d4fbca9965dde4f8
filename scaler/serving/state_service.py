"""Foresail's own gRPC service: a running scaler sends its states to a joining one.

It is served on KEDA's port with KEDA's certificates, and admits fewer callers: the states hold the
traffic figures of all tenants, and a tenant may hold the client certificate that its triggers name.
So where there is TLS, a caller's certificate must carry the host name of `state.peers`, as the
servers' own certificate does and a certificate made for KEDA does not.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final, Protocol

import grpc
import grpc.aio
from typing_extensions import override

from scaler.rpc.foresail.v1 import state_pb2 as pb
from scaler.rpc.foresail.v1 import state_pb2_grpc as pb_grpc

PAGE_WORKLOADS: Final = 20
"""Workloads in one message; between two messages the event loop answers KEDA."""
KEYS_MAX: Final = 64
TRANSFERS_MAX: Final = 2
"""Streams of feeds open at a time; each takes time of the planning process."""
LISTS_MAX: Final = 8
"""Streams of workloads open at a time; each is over in a second."""

Context = grpc.aio.ServicerContext[object, object]


class Feeds(Protocol):
    """The feeds' states."""

    def read(self, keys: Sequence[str]) -> AsyncIterator[bytes]:
        """States as they become ready; one that does not come in time is left out."""
        ...


class StateService(pb_grpc.StateServicer):
    """The two RPCs."""

    def __init__(
        self,
        workloads: Callable[[], Iterable[pb.WorkloadState]],
        feeds: Feeds,
        *,
        instance: str,
        admit: Callable[[Context], str | None],
    ) -> None:
        """Serve these states.

        Args:
            workloads: the states of workloads that were asked about lately.
            instance: this server's random name.
            admit: why a caller may not read, or None.
        """
        self._workloads = workloads
        self._feeds = feeds
        self._instance = instance
        self._admit = admit
        self._lists = 0
        self._transfers = 0

    @override
    async def ListWorkloads(
        self, request: pb.ListWorkloadsRequest, context: Context
    ) -> AsyncIterator[pb.ListWorkloadsResponse]:
        await self._check(request.instance, context, open_now=self._lists, most=LISTS_MAX)
        self._lists += 1
        try:
            page = pb.ListWorkloadsResponse()
            for state in self._workloads():
                page.workloads.append(state)
                if len(page.workloads) == PAGE_WORKLOADS:
                    yield page
                    page = pb.ListWorkloadsResponse()
                    await asyncio.sleep(0)
            if page.workloads:
                yield page
        finally:
            self._lists -= 1

    @override
    async def GetFeeds(
        self, request: pb.GetFeedsRequest, context: Context
    ) -> AsyncIterator[pb.GetFeedsResponse]:
        await self._check(request.instance, context, open_now=self._transfers, most=TRANSFERS_MAX)
        if len(request.keys) > KEYS_MAX:
            message = f"{len(request.keys)} keys are more than {KEYS_MAX}: ask again for the rest"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
        self._transfers += 1
        try:
            async for payload in self._feeds.read(tuple(request.keys)):
                yield pb.GetFeedsResponse(feed=pb.FeedState.FromString(payload))
        finally:
            self._transfers -= 1

    async def _check(self, instance: str, context: Context, *, open_now: int, most: int) -> None:
        if instance == self._instance:
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, "you are this server")
        why_not = self._admit(context)
        if why_not is not None:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, why_not)
        if open_now >= most:
            message = f"{open_now} streams are open, the limit: ask again later"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, message)


def admit_all(_: Context) -> None:
    """For a server in plain text, which answers KEDA's calls from any client too."""


def admit_named(host: str) -> Callable[[Context], str | None]:
    """Admit callers whose verified certificate carries this name."""

    def admit(context: Context) -> str | None:
        names = context.auth_context().get("x509_subject_alternative_name", ())
        if host.encode() in names:
            return None
        given = b", ".join(names).decode(errors="replace") or "none"
        return f"states are read with a certificate for {host} only; yours has the names: {given}"

    return admit
