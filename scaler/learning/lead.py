"""Orders of replicas, and how long each took until its replicas served.

An order is an increase of what KEDA was given; an arrival is an increase of the observed replicas.
Arrivals are matched first in, first out, so no right in the cluster is needed. The times are those
of looks: an arrival is seen up to one look late (15 s by default), and lead times err to the long
side by that.

Other things change replicas too, and none of them may pass for a fast or a slow start:

* Replicas that vanish (evicted, crashed, not scraped) come back without an order. From the moment
  they vanish the orders under way count as "took longer than this", because the next arrival may be
  either; the same holds for an order that is made while some are missing.
* Replicas above what was asked for (`kubectl scale`, KEDA's fallback, another trigger) mean that
  somebody else ordered: starts of the last minutes that were matched to orders are withdrawn.
* After a gap in the looks the moment of an arrival is unknown. It counts where the gap is short
  against it.
* A lower answer cancels the newest orders first, as a ReplicaSet removes pods that are not ready.
* Without answers for KEDA (mode `advise`) there are no orders.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from scaler.signals import Observation, Signal

STARTS_MAX: Final = 64
"""The newest ones that are kept of a workload."""
STUCK_SECONDS_MIN: Final = 1800.0
"""Half an hour: llm-d's and KAITO's slowest documented starts, a new node and 140 GB of weights,
take 16 minutes."""
STUCK_RATIO: Final = 3.0
"""An order is stuck after so many times the longest start known, and not before the time above."""
GAP_SECONDS_MAX: Final = 60.0
"""Between two looks, for an arrival to have a time; or the next figure."""
GAP_SHARE_MAX: Final = 0.25
"""Of the start: a gap between looks that changes it by less."""
REORDER_SECONDS: Final = 60.0
"""An order sooner after a cancelled one may be the old pods: KEDA and the HPA poll, and may have
seen neither the cancellation nor the order."""
STABILIZATION_SECONDS: Final = 300.0
"""The HPA's default wait before it removes replicas: so long cancelled ones may still arrive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """Replicas that are expected and do not serve yet."""

    at_seconds: float
    """When they were ordered or, of others, seen to be missing."""
    replicas: int
    timed: bool = True
    """Whether their arrival tells a lead time: ordered, and no other arrival can be mistaken."""

    def stuck(self, now_seconds: float, limit_seconds: float) -> bool:
        return now_seconds - self.at_seconds >= limit_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How long one order took, as far as it was seen; replicas that came at one look are one."""

    at_seconds: float
    """When it ended: arrived, cancelled or lost from sight."""
    seconds: float
    arrived: bool
    """False: it was not there after `seconds`, and was not seen to arrive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadRecord:
    """The orders under way and the newest starts of a workload."""

    handed: int | None = None
    """Replicas last given to KEDA; None where it gets none."""
    ready: int | None = None
    """Replicas last observed; None before the first."""
    looked_at_seconds: float = 0.0
    """When they were observed."""
    arrived_at_seconds: float | None = None
    """When replicas last became ready."""
    cancelled_at_seconds: float | None = None
    """When an order was last cancelled."""
    awaited: tuple[Awaited, ...] = ()
    """The oldest first."""
    starts: tuple[Start, ...] = ()
    """The oldest first."""

    def moved(self, seconds: float) -> "LeadRecord":
        """The same record with every wall-clock time moved, so that every age stays."""
        return replace(
            self,
            looked_at_seconds=self.looked_at_seconds + seconds,
            arrived_at_seconds=_later(self.arrived_at_seconds, seconds),
            cancelled_at_seconds=_later(self.cancelled_at_seconds, seconds),
            awaited=tuple(
                replace(one, at_seconds=one.at_seconds + seconds) for one in self.awaited
            ),
            starts=tuple(replace(one, at_seconds=one.at_seconds + seconds) for one in self.starts),
        )

    def stuck_seconds(self, prior_seconds: float) -> float:
        """The age from which an order that did not arrive is stuck.

        It waits for quota or a GPU, crashes, or was never carried out (a paused ScaledObject, a
        lower `maxReplicaCount`): its arrival tells no lead time any more.
        """
        return max(STUCK_SECONDS_MIN, STUCK_RATIO * self._longest_seconds(prior_seconds))

    def _longest_seconds(self, prior_seconds: float) -> float:
        return max((one.seconds for one in self.starts if one.arrived), default=prior_seconds)

    def without_orders(self) -> "LeadRecord":
        """The starts alone, where it is not known what was ordered since."""
        return LeadRecord(starts=self.starts)

    def seen(self, observation: Observation, prior_seconds: float) -> "LeadRecord":
        """The record after a look: arrivals and losses."""
        measured, now = observation.value(Signal.REPLICAS), observation.at_seconds
        if measured is None:
            return self
        ready = round(measured)
        looked = replace(self, ready=ready, looked_at_seconds=now)
        if self.handed is None:
            return looked
        under_way = sum(one.replicas for one in self.awaited)
        missing = max(0, self.handed - ready)
        if missing > under_way:
            lost = Awaited(at_seconds=now, replicas=missing - under_way, timed=False)
            untimed, outlasted = _untimed(self.awaited, now)
            return _with(looked, (*untimed, lost), outlasted)
        if missing < under_way:
            rest, starts = self._arrived(under_way - missing, now, prior_seconds)
            looked = replace(_with(looked, rest, starts), arrived_at_seconds=now)
        if self.ready is not None and ready > max(self.handed, self.ready):
            return replace(looked, starts=looked.starts_before_others(now, prior_seconds))
        return looked

    def ordered(self, handed: int | None, now_seconds: float) -> "LeadRecord":
        """The record after a decision.

        Args:
            handed: replicas that KEDA gets; None where it gets none.
        """
        if handed is None or self.handed is None or self.ready is None:
            return replace(self, handed=handed, awaited=())
        under_way = sum(one.replicas for one in self.awaited)
        missing = max(0, handed - self.ready)
        if missing > under_way and handed > self.handed:
            order = Awaited(
                at_seconds=now_seconds,
                replicas=missing - under_way,
                timed=self._can_time(now_seconds),
            )
            return replace(self, handed=handed, awaited=(*self.awaited, order))
        if missing < under_way:
            kept, cancelled = _cancelled(self.awaited, under_way - missing, now_seconds)
            record = replace(self, handed=handed, cancelled_at_seconds=now_seconds)
            return _with(record, kept, cancelled)
        return replace(self, handed=handed)

    def _can_time(self, now_seconds: float) -> bool:
        cancelled_at = self.cancelled_at_seconds
        if cancelled_at is not None and now_seconds - cancelled_at < REORDER_SECONDS:
            return False
        # What has been missing for half an hour is not about to return just now.
        return all(
            one.timed or now_seconds - one.at_seconds >= STUCK_SECONDS_MIN for one in self.awaited
        )

    def _arrived(
        self, arrived: int, now: float, prior_seconds: float
    ) -> tuple[tuple[Awaited, ...], list[Start]]:
        """What is left after arrivals are taken off the oldest, and what these tell.

        The stuck ones come last: the younger are far more likely to have arrived.
        """
        limit, gap = self.stuck_seconds(prior_seconds), now - self.looked_at_seconds
        starts: list[Start] = []
        kept = dict(enumerate(self.awaited))
        for at, one in sorted(kept.items(), key=lambda item: item[1].stuck(now, limit)):
            taken = min(arrived, one.replicas)
            if taken == 0:
                break
            arrived -= taken
            kept[at] = replace(one, replicas=one.replicas - taken)
            seconds = now - one.at_seconds
            if not one.timed or one.stuck(now, limit):
                continue
            if gap <= max(GAP_SECONDS_MAX, GAP_SHARE_MAX * seconds):
                starts.append(Start(at_seconds=now, seconds=seconds, arrived=True))
            elif self.looked_at_seconds > one.at_seconds:
                before = self.looked_at_seconds - one.at_seconds
                starts.append(Start(at_seconds=now, seconds=before, arrived=False))
        return tuple(one for one in kept.values() if one.replicas), starts

    def starts_before_others(self, now_seconds: float, prior_seconds: float) -> tuple[Start, ...]:
        """The starts without those of the last lead time, which others' replicas may have made."""
        cancelled_at = self.cancelled_at_seconds
        if cancelled_at is not None and now_seconds - cancelled_at < STABILIZATION_SECONDS:
            return self.starts
        since = now_seconds - self._longest_seconds(prior_seconds)
        return tuple(one for one in self.starts if not one.arrived or one.at_seconds < since)


def _with(record: LeadRecord, awaited: tuple[Awaited, ...], starts: Iterable[Start]) -> LeadRecord:
    return replace(record, awaited=awaited, starts=(*record.starts, *starts)[-STARTS_MAX:])


def _untimed(
    awaited: tuple[Awaited, ...], now: float
) -> tuple[tuple[Awaited, ...], tuple[Start, ...]]:
    """The same without times, and what they tell until now: each took longer than that."""
    ended = tuple(_ended(one, now) for one in awaited if one.timed and now > one.at_seconds)
    return tuple(replace(one, timed=False) for one in awaited), ended


def _cancelled(
    awaited: tuple[Awaited, ...], replicas: int, now: float
) -> tuple[tuple[Awaited, ...], tuple[Start, ...]]:
    """What is left after the newest `replicas` were cancelled, and what those tell."""
    kept: list[Awaited] = []
    ended: list[Start] = []
    for one in reversed(awaited):
        taken = min(replicas, one.replicas)
        replicas -= taken
        if taken < one.replicas:
            kept.append(replace(one, replicas=one.replicas - taken))
        if taken and one.timed and now > one.at_seconds:
            ended.append(_ended(one, now))
    return tuple(reversed(kept)), tuple(reversed(ended))


def _ended(one: Awaited, now: float) -> Start:
    return Start(at_seconds=now, seconds=now - one.at_seconds, arrived=False)


def _later(at_seconds: float | None, seconds: float) -> float | None:
    return None if at_seconds is None else at_seconds + seconds
