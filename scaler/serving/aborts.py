"""Calls that are ended with a status, and what gRPC keeps of them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

import grpc.aio

from scaler.errors import alone

_Answer = TypeVar("_Answer")
_Context = TypeVar("_Context", bound=grpc.aio.ServicerContext[Any, Any])


def aborting_alone(
    handler: Callable[[AsyncIterator[Any], _Context], Awaitable[_Answer]],
) -> Callable[[AsyncIterator[Any], _Context], Awaitable[_Answer]]:
    """The handler of a call that gRPC reads as a stream; an abort of it keeps no frame.

    gRPC keeps the error of `context.abort` with the call, and the frames of its traceback know the
    call: each refused call would stay in memory, with its message, until Python looks for cycles.
    The handler has to read with `context.read`: gRPC's iterator is a cycle of its own.
    """

    @wraps(handler)
    async def called(bodies: AsyncIterator[Any], context: _Context) -> _Answer:
        try:
            return await handler(bodies, context)
        except grpc.aio.AbortError as error:
            _ = alone(error)
            raise  # unlike `raise alone(error)`, this adds no frame

    return called
