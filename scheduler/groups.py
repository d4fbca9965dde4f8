"""Groups of pods that run together or not at all: their members, as far as they were seen.

A member is known when the watch has told of its pod or kube-scheduler has asked about it. For
members that were not seen yet a shape is taken: of a LeaderWorkerSet's worker what another worker
of the same set asks, else what the pod in hand asks. Some members are created only when others run,
so that the wait for them ends.
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.placement import Shape
from scheduler.pods import WORKER, Group, Pod
from scheduler.resource_claim import Claim

UNSEEN_SECONDS: Final = 60.0
"""How long a group waits for members that nobody has seen; those that come are counted after it."""
_FAMILIES_MAX: Final = 1024
_ASKED_MAX: Final = 128
_REFUSED_MAX: Final = 1024


@dataclass(frozen=True, slots=True)
class Ask:
    """What one member asks of a node."""

    shape: Shape
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Members that ask for the same and are on no node yet."""

    ask: Ask
    count: int
    names: tuple[str, ...] | None
    """Nodes that kube-scheduler asked about for one of them; None = it has asked about none."""


@dataclass(frozen=True, slots=True)
class Lacking:
    """What a group still needs before it runs."""

    count: int
    members: tuple[Wanted, ...]
    assumed: str | None
    """What was taken for granted about members that nobody has seen; None = nothing."""
    unseen: int = 0


@dataclass(slots=True)
class _Member:
    ask: Ask | None
    """None = its claim is not known; it is taken to ask what the pod in hand asks."""
    node: str | None
    """None = on no node yet."""


def ask_of(pod: Pod) -> Ask:
    return Ask(pod.shape, pod.claim)


class Groups:
    """Members by group and pod UID; a group without members is forgotten."""

    def __init__(self) -> None:
        self._members: dict[str, dict[str, _Member]] = {}
        self._group_of: dict[str, str] = {}
        self._refused: OrderedDict[str, tuple[int, float]] = OrderedDict()
        """Of a group without room: members that nobody had seen, and since when."""
        self._workers: OrderedDict[str, Ask] = OrderedDict()
        """What a worker asks, by the set that it is of."""
        self._asked: OrderedDict[tuple[str, Ask], tuple[str, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._members)

    def put(self, pod: Pod, node: str | None) -> None:
        """The pod is there, on this node; None = on none yet."""
        if pod.group is None:
            return
        if self._group_of.get(pod.uid, pod.group.name) != pod.group.name:
            self.drop(pod.uid)
        self._group_of[pod.uid] = pod.group.name
        members = self._members.setdefault(pod.group.name, {})
        members[pod.uid] = _Member(ask_of(pod) if pod.unknown is None else None, node)
        if pod.group.role == WORKER and pod.given is None and pod.unknown is None:
            self._workers[pod.group.family] = ask_of(pod)
            self._workers.move_to_end(pod.group.family)
            if len(self._workers) > _FAMILIES_MAX:
                self._workers.popitem(last=False)

    def leave_node(self, uid: str) -> None:
        """The pod is on no node after all."""
        if uid in self._group_of:
            self._members[self._group_of[uid]][uid].node = None

    def drop(self, uid: str) -> None:
        """The pod is gone."""
        group = self._group_of.pop(uid, None)
        if group is not None:
            del self._members[group][uid]
            if not self._members[group]:
                del self._members[group]
                self._refused.pop(group, None)

    def nodes_of(self, group: str) -> list[str]:
        """Where members are, a node for each."""
        return [one.node for one in self._members.get(group, {}).values() if one.node is not None]

    def remember(self, group: str, ask: Ask, names: Sequence[str]) -> None:
        """kube-scheduler asked about these nodes for such a member."""
        self._asked[group, ask] = tuple(names)
        self._asked.move_to_end((group, ask))
        if len(self._asked) > _ASKED_MAX:
            self._asked.popitem(last=False)

    def lacking(self, pod: Pod, group: Group, now_seconds: float) -> Lacking | None:
        """The members on no node yet, the pod among them; None = the group's size is not told."""
        if group.size is None:
            return None
        members = self._members.get(group.name, {})
        placed = sum(one.node is not None for uid, one in members.items() if uid != pod.uid)
        needed = max(group.size - placed, 1)
        own = ask_of(pod)
        waiting = [
            one.ask or own for uid, one in members.items() if one.node is None and uid != pod.uid
        ]
        # Of more members than the group needs to run the smallest do.
        counts = Counter([own, *sorted(waiting, key=_size)[: needed - 1]])
        unseen = needed - counts.total()
        assumed = None
        if unseen and self._is_waited_for(group.name, unseen, now_seconds):
            taken = self._workers.get(group.family, own)
            counts[taken] += unseen
            like = "this pod" if taken == own else "a worker of its set"
            assumed = f"{unseen} of them not seen yet, taken to ask what {like} asks"
        elif unseen:
            assumed = f"{unseen} more not seen for {UNSEEN_SECONDS:.0f} s, not waited for"
        wanted = tuple(
            Wanted(ask, count, None if ask == own else self._asked.get((group.name, ask)))
            for ask, count in counts.items()
        )
        return Lacking(counts.total(), wanted, assumed, unseen)

    def refused(self, group: str, lacking: Lacking, now_seconds: float) -> None:
        """The group has no room; from the first time on its unseen members have so long to come."""
        if self._refused.get(group, (None, 0.0))[0] != lacking.unseen:
            self._refused[group] = lacking.unseen, now_seconds
            self._refused.move_to_end(group)
            if len(self._refused) > _REFUSED_MAX:
                self._refused.popitem(last=False)

    def _is_waited_for(self, group: str, unseen: int, now_seconds: float) -> bool:
        count, since = self._refused.get(group, (unseen, now_seconds))
        return count != unseen or now_seconds - since < UNSEEN_SECONDS


def _size(ask: Ask) -> tuple[int, int, int]:
    return ask.shape.total_milli, ask.shape.cpu_milli, ask.shape.memory_mib
