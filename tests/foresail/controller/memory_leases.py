"""A Lease in memory, with the bad days of an API server."""

import asyncio
from dataclasses import dataclass, field, replace

from foresail.controller.election import LeaseConflictError, LeaseRecord, LeaseUnavailableError


@dataclass
class MemoryLeases:
    """One Lease; replicas share it, each through a `view` of its own."""

    record: LeaseRecord | None = None
    writes: list[LeaseRecord] = field(default_factory=list)
    version: int = 0

    def view(self) -> "LeasesView":
        return LeasesView(self)


@dataclass
class LeasesView:
    """How one replica reaches the Lease."""

    leases: MemoryLeases
    unreachable: bool = False
    hangs: bool = False
    loses_answers: bool = False
    """Writes are done, and their answers are lost."""
    answer_seconds: float = 0.0
    """Between a write and its answer."""

    async def read(self) -> LeaseRecord | None:
        await self._reach()
        return self.leases.record

    async def write(self, record: LeaseRecord) -> LeaseRecord:
        await self._reach()
        found = self.leases.record
        if record.version != (found.version if found is not None else None):
            raise LeaseConflictError
        self.leases.version += 1
        self.leases.record = replace(record, version=str(self.leases.version))
        self.leases.writes.append(self.leases.record)
        if self.loses_answers:
            await asyncio.Event().wait()
        written = self.leases.record
        if self.answer_seconds:
            await asyncio.sleep(self.answer_seconds)
        return written

    async def _reach(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.unreachable:
            raise LeaseUnavailableError("no route to host")
