"""How long pods and nodes took to start, stage by stage: what lead times are learned from.

The first value that is seen of a stage stays: conditions flip back, containers start again, and
NodeClaims vanish with their node. A start that was not seen from before its end may have ended
earlier than it says.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Generic, TypeVar

from fleet.account.places import Place
from fleet.cluster.nodes import CapacityType
from fleet.cluster.owners import Workload

Stages = Mapping[str, float | None]
"""Seconds since 1970 at which each stage ended, in order; None = not yet, or not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodStart:
    """One pod, from its creation to the first time it was ready."""

    uid: str
    name: str
    """With its namespace."""
    workload: Workload | None
    images: tuple[str, ...] = ()
    takes_gpus: bool = False
    node: str | None = None
    place: Place | None = None
    """Of its node; None = it has none yet, or its node was not read."""
    created_seconds: float
    scheduled_seconds: float | None = None
    node_ready_seconds: float | None = None
    """When its node became ready, where that was after the pod's creation: it waited for it."""
    image_pulled_seconds: float | None = None
    """When its first container started, which the kubelet does as soon as the image is there."""
    started_seconds: float | None = None
    """When the last of its containers did."""
    ready_seconds: float | None = None
    watched: bool = False
    """It was seen before it was ready: the last stage is no later than told."""
    seen_seconds: float | None = None
    """The last reading that found it before it was ready."""
    ended_seconds: float | None = None
    """When it was gone without ever being ready, as a reading found; a start that took longer."""

    @property
    def over(self) -> bool:
        """Its last stage has ended."""
        return self.ready_seconds is not None

    @property
    def stages(self) -> Stages:
        return {
            # kube-scheduler binds to a node when it is ready.
            "node ready": self.node_ready_seconds,
            "scheduled": self.scheduled_seconds,
            "image pulled": self.image_pulled_seconds,
            "started": self.started_seconds,
            "ready": self.ready_seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStart:
    """One machine, from its order to the first time that pods could have its GPUs."""

    uid: str
    """Of the NodeClaim, else of the Node."""
    name: str
    pool: str | None = None
    instance_type: str | None = None
    zone: str | None = None
    capacity_type: CapacityType | None = None
    claimed: bool = True
    """By a NodeClaim; False = all that is known begins with the Node, after order and boot."""
    machine_image: str | None = None
    driver: str | None = None
    """Version of the GPU driver."""
    created_seconds: float
    launched_seconds: float | None = None
    registered_seconds: float | None = None
    node_ready_seconds: float | None = None
    initialized_seconds: float | None = None
    gpus_seconds: float | None = None
    """When pods could ask for its GPUs. Karpenter waits for those that a claim asks for before it
    is initialised; the claims of static pools ask for none, and then it is the reading that first
    found GPUs."""
    watched: bool = False
    """It was seen before pods could have its GPUs."""
    seen_seconds: float | None = None
    """The last reading that found it before pods could have its GPUs."""
    ended_seconds: float | None = None
    """When it was gone before pods could have its GPUs, as a reading found: no capacity, too slow,
    or called off. Its time is a lower bound."""
    called_off: bool = False
    """It was let go while it started: that says nothing of how many starts fail."""

    @property
    def place(self) -> Place:
        return Place(
            pool=self.pool,
            instance_type=self.instance_type,
            capacity_type=self.capacity_type,
            zone=self.zone,
        )

    @property
    def over(self) -> bool:
        """Its last stage has ended."""
        return self.gpus_seconds is not None

    @property
    def stages(self) -> Stages:
        return {
            "launched": self.launched_seconds,
            "registered": self.registered_seconds,
            "node ready": self.node_ready_seconds,
            "initialized": self.initialized_seconds,
            "GPUs": self.gpus_seconds,
        }


def durations_of(start: PodStart | NodeStart) -> Mapping[str, float]:
    """Seconds that each stage took, from the end of the one before it that is known.

    A stage that ended before an earlier one is left out: clocks differ, and stages overlap.
    """
    found, before = {}, start.created_seconds
    for name, ended in start.stages.items():
        if ended is not None and ended >= before:
            found[name] = ended - before
            before = ended
    return found


S = TypeVar("S", bound=PodStart | NodeStart)


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts(Generic[S]):
    """Starts of one kind: those under way, and the latest of those that have ended."""

    most: int
    """Ended ones that are remembered."""
    starting: Mapping[str, S] = field(default_factory=dict)
    """By UID."""
    ended: tuple[S, ...] = ()
    """By the last stage, or by going before it; the latest last."""
    settled: frozenset[str] = frozenset()
    """UIDs of those that are there and have ended: they are not told again."""

    def read(
        self, seen: Sequence[S], now_seconds: float, still_settled: Collection[str]
    ) -> "Starts[S]":
        """With what a reading adds.

        Args:
            seen: all others that are there, whether they have ended or not.
            now_seconds: of the reading.
            still_settled: UIDs of those of `settled` that are there still.
        """
        starting: dict[str, S] = {}
        ended: list[S] = []
        settled = set(still_settled)
        gone = {uid: one for uid, one in self.starting.items() if uid not in settled}
        for one in seen:
            before = gone.pop(one.uid, None)
            merged = one if before is None else _merged(before, one)
            if merged.over:
                settled.add(one.uid)
                ended.append(merged)
            else:
                starting[one.uid] = replace(merged, watched=True, seen_seconds=now_seconds)
        ended += [replace(one, ended_seconds=now_seconds) for one in gone.values()]
        return Starts(
            most=self.most,
            starting=starting,
            ended=(*self.ended, *ended)[-self.most :],
            settled=frozenset(settled),
        )


def _merged(before: S, now: S) -> S:
    """The first value that was seen of each field, where there was one."""
    known = {
        one.name: value
        for one in fields(before)
        if (value := getattr(before, one.name)) is not None and value not in {False, ()}
    }
    return replace(now, **known)
