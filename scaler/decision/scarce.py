"""A pool with fewer GPUs than its workloads want: the next GPU goes where it avoids most lateness.

A fleet that is too small for its demand keeps a queue, and then nearly every request is late and
not the surplus alone. So of a workload with n replicas and the demand D (in replicas, uncertain)

    late requests a second = requests a second that one busy replica serves * E[D where D > n]

and a pool that is short is better off with one workload that is late than with four. Because the
second replica may be worth nothing without the third, replicas are compared in blocks: the block
with the most late requests avoided a GPU, times the workload's priority, is granted next. That is
marginal analysis on the concave hull (Fox 1966): optimal but for the last block of a pool.

What is worth nothing to anybody, such as the head-room of plans, goes first to those that are
served. No workload goes below its minimum, and none gets more than its plan wants.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
    """Replicas that the demand of now keeps busy; the demand ahead is at least that."""
    levels: tuple[float, ...] = ()
    loads: tuple[float, ...] = ()
    """Replicas that the demand keeps busy a lead time ahead, by quantile level."""
    priority: float = 1.0
    """What one of its late requests counts."""

    def late(self, replicas: int) -> float:
        """Requests a second that are expected to be late with so many replicas."""
        points = [(0.0, self.present)]
        for level, load in zip(self.levels, self.loads, strict=True):
            points.append((level, max(load, points[-1][1])))
        points.append((1.0, points[-1][1]))
        load = sum(_load_above(replicas, one, other) for one, other in pairwise(points))
        return self.replica_requests * load


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """The next replicas of one workload that are worth most a GPU."""

    claim: Claim
    replicas: int
    late: float
    """Late requests a second without it."""
    avoided: float
    """Late requests a second that a GPU of it avoids."""
    worth: float
    """The same times priority, and more where the workload holds the replicas."""

    @property
    def gpus(self) -> int:
        return self.replicas * self.claim.replica_gpus


def allot(pool: str, gpus: int, claims: Sequence[Claim]) -> dict[str, Share]:
    """The share of each claim, by its name.

    Where not even the minimums fit, they are granted by priority.
    """
    if sum(max(claim.least, claim.wanted) * claim.replica_gpus for claim in claims) <= gpus:
        return {
            claim.name: Share(replicas=max(claim.least, claim.wanted), refused=0, reason="")
            for claim in claims
        }
    free = gpus
    candidates = []
    for claim in sorted(claims, key=lambda claim: (-claim.priority, claim.name)):
        least = min(claim.least, free // claim.replica_gpus)
        free -= least * claim.replica_gpus
        candidates.append(_Candidate(claim, least))
    last: _Block | None = None
    blocks = [candidate.next_block(free) for candidate in candidates]
    while (best := _best(blocks)) is not None:
        block = blocks[best]
        assert block is not None, "the best is one"
        candidates[best].granted += block.replicas
        free -= block.gpus
        last = block if block.avoided > 0 else last
        for at, other in enumerate(blocks):
            if at == best or (other is not None and other.gpus > free):
                blocks[at] = candidates[at].next_block(free)
    head = f"pool {pool} has {gpus} GPU{'s' * (gpus != 1)}"
    return {one.claim.name: _share(one, head, last) for one in candidates}


class _Candidate:
    """A claim, what it was granted so far, and how late it is with any number of replicas."""

    def __init__(self, claim: Claim, least: int) -> None:
        self.claim = claim
        self.granted = least
        self._late = [claim.late(n) for n in range(max(claim.wanted, claim.least) + 1)]

    def next_block(self, free: int) -> _Block | None:
        """Of the blocks that fit, the one worth most a GPU; of equal ones the smallest."""
        claim, granted, late = self.claim, self.granted, self._late[self.granted]
        room = min(claim.wanted - granted, free // claim.replica_gpus)
        blocks = []
        for replicas in range(1, room + 1):
            avoided = (late - self._late[granted + replicas]) / (replicas * claim.replica_gpus)
            kept = min(max(claim.held - granted, 0), replicas) / replicas
            worth = avoided * claim.priority * (1 + (KEPT_FACTOR - 1) * kept)
            blocks.append(
                _Block(claim=claim, replicas=replicas, late=late, avoided=avoided, worth=worth)
            )
        return max(blocks, key=lambda block: (block.worth, -block.replicas), default=None)


def _best(blocks: Sequence[_Block | None]) -> int | None:
    """Place of the block that is granted next; of equal ones that of whoever is less late."""
    known = [(block, at) for at, block in enumerate(blocks) if block is not None]
    first = max(known, key=lambda one: (one[0].worth, -one[0].late), default=None)
    return None if first is None else first[1]


def _share(candidate: _Candidate, head: str, last: _Block | None) -> Share:
    claim, replicas = candidate.claim, candidate.granted
    refused = max(0, max(claim.wanted, claim.least) - replicas)
    if not refused:
        return Share(replicas=replicas, refused=0, reason="")
    reason = f"{head}: {replicas} of {replicas + refused} replicas"
    if replicas < claim.least:
        reason += f", below the minimum of {claim.least}: the minimums of the pool do not fit"
    more = candidate.next_block(refused * claim.replica_gpus)
    if more is not None:
        reason += (
            f"; {more.replicas} more would avoid {more.avoided:.2g} late requests/s a GPU"
            f" (priority {claim.priority:g})"
        )
    if last is not None and last.claim.name != claim.name:
        reason += (
            f", the last GPUs went to {last.claim.name}, where they avoid {last.avoided:.2g}"
            f" (priority {last.claim.priority:g})"
        )
    return Share(replicas=replicas, refused=refused, reason=reason)


def _load_above(replicas: int, one: tuple[float, float], other: tuple[float, float]) -> float:
    """The part of the mean demand between two quantiles that lies above so many replicas."""
    (low, load), (high, load_high) = one, other
    if load_high <= replicas:
        return 0.0
    if load <= replicas:
        low += (replicas - load) / (load_high - load) * (high - low)
        load = float(replicas)
    return (high - low) * (load + load_high) / 2
