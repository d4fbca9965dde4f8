"""The lifetime of push streams.

KEDA reconnects a stream that ended with OK after 2 s, and backs off up to a minute after an error,
a back-off that a long healthy stream never resets. So Foresail ends every stream with OK: when the
server drains, and when the connection has passed its age, inside the grace that follows. gRPC
announces a connection's end at its maximum age ± 10 % and cuts it off after the grace. Ending the
streams in between moves KEDA to a new connection, and so to new replicas.
"""

import asyncio
import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final

from scaler.errors import ForesailError
from scaler.limits import Limit, exceeded
from scaler.serving.clients import address_of, oldest_of_most

CONNECTION_AGE_SECONDS = 300.0
CONNECTION_GRACE_SECONDS = 120.0
_EARLIEST, _LATEST = 1.15, 1.25
"""Of the age: later than the announcement (1.1), before the earliest cut (0.9 + grace ÷ age)."""

OF_SUBJECT_MAX: Final = 4
"""Streams about one subject. KEDA has one of each trigger and method, and a second one while a
connection that broke is not noticed yet."""
_NOT_ENDED_MAX: Final = 2 * OF_SUBJECT_MAX
"""Streams about one subject of one address, with those that were told to end. A client that takes
no data keeps these open."""


class TooManyStreamsError(ForesailError):
    """One peer holds as many streams as a limit allows."""

    def __init__(self, message: str, limit: Limit) -> None:
        super().__init__(message)
        self.limit = limit


@dataclass(slots=True, eq=False)
class StreamLifetime:
    """One stream's time: it waits to be woken, and is over at its deadline or when told to end."""

    deadline_seconds: float
    """Of the event loop's clock."""
    address: str
    """Of its peer."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    told_to_end: bool = False

    def end(self) -> None:
        """Tell it to end."""
        self.told_to_end = True
        self.wake.set()

    def over(self) -> bool:
        return self.told_to_end or asyncio.get_running_loop().time() >= self.deadline_seconds

    async def wait(self, *, at_most_seconds: float) -> None:
        """Return when woken, over, or after `at_most_seconds`."""
        left = self.deadline_seconds - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(min(left, at_most_seconds)):
                await self.wake.wait()
        except TimeoutError:
            return
        self.wake.clear()


@dataclass(slots=True)
class _Peer:
    first_seen_seconds: float
    lifetimes: set[StreamLifetime] = field(default_factory=set)


class StreamLifetimes:
    """The open streams by peer; a peer is one connection, as gRPC names it."""

    def __init__(self, *, per_peer_max: int) -> None:
        self._per_peer_max = per_peer_max
        self._peers: dict[str, _Peer] = {}
        self._of_subjects: dict[Hashable, list[StreamLifetime]] = {}
        """All that have not ended, the oldest first."""
        self._draining = False

    def begin(self, peer_name: str, subject: Hashable) -> StreamLifetime:
        """A new stream of this peer; beyond `OF_SUBJECT_MAX` of its subject one is told to end.

        It is the oldest one of the address that has the most of them, so that who opens many ends
        its own, and not those of KEDA.

        Args:
            peer_name: its address and port, as gRPC writes them.
            subject: what it is about.

        Raises:
            TooManyStreamsError: the peer is at its limit, or has streams of this subject that do
                not end.
        """
        now = asyncio.get_running_loop().time()
        self._forget_closed(now)
        peer = self._peers.setdefault(peer_name, _Peer(now))
        if len(peer.lifetimes) >= self._per_peer_max:
            message = f"{len(peer.lifetimes)} streams are open on one connection, the limit"
            raise TooManyStreamsError(message, Limit.STREAMS)
        address = address_of(peer_name)
        of_subject = self._of_subjects.get(subject, [])
        if sum(one.address == address for one in of_subject) >= _NOT_ENDED_MAX:
            message = f"{_NOT_ENDED_MAX} streams of one trigger and method do not end: read them"
            raise TooManyStreamsError(message, Limit.TRIGGER_STREAMS)
        if now > peer.first_seen_seconds + _LATEST * CONNECTION_AGE_SECONDS:
            peer.first_seen_seconds = now  # gRPC did not end this connection at its age
        age = random.uniform(_EARLIEST, _LATEST) * CONNECTION_AGE_SECONDS  # noqa: S311 spread only
        deadline = peer.first_seen_seconds + age
        lifetime = StreamLifetime(deadline, address, told_to_end=self._draining)
        peer.lifetimes.add(lifetime)
        self._of_subjects[subject] = [*of_subject, lifetime]
        _end_one_beyond([one for one in self._of_subjects[subject] if not one.told_to_end])
        return lifetime

    def end(self, peer_name: str, subject: Hashable, lifetime: StreamLifetime) -> None:
        """Forget a stream."""
        if peer_name in self._peers:
            self._peers[peer_name].lifetimes.discard(lifetime)
        of_subject = self._of_subjects.get(subject, [])
        if lifetime in of_subject:
            of_subject.remove(lifetime)
            if not of_subject:
                del self._of_subjects[subject]

    def drain(self) -> None:
        """End every stream with OK, now and from now on."""
        self._draining = True
        for peer in self._peers.values():
            for lifetime in peer.lifetimes:
                lifetime.end()

    def open(self) -> int:
        return sum(len(peer.lifetimes) for peer in self._peers.values())

    def _forget_closed(self, now: float) -> None:
        gone = CONNECTION_AGE_SECONDS * 1.1 + CONNECTION_GRACE_SECONDS
        for name in [
            name
            for name, peer in self._peers.items()
            if not peer.lifetimes and now - peer.first_seen_seconds > gone
        ]:
            del self._peers[name]


def _end_one_beyond(going_on: Sequence[StreamLifetime]) -> None:
    """Tell one of a subject's streams to end, if they are too many."""
    if len(going_on) > OF_SUBJECT_MAX:
        exceeded(Limit.TRIGGER_STREAMS)
        going_on[oldest_of_most([one.address for one in going_on])].end()
