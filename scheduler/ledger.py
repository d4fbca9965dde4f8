"""Placements that were answered and not yet seen: they count as taken until they are, or expire.

kube-scheduler asks for the next pod before the last one's binding shows in any watch. A pod asked
about again takes back what was assumed for it before.
"""

from collections import OrderedDict
from dataclasses import dataclass

from scheduler.placement import Shape

ASSUMED_SECONDS = 45.0
"""Longer than binding takes with claims and volumes, shorter than anyone waits for a lost GPU."""
ASSUMED_MAX = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """A pod that was given a node by our answer."""

    uid: str
    node: str
    shape: Shape
    devices: tuple[int, ...]
    is_told: bool
    """Whether these devices were told, or answered; False = taken to be these."""
    group: str | None
    expires_seconds: float


class Ledger:
    """Assumed placements by pod UID, oldest first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, Assumed] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Assumed) -> list[Assumed]:
        """Remember `entry`; what has to be given back because there are too many."""
        self._entries[entry.uid] = entry
        self._entries.move_to_end(entry.uid)
        crowded = len(self._entries) - ASSUMED_MAX
        return [self._entries.popitem(last=False)[1] for _ in range(crowded)]

    def drop(self, uid: str) -> Assumed | None:
        """Forget the pod: it was seen bound, is gone, or is asked about again."""
        return self._entries.pop(uid, None)

    def expired(self, now_seconds: float) -> list[Assumed]:
        """Forget and return what was never seen bound."""
        due = [entry for entry in self._entries.values() if entry.expires_seconds <= now_seconds]
        for entry in due:
            del self._entries[entry.uid]
        return due

    def entry(self, uid: str) -> Assumed | None:
        return self._entries.get(uid)
