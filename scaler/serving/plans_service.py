"""The Plans API: the newest plan of each workload, for whoever acts on plans or shows them.

It is served by the planning process, on a port of its own: the process that answers KEDA has no
plans and no time for readers. A message is made when its reader's connection has room for it, so
that what a reader costs is bounded by what it reads.

Plans hold the traffic figures of all tenants, and a tenant may hold the client certificate that its
triggers name. So where there is TLS, each reader is named by the operator, with its namespaces.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Final, Never

import grpc
import grpc.aio
from typing_extensions import override

from scaler.clock import Clock
from scaler.decision.answers import Reference
from scaler.rpc.foresail.v1 import plans_pb2 as pb
from scaler.rpc.foresail.v1 import plans_pb2_grpc as pb_grpc
from scaler.serving.caller_places import CallerPlaces, NoPlaceError
from scaler.serving.feeds import WorkloadStatus
from scaler.serving.message_pace import MessagePace
from scaler.serving.plan_book import (
    OldPageTokenError,
    PlanBook,
    Reader,
    UnknownVersionError,
    Wants,
)
from scaler.serving.plan_message import plan_message, workload_message

PAGE_SIZE: Final = 100
PAGE_SIZE_MAX: Final = 200
PAGE_BYTES_MAX: Final = 2**21
"""A page ends with the plan that exceeds this. gRPC clients take 4 MB by default, and a tenant's
metadata alone may have 64 KB."""
NAMESPACES_MAX: Final = 1000
READERS_MAX: Final = 64
"""Watches open at a time."""
READERS_OF_ONE_MAX: Final = 16
"""Of them, of one certificate's names: a tenant must not keep the controller out."""
LISTS_MAX: Final = 64
"""Pages in the making at a time: each holds the names of all workloads, and waits for its turns."""
LISTS_OF_ONE_MAX: Final = 8
PLANS_PER_SECOND_MAX: Final = 1000
"""Sent to all readers together; each takes about 0.2 ms of the planning process. Above the rate
readers get fewer of the plans in between, and still the newest of each workload."""
_BURST: Final = 100
_SLICE: Final = 10
"""Plans of a page that are made before the event loop turns."""

Context = grpc.aio.ServicerContext[object, object]
Namespaces = frozenset[str] | None
"""None = all of them."""


class NotAReaderError(Exception):
    """Why a caller may read no plans."""


Admit = Callable[[Context], Namespaces]
"""The namespaces whose plans a caller may read; raises `NotAReaderError`."""


class PlansService(pb_grpc.PlansServicer):
    """The two RPCs."""

    def __init__(
        self,
        book: PlanBook,
        status: Callable[[Reference], WorkloadStatus | None],
        *,
        clock: Clock,
        admit: Admit,
    ) -> None:
        """Serve the plans of these workloads.

        Args:
            status: of a workload; None if it is known no more.
            clock: the monotonic one.
        """
        self._book = book
        self._status = status
        self._clock = clock
        self._admit = admit
        self._pace = MessagePace(per_second=PLANS_PER_SECOND_MAX, burst=_BURST)
        self._watches = CallerPlaces(
            most=READERS_MAX, of_one_most=READERS_OF_ONE_MAX, what="watches"
        )
        self._lists = CallerPlaces(most=LISTS_MAX, of_one_most=LISTS_OF_ONE_MAX, what="lists")
        self.serving = False
        """Whether all workloads are known. Before that a caller would take those that are not told
        of yet for removed."""

    @override
    async def ListWorkloadPlans(
        self, request: pb.ListWorkloadPlansRequest, context: Context
    ) -> pb.ListWorkloadPlansResponse:
        wants = await self._wanted(request.namespaces, context)
        size = request.page_size if request.HasField("page_size") else PAGE_SIZE
        if not 1 <= size <= PAGE_SIZE_MAX:
            message = f"page_size has the value {size}: it takes 1 to {PAGE_SIZE_MAX}"
            await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, message)
        token = request.page_token if request.HasField("page_token") else None
        try:
            found = self._book.after(token, wants)
        except UnknownVersionError as error:
            message = f"page_token: {error}"
            await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, message)
        except OldPageTokenError as error:
            await _refuse(context, grpc.StatusCode.ABORTED, f"page_token: {error}")
        try:
            with self._lists.taken(_names_of(context)):
                return await self._page(found, size)
        except NoPlaceError as error:
            await _refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))

    @override
    async def WatchWorkloadPlans(
        self, request: pb.WatchWorkloadPlansRequest, context: Context
    ) -> AsyncIterator[pb.WatchWorkloadPlansResponse]:
        """Send all plans or those since the version, then each change; ends when draining."""
        wants = await self._wanted(request.namespaces, context)
        with ExitStack() as stack:
            try:
                stack.enter_context(self._watches.taken(_names_of(context)))
            except NoPlaceError as error:
                await _refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
            async for event in self._watched(request, wants, context):
                yield event

    async def _watched(
        self, request: pb.WatchWorkloadPlansRequest, wants: Wants, context: Context
    ) -> AsyncIterator[pb.WatchWorkloadPlansResponse]:
        version = request.version if request.HasField("version") else None
        try:
            reader = self._book.open(wants, version=version)
        except UnknownVersionError as error:
            message = f"version: {error}"
            await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, message)
        try:
            async for event in self._events(reader):
                yield event
        finally:
            self._book.leave(reader)

    async def _page(
        self, found: Sequence[tuple[Reference, str]], size: int
    ) -> pb.ListWorkloadPlansResponse:
        response, length = pb.ListWorkloadPlansResponse(), 0
        for number, (reference, following) in enumerate(found, 1):
            await self._pace.turn()
            plan = self._plan(reference)
            if plan is not None:
                response.plans.append(plan)
                length += plan.ByteSize()
            if (number == size or length > PAGE_BYTES_MAX) and number < len(found):
                response.next_page_token = following
                break
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        return response

    async def _events(self, reader: Reader) -> AsyncIterator[pb.WatchWorkloadPlansResponse]:
        synced = False
        while not reader.closed:
            begins = reader.take_begin()
            if begins is not None:
                synced = False
                yield pb.WatchWorkloadPlansResponse(begin=pb.WatchBegin(complete=begins))
            elif not synced and reader.synced():
                synced = True
                yield pb.WatchWorkloadPlansResponse(
                    synced=pb.WatchSynced(), version=self._book.position(reader)
                )
            elif not reader.queue:
                await reader.changes()
            else:
                await self._pace.turn()
                # Meanwhile the book may have made the reader begin anew.
                if reader.begins is None and (reference := reader.take()) is not None:
                    event = self._event(reference)
                    if synced:
                        event.version = self._book.position(reader)
                    yield event

    def _event(self, reference: Reference) -> pb.WatchWorkloadPlansResponse:
        plan = self._plan(reference)
        if plan is None:
            return pb.WatchWorkloadPlansResponse(removed=workload_message(reference))
        return pb.WatchWorkloadPlansResponse(plan=plan)

    def _plan(self, reference: Reference) -> pb.WorkloadPlan | None:
        status = self._status(reference)
        if status is None:
            return None
        return plan_message(status, now_seconds=self._clock())

    async def _wanted(self, asked: Sequence[str], context: Context) -> Wants:
        """Which workloads a caller gets: of the namespaces that it names and may read."""
        if not self.serving:
            await _refuse(context, grpc.StatusCode.UNAVAILABLE, "starting: ask again in a second")
        try:
            allowed = self._admit(context)
        except NotAReaderError as error:
            await _refuse(context, grpc.StatusCode.PERMISSION_DENIED, str(error))
        fault = _fault_of(asked)
        if fault is not None:
            await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, fault)
        denied = [one for one in asked if allowed is not None and one not in allowed]
        if denied:
            message = f"plans.readers does not name the namespace {denied[0]!r} for you"
            await _refuse(context, grpc.StatusCode.PERMISSION_DENIED, message)
        wanted = frozenset(asked) if asked else allowed
        return lambda reference: wanted is None or reference.namespace in wanted


def _fault_of(namespaces: Sequence[str]) -> str | None:
    if len(namespaces) > NAMESPACES_MAX:
        return f"namespaces has {len(namespaces)} names, the limit is {NAMESPACES_MAX}"
    if "" in namespaces:
        return f"namespaces[{list(namespaces).index('')}] is empty: name a namespace, or none"
    return None


async def _refuse(context: Context, code: grpc.StatusCode, message: str) -> Never:
    await context.abort(code, message)
    raise AssertionError  # abort raises; its type stub does not declare that


def _names_of(context: Context) -> tuple[str, ...]:
    """In the caller's certificate; none in plain text."""
    given = context.auth_context().get("x509_subject_alternative_name", ())
    return tuple(one.decode(errors="replace") for one in given)


def admit_everyone(_: Context) -> Namespaces:
    """For a server in plain text, which knows no caller."""
    return None


def admit_readers(readers: Mapping[str, Namespaces]) -> Admit:
    """Admit callers whose verified certificate carries one of these names.

    Args:
        readers: a name in a certificate → the namespaces that its holder may read.
    """

    def admit(context: Context) -> Namespaces:
        names = _names_of(context)
        granted = [readers[name] for name in names if name in readers]
        if not granted:
            shown = ", ".join(names) or "none"
            message = (
                "plans are read with a certificate for a name that plans.readers lists; yours has "
                f"the names: {shown}"
            )
            raise NotAReaderError(message)
        if None in granted:
            return None
        return frozenset().union(*(one for one in granted if one is not None))

    return admit
