"""Placements that were answered and not yet seen: they count as taken as long as their pod waits.

kube-scheduler asks for the next pod before the last one's binding shows in any watch, and Permit
and binding may take many minutes. So an entry stands until its pod is seen on a node, has ended,
was deleted, or is asked about again. Only one whose pod was never seen at all expires.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from scheduler.placement import Shape

UNSEEN_SECONDS: Final = 1800.0
"""After which a pod that no watch has told of is taken to be lost; longer than any binding."""
ASSUMED_MAX: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """A pod that was given a node by our answer."""

    uid: str
    node: str
    shape: Shape
    devices: tuple[int, ...]
    known: tuple[int, ...]
    """Those of them that its claims or our answer name, the first ones; the others are assumed, as
    the device plugin would give them."""


class Ledger:
    """Assumed placements by pod UID, oldest first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, Assumed] = OrderedDict()
        self._expires_seconds: OrderedDict[str, float] = OrderedDict()
        """Of those whose pod was never seen, in order."""

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Assumed, now_seconds: float, *, is_seen: bool) -> list[Assumed]:
        """Remember `entry`; what has to be given back because there are too many.

        Args:
            entry: what was answered.
            now_seconds: on a clock that never goes back.
            is_seen: whether the watch has told of the pod.
        """
        self.drop(entry.uid)
        self._entries[entry.uid] = entry
        if not is_seen:
            self._expires_seconds[entry.uid] = now_seconds + UNSEEN_SECONDS
        crowded: list[Assumed] = []
        while len(self._entries) > ASSUMED_MAX:
            oldest = self.drop(next(iter(self._entries)))
            crowded += [] if oldest is None else [oldest]
        return crowded

    def seen(self, uid: str) -> None:
        """The watch has told of the pod, and will tell of its end."""
        self._expires_seconds.pop(uid, None)

    def drop(self, uid: str) -> Assumed | None:
        """Forget the pod: it was seen bound, is gone, or is asked about again."""
        self._expires_seconds.pop(uid, None)
        return self._entries.pop(uid, None)

    def expired(self, now_seconds: float) -> list[Assumed]:
        """Forget and return the entries whose pods were never seen."""
        due = []
        while self._expires_seconds and next(iter(self._expires_seconds.values())) <= now_seconds:
            entry = self.drop(next(iter(self._expires_seconds)))
            if entry is not None:
                due.append(entry)
        return due

    def entry(self, uid: str) -> Assumed | None:
        return self._entries.get(uid)
