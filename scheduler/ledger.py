"""Placements that were answered and not yet seen: they count as taken while their pod may come.

kube-scheduler asks for the next pod before the last one's binding shows in any watch, and Permit
and binding may take many minutes. So an entry stands until its pod is seen on a node, has ended,
was deleted, is asked about again, or is given up by kube-scheduler, which its status says. What
failed without a word expires: kube-scheduler asks no extender while its own filters find no node.
"""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from scheduler.placement import Shape

ANSWER_SECONDS: Final = 1800.0
"""After which a pod that was seen on no node is taken not to come there; longer than a binding."""
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
    unscheduled: int | None = None
    """What its status said of earlier tries when it was asked about; None = nothing."""


class Ledger:
    """Assumed placements by pod UID, oldest first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, Assumed] = OrderedDict()
        self._expires_seconds: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Assumed, now_seconds: float) -> list[Assumed]:
        """Remember `entry`; what has to be given back because there are too many.

        Args:
            entry: what was answered.
            now_seconds: on a clock that never goes back.
        """
        self.drop(entry.uid)
        self._entries[entry.uid] = entry
        self._expires_seconds[entry.uid] = now_seconds + ANSWER_SECONDS
        crowded: list[Assumed] = []
        while len(self._entries) > ASSUMED_MAX:
            oldest = self.drop(next(iter(self._entries)))
            crowded += [] if oldest is None else [oldest]
        return crowded

    def drop(self, uid: str) -> Assumed | None:
        """Forget the pod: it was seen bound, is gone, given up, or asked about again."""
        self._expires_seconds.pop(uid, None)
        return self._entries.pop(uid, None)

    def expired(self, now_seconds: float) -> list[Assumed]:
        """Forget and return the entries that are too old."""
        due = []
        for uid, entry in self._entries.items():
            if self._expires_seconds[uid] > now_seconds:
                break
            due.append(entry)
        for entry in due:
            self.drop(entry.uid)
        return due

    def entry(self, uid: str) -> Assumed | None:
        return self._entries.get(uid)

    def count_on(self, nodes: Collection[str]) -> int:
        """Entries on these nodes."""
        return sum(entry.node in nodes for entry in self._entries.values())
