"""When a round of decisions on nodes is made, in the controller and in the replay alike.

A round is made each two minutes, where a step of the forecasts begins, and in between when there is
news: at once when a pod begins to wait, and a while after one has left its node empty or waits no
longer. Not at once then: a pod that is replaced is gone for a moment before the next one waits, and
a round in that moment would let its node go. A node that is let go gets a taint and is looked at
again, which is a round too. A pod that leaves a node to others changes which pods should go next:
a ReplicaSet goes by what the last round wrote on them.
"""

from dataclasses import dataclass
from math import floor, inf
from typing import Final

ROUND_SECONDS: Final = 120.0
URGENT_SECONDS: Final = 5.0
"""The least time between two rounds: pods of one burst come one after the other."""
RANK_SECONDS: Final = 15.0
"""The least time from a round to one that only ranks pods anew. A HorizontalPodAutoscaler takes
replicas away once in 15 s (`--horizontal-pod-autoscaler-sync-period`)."""
RANK_REST: Final = 20.0
"""The same in lengths of the last round: rounds for ranks take a twentieth of the time at most."""
SEEN_SECONDS: Final = 1.0
"""News of pods is looked at so long after it, together with what has come meanwhile."""
EMPTY_SECONDS_MIN: Final = 30.0
"""From the end of a pod to the taint of its node, if that has no other, and from the end of a pod's
wait to the next round: by then the pod that takes its place is bound. A Job makes a failed pod
again after 10 s, then 20. A LeaderWorkerSet makes a group again once its leader has ended, for
which that has 30 s unless its pod says otherwise. So it is where it is not known what has left."""
_REPLACED_SECONDS: Final = {"ReplicaSet": 15.0}
"""The same by the kind of the pod's controller. A ReplicaSet makes the next pod when the one before
begins to end, and kube-scheduler binds it in its first attempt, or after a back-off of 10 s at
most (`controller_utils.go`, `FilterActivePods`; `podMaxBackoffSeconds`)."""
SETTLE_SECONDS: Final = 10.0
"""From the taint to the delete: a pod that kube-scheduler was about to bind is bound by then."""


_NOISE_SECONDS: Final = 1e-3
"""Timers end so much too early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emptied:
    """What was seen of a node's becoming empty. Times are of one clock, in seconds."""

    at_seconds: float
    """When its last pod was gone."""
    replaced_until_seconds: float
    """Until when a pod in the place of one that was on it may come."""


def replaced_seconds(controller: str | None) -> float:
    """How long after a pod is gone the one that takes its place may still come.

    Args:
        controller: the kind of the object that makes the next one; None = not known, or no object.
    """
    return _REPLACED_SECONDS.get(controller or "", EMPTY_SECONDS_MIN)


def taint_due_seconds(empty_since_seconds: float, replaced_until_seconds: float | None) -> float:
    """From when on an empty node that is to go gets its taint.

    Args:
        empty_since_seconds: when it became empty.
        replaced_until_seconds: until when a pod in the place of one that was on it may come; None =
            it was not seen which pods were, or none was.
    """
    if replaced_until_seconds is None:
        return empty_since_seconds + EMPTY_SECONDS_MIN
    return max(empty_since_seconds, replaced_until_seconds)


class RoundTimes:
    """When the next round is due. Times are of one clock, in seconds, unless another is named."""

    def __init__(self, round_seconds: float = ROUND_SECONDS) -> None:
        self._round_seconds = round_seconds
        self._last_seconds = -inf
        self._took_seconds = 0.0
        self._regular_seconds = inf
        self._asked: set[float] = set()
        self._ranking_seconds = inf
        """When other pods came to be the next to go; infinite = the last round has ranked them."""
        self._ranking_last_seconds = -inf
        """The same, for the last time."""

    def left_seconds(self, now_seconds: float) -> float:
        """Until the next one is to begin; 0 = it is due."""
        left = self.due_seconds - now_seconds
        return left if left > _NOISE_SECONDS else 0.0

    @property
    def due_seconds(self) -> float:
        """When the next one is to begin, unless something is asked for meanwhile."""
        soonest = self._last_seconds + URGENT_SECONDS
        rest = max(RANK_SECONDS, RANK_REST * self._took_seconds)
        ranking = max(self._last_seconds + rest, self._ranking_seconds)
        return max(soonest, min(self._regular_seconds, min(self._asked, default=inf), ranking))

    def ask(self, at_seconds: float, now_seconds: float) -> None:
        """Have a round at that moment, or soon after it."""
        asked = self._asked | {at_seconds}
        # While no round can be made, many moments pass; one round sees all that was asked for.
        past = {at for at in asked if at <= now_seconds}
        self._asked = asked - past | ({min(past)} if past else set())

    def ranking_changed(self, at_seconds: float) -> None:
        """Have a round after that moment, but not soon after another, however often this is said.

        It is made `RANK_SECONDS` after the last one, or later where that took long.
        """
        self._ranking_seconds = min(self._ranking_seconds, at_seconds)
        self._ranking_last_seconds = at_seconds

    def begun(self, now_seconds: float, grid_seconds: float, took_seconds: float = 0.0) -> None:
        """A round has begun, and seen all that was asked for until then.

        Args:
            now_seconds: the moment.
            grid_seconds: the same moment on the clock at whose multiples of a round's length the
                steps of forecasts begin, and with them regular rounds, whatever is made in between.
            took_seconds: how long it took.
        """
        self._last_seconds, self._took_seconds = now_seconds, took_seconds
        begun = floor((grid_seconds + _NOISE_SECONDS) / self._round_seconds)
        self._regular_seconds = now_seconds + ((begun + 1) * self._round_seconds - grid_seconds)
        seen_seconds = now_seconds + _NOISE_SECONDS
        self._asked = {at for at in self._asked if at > seen_seconds}
        later = self._ranking_last_seconds > seen_seconds
        self._ranking_seconds = self._ranking_last_seconds if later else inf
