"""Slots by source: a source that hangs uses up its own slots and delays no feed of another."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slots:
    """The limits on what is read from one source at a time."""

    looks: asyncio.Semaphore
    restores: asyncio.Semaphore


class SourceSlots:
    """The slots of every source that is in use."""

    def __init__(self, *, looks_at_once: int, restores_at_once: int) -> None:
        self._looks_at_once = looks_at_once
        self._restores_at_once = restores_at_once
        self._by_source: dict[str, Slots] = {}

    def of(self, source: str) -> Slots:
        slots = self._by_source.get(source)
        if slots is None:
            slots = self._by_source[source] = Slots(
                asyncio.Semaphore(self._looks_at_once), asyncio.Semaphore(self._restores_at_once)
            )
        return slots

    def keep(self, sources: Collection[str]) -> None:
        """Drop all others, such as the old `serverAddress` of an edited trigger."""
        self._by_source = {name: s for name, s in self._by_source.items() if name in sources}
