"""A pool with fewer GPUs than its workloads want: the next GPU goes where it avoids most lateness.

With D, the demand in replicas (uncertain), the n-th replica of a workload serves, and so keeps from
being late,

    requests a second that keep one replica busy * (E[(D - n + 1)+] - E[(D - n)+])

requests a second, which is about P(D >= n) of what a busy replica serves. That falls with n, so
granting one replica after the other, each where a GPU avoids most late requests times the priority
of the workload, is optimal where replicas hold equally many GPUs (Fox 1966, marginal analysis).

A replica that a workload has serves the demand of now and of a lead time ahead. One that it has not
would serve only what is there when it has started, so that a spike takes no GPU from somebody.
What is worth nothing to anybody, such as the head-room of plans, goes first to those that are
served. No workload goes below its minimum, and none gets more than its plan wants.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from itertools import pairwise
from typing import Final

from scaler.decision.need import Step

KEPT_FACTOR: Final = 1.25
"""A replica that a workload has is worth more than one that another would have to start: for its
start-up it serves nobody. It also keeps two workloads from taking turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one workload asks of a pool, as its last plan has it."""

    name: str
    replica_gpus: int
    least: int
    """Replicas that it never goes below."""
    wanted: int
    """Replicas that its plan wants."""
    held: int
    """Replicas that it has, or that are on their way."""
    replica_requests: float
    """Requests a second that keep one replica busy."""
    present: float
    """Replicas that the demand of now keeps busy."""
    levels: tuple[float, ...] = ()
    loads: tuple[float, ...] = ()
    """Replicas that the demand keeps busy a lead time ahead, by quantile level; without a forecast
    the demand ahead is that of now."""
    priority: float = 1.0
    """What one of its late requests counts."""
    namespace: str = ""
    """Another's claim is not shown to it."""

    def avoided(self, ordinal: int) -> float:
        """Late requests a second that the replica of this number avoids."""
        return self._avoided(ordinal - 1, ordinal, now=ordinal <= self.held or not self.loads)

    def unserved(self, granted: int) -> float:
        """Late requests a second that the replicas beyond so many, up to all wanted, avoid."""
        kept = self.wanted
        if self.loads:
            kept = min(max(self.held, granted), self.wanted)
        now = self._avoided(granted, kept, now=True)
        return now + self._avoided(kept, self.wanted, now=False)

    def _avoided(self, one: int, other: int, *, now: bool) -> float:
        """Late requests a second that the replicas beyond `one`, up to `other`, avoid.

        Args:
            now: whether they serve the demand of now, too.
        """
        points = [(0.0, self.present if now else 0.0)]
        for level, load in zip(self.levels, self.loads, strict=True):
            points.append((level, max(load, points[-1][1])))
        points.append((1.0, points[-1][1]))
        served = sum(
            _above(one, low, high) - _above(other, low, high) for low, high in pairwise(points)
        )
        return self.replica_requests * served


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a workload gets of a pool."""

    replicas: int
    refused: int
    """Replicas that its plan wants beyond that."""
    reason: str
    """Who got the GPUs in their place, and why; empty where nothing is refused."""

    def step(self) -> Step:
        """The explanation of a share that is smaller than the plan."""
        return Step(rule="pool", text=self.reason, replicas=self.replicas)


def allot(pool: str, gpus: int, claims: Sequence[Claim]) -> dict[str, Share]:
    """The share of each claim, by its name.

    Where not even the minimums fit, they are granted by priority, and in turns where it is equal.
    """
    if sum(max(claim.least, claim.wanted) * claim.replica_gpus for claim in claims) <= gpus:
        return {
            claim.name: Share(replicas=max(claim.least, claim.wanted), refused=0, reason="")
            for claim in claims
        }
    in_order = sorted(claims, key=lambda claim: (-claim.priority, claim.name))
    least = _minimums(gpus, in_order)
    candidates = [
        _Candidate(claim, granted, place)
        for place, (claim, granted) in enumerate(zip(in_order, least, strict=True))
    ]
    free = gpus - sum(one.granted * one.claim.replica_gpus for one in candidates)
    last: tuple[Claim, float] | None = None
    waiting = [one for one in candidates if one.granted < one.claim.wanted]
    heapify(waiting)
    while waiting and free > 0:
        best = waiting[0]
        if best.claim.replica_gpus > free:
            heappop(waiting)
            continue
        if best.avoided > 0:
            last = best.claim, best.avoided
        best.grant()
        free -= best.claim.replica_gpus
        if best.granted < best.claim.wanted:
            heapreplace(waiting, best)
        else:
            heappop(waiting)
    head = f"pool {pool} has {gpus} GPU{'s' * (gpus != 1)}"
    return {one.claim.name: _share(one, head, last) for one in candidates}


def _minimums(gpus: int, claims: Sequence[Claim]) -> list[int]:
    """Replicas of the minimum of each claim, as many as fit.

    Args:
        claims: the highest priority first. Of equal ones the next replica goes to the one that was
            granted the fewest GPUs.
    """
    if sum(claim.least * claim.replica_gpus for claim in claims) <= gpus:
        return [claim.least for claim in claims]
    granted = [0] * len(claims)
    lacking = [(-one.priority, 0, place) for place, one in enumerate(claims) if one.least > 0]
    heapify(lacking)
    while lacking:
        priority, has, place = lacking[0]
        claim = claims[place]
        if claim.replica_gpus > gpus:
            heappop(lacking)
            continue
        granted[place] += 1
        gpus -= claim.replica_gpus
        if granted[place] < claim.least:
            heapreplace(lacking, (priority, has + claim.replica_gpus, place))
        else:
            heappop(lacking)
    return granted


class _Candidate:
    """A claim and what it was granted so far; the one that gets the next GPU is the least."""

    def __init__(self, claim: Claim, least: int, place: int) -> None:
        self.claim = claim
        self.granted = least
        self._place = place
        self._weigh()

    def grant(self) -> None:
        """Grant it one more replica."""
        self.granted += 1
        self._weigh()

    def _weigh(self) -> None:
        claim = self.claim
        self.avoided = claim.avoided(self.granted + 1) / claim.replica_gpus
        """Late requests a second that a GPU of its next replica avoids."""
        kept = KEPT_FACTOR if self.granted < claim.held else 1.0
        self._worth = self.avoided * claim.priority * kept
        self._unserved: float | None = None

    def _left(self) -> float:
        """Late requests a second that it would avoid with all that it wants; for ties alone."""
        if self._unserved is None:
            self._unserved = self.claim.unserved(self.granted)
        return self._unserved

    def __lt__(self, other: "_Candidate") -> bool:
        if self._worth != other._worth:
            return self._worth > other._worth
        return (self._left(), self._place) < (other._left(), other._place)


def _share(candidate: _Candidate, head: str, last: tuple[Claim, float] | None) -> Share:
    claim, replicas = candidate.claim, candidate.granted
    refused = max(0, max(claim.wanted, claim.least) - replicas)
    if not refused:
        return Share(replicas=replicas, refused=0, reason="")
    reason = f"{head}: {replicas} of {replicas + refused} replicas"
    if replicas < claim.least:
        reason += f", below the minimum of {claim.least}: the minimums of the pool do not fit"
    if replicas < claim.wanted:
        reason += (
            f"; one more would avoid {candidate.avoided:.2g} late requests/s a GPU"
            f" (priority {claim.priority:g})"
        )
    if last is not None and last[0].name != claim.name:
        reason += f", the last GPU went to {_shown(*last, namespace=claim.namespace)}"
    return Share(replicas=replicas, refused=refused, reason=reason)


def _shown(claim: Claim, avoided: float, *, namespace: str) -> str:
    """A claim to a reader of this namespace."""
    if claim.namespace != namespace:
        return "a workload of another namespace"
    return f"{claim.name}, where it avoids {avoided:.2g} (priority {claim.priority:g})"


def _above(replicas: int, one: tuple[float, float], other: tuple[float, float]) -> float:
    """What lies above so many replicas of the mean demand between two quantiles."""
    (low, load), (high, load_high) = one, other
    if load_high <= replicas:
        return 0.0
    if load < replicas:
        low += (replicas - load) / (load_high - load) * (high - low)
        load = float(replicas)
    return (high - low) * ((load + load_high) / 2 - replicas)
