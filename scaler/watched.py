"""What the loop keeps of each feed: the feed, its track, and the workloads that read it."""

from dataclasses import dataclass, field

from scaler.board import Entry, Reference
from scaler.capacity import ReplicaCapacity
from scaler.feed_key import FeedKey
from scaler.parameters import PlanParameters
from scaler.signals import Feed
from scaler.track import Sight, Track
from scaler.verdict import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How one trigger's wishes are met: where to look, and what a replica serves."""

    key: FeedKey
    """Equal for triggers that read the same series the same way."""
    feed: Feed
    capacity: ReplicaCapacity


@dataclass(slots=True, eq=False)
class Watched:
    """A feed under watch, its track, and the workloads that read it."""

    feed: Feed
    track: Track
    sight: Sight | None = None
    workloads: dict[Reference, "Workload"] = field(default_factory=dict)
    since_restore: list[Sight] | None = None
    """Looks taken while history is read, to be added behind it; None when it is not."""


@dataclass(slots=True, eq=False)
class Workload:
    """One entry of the board and what is planned for it."""

    entry: Entry
    parameters: PlanParameters
    standing: Standing = field(default_factory=Standing)
