"""One leader among the replicas of the controller, by a Lease.

`kubernetes_asyncio.leaderelection` is not used. It measures its deadlines on the wall clock, so
that a clock that is set makes two leaders. Its requests have no time-out, so that one that hangs
keeps a leader beyond its Lease. Errors of the connection escape from it and end it without a word.
It does not give the Lease back at the end, and writes local time as UTC.

Here all waits run on the monotonic clock. A leader may act for `deadline_seconds` from the moment
when it sent its last successful renewal. Another replica takes the Lease only when it has itself
seen it unchanged, or deleted, for `lease_seconds`, which is longer. So two leaders never act at
one time, however far their wall clocks are apart, unless a machine is frozen as a whole, or the
Lease is deleted while another replica starts: one that has never seen a Lease makes it at once, and
the former leader sees that at its next attempt, or stops at its deadline.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Final, Protocol

import structlog

from scaler.clock import Clock

log = structlog.get_logger()

NOBODY: Final = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """A Lease, as far as an election goes by it."""

    holder: str
    """Empty = it was given back."""
    lease_seconds: int
    acquired_seconds: float | None
    renewed_seconds: float | None
    """Unix time on the holder's clock: a label, which nothing is decided by."""
    transitions: int = 0
    note: str = ""
    """What the leader wrote beside, for those that come after it."""
    version: str | None = None
    """That an update must name; None = it is new."""


class LeaseConflictError(Exception):
    """Somebody else wrote it in between."""


class LeaseUnavailableError(Exception):
    """It cannot be read or written now; the message says why."""


class Leases(Protocol):
    """Where the Lease is kept. Both methods raise `LeaseUnavailableError`."""

    async def read(self) -> LeaseRecord | None:
        """The Lease; None = there is none yet."""
        ...

    async def write(self, record: LeaseRecord) -> LeaseRecord:
        """Create it, or replace the version that the record names; with its new version.

        Raises:
            LeaseConflictError: it is another version by now.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """In seconds."""

    lease_seconds: float = 30.0
    """After which a Lease that is not renewed is anybody's."""
    deadline_seconds: float = 20.0
    """After its last renewal a leader stops acting."""
    retry_seconds: float = 4.0
    """Between two attempts, and the longest that one may take."""

    def __post_init__(self) -> None:
        if not self.retry_seconds * 2 <= self.deadline_seconds < self.lease_seconds:
            raise ValueError(
                f"a lease of {self.lease_seconds} s, a deadline of {self.deadline_seconds} s and "
                f"attempts each {self.retry_seconds} s: the lease must be the longest, and two "
                "attempts fit into the deadline"
            )


class Election:
    """The part of one replica in it."""

    def __init__(
        self,
        leases: Leases,
        identity: str,
        *,
        steady: Clock,
        wall: Clock,
        pace: Pace | None = None,
    ) -> None:
        """Begin as one that does not lead.

        Args:
            leases: where the Lease is kept.
            identity: of this replica; no two may share one.
            steady: the monotonic clock.
            wall: for the labels in the Lease.
            pace: how often.
        """
        self._leases = leases
        self._identity = identity
        self._steady, self._wall = steady, wall
        self._pace = pace or Pace()
        self.changed: Callable[[], None] = lambda: None
        """Called when leadership begins or ends."""
        self.note: Callable[[], str] = lambda: ""
        """What to write into the Lease beside, while this replica leads; empty = what is there."""
        self.note_found: Callable[[str], None] = lambda _: None
        """Called with what is found there, before this replica replaces it."""
        self._may_act_until = -inf
        self._led = False
        self._seen: LeaseRecord | None = None
        self._seen_since = -inf
        self.trouble: str | None = None
        """Why the Lease could not be read or written at the last attempt."""

    @property
    def leading(self) -> bool:
        """Whether this replica may act now."""
        return self._steady() < self._may_act_until

    @property
    def holder(self) -> str | None:
        """Who had the Lease when it was last read; None = nobody, or it was never read."""
        return (self._seen.holder or None) if self._seen is not None else None

    async def run(self) -> None:
        """Stand for election for good; when cancelled, give the Lease back.

        An attempt that is under way then is not broken off: it may have written the Lease already,
        and only its answer tells the version to give back.
        """
        under_way: asyncio.Task[None] | None = None
        try:
            while True:
                under_way = asyncio.create_task(self.attempt())
                await asyncio.shield(under_way)
                await asyncio.sleep(self._pace.retry_seconds)
        finally:
            if under_way is not None:
                _ = await asyncio.wait([under_way])
            await asyncio.shield(self.give_back())

    async def attempt(self) -> None:
        """Acquire or renew the Lease once, if it is ours or nobody's."""
        began, before = self._steady(), self.trouble
        try:
            async with asyncio.timeout(self._pace.retry_seconds):
                if await self._acquire_or_renew(began):
                    self._may_act_until = began + self._pace.deadline_seconds
                else:
                    self._may_act_until = -inf
            self.trouble = None
        except LeaseConflictError:
            # Somebody else wrote it: whether they took it shows at the next attempt.
            self._may_act_until, self.trouble = -inf, None
        except (LeaseUnavailableError, TimeoutError) as error:
            self.trouble = str(error) or "no answer in time"
            if self.trouble != before:
                log.warning("lease_not_reached", why=self.trouble)
        self._tell()

    async def give_back(self) -> None:
        """Stop acting, and let another replica lead at once."""
        had_it, self._may_act_until = self.leading, -inf
        if had_it and self._seen is not None and self._seen.holder == self._identity:
            try:
                async with asyncio.timeout(self._pace.retry_seconds):
                    note = self.note() or self._seen.note
                    await self._leases.write(replace(self._seen, holder=NOBODY, note=note))
            except (LeaseConflictError, LeaseUnavailableError, TimeoutError) as error:
                log.warning("lease_not_given_back", why=str(error) or "no answer in time")
        self._tell()

    async def _acquire_or_renew(self, began: float) -> bool:
        found = await self._leases.read()
        if found is not None:
            self._observe(found)
        # The leader of a Lease that was deleted acts until its next renewal, which makes it anew.
        known = self._seen
        if known is not None and known.holder not in {NOBODY, self._identity}:
            # The holder's own term counts: it may be of a replica with another setting.
            term = max(self._pace.lease_seconds, float(known.lease_seconds))
            if began - self._seen_since < term:
                return False
        self._seen = await self._leases.write(self._ours(found))
        self._seen_since = self._steady()
        return True

    def _observe(self, found: LeaseRecord) -> None:
        if found != self._seen:
            self._seen, self._seen_since = found, self._steady()
            if found.note:
                self.note_found(found.note)

    def _ours(self, found: LeaseRecord | None) -> LeaseRecord:
        now = self._wall()
        continued = found is not None and found.holder == self._identity
        before = found.transitions if found is not None else -1
        return LeaseRecord(
            holder=self._identity,
            lease_seconds=round(self._pace.lease_seconds),
            acquired_seconds=found.acquired_seconds if continued and found is not None else now,
            renewed_seconds=now,
            transitions=before if continued else before + 1,
            note=self.note() or (found.note if found is not None else ""),
            version=found.version if found is not None else None,
        )

    def _tell(self) -> None:
        if self.leading != self._led:
            self._led = self.leading
            log.info("leading" if self._led else "not_leading", holder=self.holder)
            self.changed()
