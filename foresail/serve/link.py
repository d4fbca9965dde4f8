"""The messages between the answering and the planning process, over a socket pair.

Answers must not wait for plans, and in one Python process they would: parsing a metrics page
holds the interpreter. So KEDA is answered by a process that does nothing else, from a board
that the planning process fills. They share no state but these messages, and the monotonic clock of
their container: every time in a message is of that clock, but for those in states.
"""

import asyncio
import pickle
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from foresail.explain.decision_trace import DecisionTrace
from foresail.settings.file import Settings
from scaler.decision.answers import Reference, TimedOutcome
from scaler.limits import Limit, exceeded
from scaler.serving.changes import Changes

ALIVE_SECONDS: Final = 5.0
BUFFER_BYTES_MAX: Final = 2**20
_LENGTH: Final = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Begin:
    """Answering → planning, first: what to run with."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class Known:
    """Answering → planning, at once: objects that were admitted, and those that were forgotten."""

    changes: Changes


@dataclass(frozen=True, slots=True)
class AllKnown:
    """Answering → planning, once: every object that was known at the start has been named."""


@dataclass(frozen=True, slots=True)
class States:
    """Answering → planning, before objects are named: what is known of workloads from before."""

    payloads: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class FeedsWanted:
    """Both ways: feeds whose states are asked for, of the peers or for one."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FeedFound:
    """Both ways: one feed's state, or that there is none."""

    key: str
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class Asked:
    """Answering → planning, now and then: which objects KEDA asked about, and when."""

    times: tuple[tuple[Reference, float], ...]


@dataclass(frozen=True, slots=True)
class Front:
    """Answering → planning, every few seconds: what the pages of the second port need of it."""

    accepting: bool
    metrics: bytes
    """Its own Prometheus series, as text."""
    limits: Mapping[Limit, int]
    """How often each was exceeded in this process."""


@dataclass(frozen=True, slots=True)
class Started:
    """Planning → answering, first: its ports are open."""

    http_port: int
    plans_port: int | None = None
    """Of the Plans API; None where it is not served."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Planning → answering, in place of `Started`: why it cannot run."""

    message: str


@dataclass(frozen=True, slots=True)
class Alive:
    """Planning → answering, every `ALIVE_SECONDS`: its event loop turns."""


@dataclass(frozen=True, slots=True)
class Published:
    """Planning → answering: what stands after a look."""

    reference: Reference
    timed: TimedOutcome
    state: bytes | None
    """What a later process goes on from."""
    decision: DecisionTrace | None = None
    """What traces of answers show; None where none are made."""


Message = (
    Begin
    | Known
    | AllKnown
    | Asked
    | States
    | FeedsWanted
    | FeedFound
    | Front
    | Started
    | Failed
    | Alive
    | Published
)


class Link:
    """One end. Sending never waits.

    A busy other end has the messages of `BUFFER_BYTES_MAX` before it; beyond that only the newest
    outcome of each object waits.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        writer.transport.set_write_buffer_limits(high=BUFFER_BYTES_MAX)
        self._outcomes: dict[Reference, Published] = {}
        """Outcomes that wait, the longest waiting first."""
        self._sending: asyncio.Task[None] | None = None

    @classmethod
    async def over(cls, end: socket.socket) -> "Link":
        return cls(*await asyncio.open_connection(sock=end))

    def send(self, message: Message) -> None:
        """Send a message; it is dropped if the other end is gone."""
        if self._writer.is_closing():
            return
        if isinstance(message, Published) and self._is_behind():
            exceeded(Limit.LINK_BYTES)
            self._outcomes[message.reference] = message
            if self._sending is None:
                self._sending = asyncio.create_task(self._send_outcomes(), name="send-outcomes")
            return
        self._write(message)

    def _is_behind(self) -> bool:
        return (
            bool(self._outcomes)
            or self._writer.transport.get_write_buffer_size() > BUFFER_BYTES_MAX
        )

    async def _send_outcomes(self) -> None:
        """Send the outcomes that wait, as the other end takes them."""
        try:
            while self._outcomes and not self._writer.is_closing():
                await self._writer.drain()
                self._write(self._outcomes.pop(next(iter(self._outcomes))))
        except ConnectionError:
            self._outcomes.clear()  # the other end is gone
        finally:
            self._sending = None

    def _write(self, message: Message) -> None:
        body = pickle.dumps(message)
        self._writer.write(_LENGTH.pack(len(body)) + body)

    async def receive(self) -> Message | None:
        """The next message; None when the other end is gone."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            # Both ends are this program, in one container: so the pickle is trusted.
            message: Message = pickle.loads(await self._reader.readexactly(length))  # noqa: S301
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return message

    def close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
        self._writer.close()
