"""The shipped rule with a part switched off that no trigger switches off."""

from dataclasses import replace
from enum import StrEnum
from typing import Final

from typing_extensions import override

from scaler.decision.capacity import ReplicaCapacity
from scaler.decision.outlook import Outlook
from scaler.decision.tracker import DemandTracker

_MEDIAN: Final = 0.5


class Part(StrEnum):
    """A part of the rule."""

    FORECAST = "forecast"
    """Without it the present with head-room is held for one lead time."""
    TAIL = "tail"
    """Without it only the median of demand is planned for, as if it were certain."""
    FLOOR = "floor"
    """Without it the forecast alone counts, even below what the present and its queue need."""


class NoForecast(DemandTracker):
    """Nothing is known of the future."""

    @override
    def outlook(
        self, capacity: ReplicaCapacity, *, lead_seconds: float, level: float
    ) -> Outlook | None:
        return None


class MedianOnly(DemandTracker):
    """All quantiles of the future are its median."""

    @override
    def outlook(
        self, capacity: ReplicaCapacity, *, lead_seconds: float, level: float
    ) -> Outlook | None:
        outlook = super().outlook(capacity, lead_seconds=lead_seconds, level=_MEDIAN)
        if outlook is None or outlook.need is None:
            return outlook
        need = outlook.need
        median = need.levels.index(_MEDIAN)
        flat = tuple((at[median],) * len(at) for at in need.quantiles)
        return replace(outlook, need=replace(need, quantiles=flat))


TRACKERS: Final[dict[Part, type[DemandTracker]]] = {
    Part.FORECAST: NoForecast,
    Part.TAIL: MedianOnly,
}
