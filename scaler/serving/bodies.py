"""The messages of callers: each is there within a time, and only so many are on their way at once.

gRPC reads the message of a plain call before it calls the handler. It waits for it without a limit
of time, holds what has come of it, and asks nobody who sends it. So each plain call is served as a
stream of one message, which is the same to its client, and read here.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from inspect import isawaitable
from typing import Any, Final

import grpc
import grpc.aio
from typing_extensions import override

from scaler.limits import Limit, exceeded
from scaler.serving.aborts import aborting_alone
from scaler.serving.clients import address_of, oldest_of_most

BODY_SECONDS_MAX: Final = 10.0
ON_THEIR_WAY_MAX: Final = 256
"""Messages of all clients. One is there with its call, but for a client that sends it slowly."""

_Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]
Context = grpc.aio.ServicerContext[Any, Any]


class Bodies(grpc.aio.ServerInterceptor):
    """Reads the messages of plain calls, before any other part of a server sees the call."""

    def __init__(
        self, *, seconds_max: float = BODY_SECONDS_MAX, on_their_way_max: int = ON_THEIR_WAY_MAX
    ) -> None:
        self._seconds_max = seconds_max
        self._on_their_way_max = on_their_way_max
        self._waiting: dict[asyncio.Timeout, str] = {}
        """The oldest first; with the address of each client."""

    @override
    async def intercept_service(
        self, continuation: _Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming:
            return handler
        if handler.response_streaming:

            @aborting_alone
            async def many(_: AsyncIterator[Any], context: Context) -> None:
                answers = handler.unary_stream(await self._read(context), context)
                if isawaitable(answers):  # it writes by itself
                    await answers
                    return
                async with aclosing(answers):
                    async for one in answers:
                        await context.write(one)

            return grpc.stream_stream_rpc_method_handler(
                many, handler.request_deserializer, handler.response_serializer
            )

        @aborting_alone
        async def one(_: AsyncIterator[Any], context: Context) -> Any:
            return await handler.unary_unary(await self._read(context), context)

        return grpc.stream_unary_rpc_method_handler(
            one, handler.request_deserializer, handler.response_serializer
        )

    async def _read(self, context: Context) -> Any:
        address = address_of(context.peer())
        if len(self._waiting) >= self._on_their_way_max:
            self._give_up_one(address)
        try:
            async with asyncio.timeout(self._seconds_max) as patience:
                self._waiting[patience] = address
                try:
                    body = await context.read()
                finally:
                    self._waiting.pop(patience, None)
        except TimeoutError:
            exceeded(Limit.BODY_SECONDS)
            message = f"the message was not there within {self._seconds_max:g} s"
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, message)
        if body is grpc.aio.EOF:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a call without a message")
        return body

    def _give_up_one(self, address: str) -> None:
        """One that waits, the new one of this address counted in."""
        patience = list(self._waiting)[oldest_of_most([*self._waiting.values(), address])]
        del self._waiting[patience]
        patience.reschedule(asyncio.get_running_loop().time())
