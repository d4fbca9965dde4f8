"""A source's slots: one that hangs uses up its own, and the others' feeds do not notice."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slots:
    """How much is asked of one source at a time."""

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
        """Forget all others: a trigger may name an address, and edits leave them behind."""
        self._by_source = {name: s for name, s in self._by_source.items() if name in sources}
