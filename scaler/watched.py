"""What the loop keeps of each feed: the feed, its track, and the workloads that read it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from scaler.board import Answer, Entry, Reference
from scaler.capacity import ReplicaCapacity
from scaler.parameters import PlanParameters
from scaler.signals import Feed
from scaler.state.records import FeedState, Learned, WorkloadState
from scaler.track import Sight, Track
from scaler.verdict import Standing

Carried = tuple[Mapping[str, Learned], bytes]
"""Of a state that was read: figures learned, and fields that a newer program wrote."""
NOTHING_CARRIED: Carried = ({}, b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How one trigger's wishes are met: where to look, and what a replica serves."""

    key: str
    """Equal for triggers that read the same series the same way."""
    feed: Feed
    capacity: ReplicaCapacity


@dataclass(slots=True, eq=False)
class Watched:
    """A feed under watch, its track, and the workloads that read it."""

    key: str
    feed: Feed
    track: Track
    sight: Sight | None = None
    workloads: dict[Reference, "Workload"] = field(default_factory=dict)
    since_restore: list[Sight] | None = None
    """Looks taken while history is read, to be added behind it; None when it is not."""
    awaits_state: bool = False
    """Whether the plans from before stand until the forecast's state is there."""
    has_past: bool = False
    """Whether the track holds a past, from a state or from the source, that is worth keeping."""
    carried: Carried = NOTHING_CARRIED

    def state(self, *, at_seconds: float) -> FeedState:
        """What a later process goes on from."""
        learned, unknown = self.carried
        return FeedState(
            key=self.key,
            taken_at_seconds=at_seconds,
            track=self.track.state(),
            learned=learned,
            unknown=unknown,
        )


@dataclass(slots=True, eq=False)
class Workload:
    """One entry of the board and what is planned for it."""

    entry: Entry
    parameters: PlanParameters
    standing: Standing = field(default_factory=Standing)
    carried: Carried = NOTHING_CARRIED

    def state(self) -> WorkloadState:
        """What a later process goes on from."""
        standing, (learned, unknown) = self.standing, self.carried
        plan = standing.plan
        return WorkloadState(
            reference=self.entry.reference,
            asked_at_seconds=self.entry.asked_at_seconds,
            answer=None
            if plan is None
            else Answer(replicas=plan.desired, active=plan.active, made_at_seconds=plan.at_seconds),
            memory=standing.state,
            plan=plan,
            learned=learned,
            unknown=unknown,
        )

    def resume(self, state: WorkloadState | None) -> None:
        """Go on from a state of before, if there is one."""
        if state is not None:
            self.standing = Standing(state=state.memory, plan=state.plan)
            self.carried = (state.learned, state.unknown)
