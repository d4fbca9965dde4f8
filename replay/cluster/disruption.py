"""How empty nodes go: Karpenter's emptiness, with its loop, its validation and its budgets."""

from collections.abc import Callable
from functools import partial
from math import inf

from policies.situation import NodeStage
from replay.cluster import karpenter
from replay.cluster.agenda import Turn
from replay.cluster.live import Live, LiveNode, LivePool


class Disruption:
    """One loop for all pools; it stands still while it validates."""

    def __init__(self, live: Live, *, let_go: Callable[[LiveNode, float], None]) -> None:
        self._live = live
        self._let_go = let_go
        self._next_seconds = inf
        """When the next pass is due."""
        self._last_seconds = 0.0
        """An end of a pass, from which the loop counts."""
        self._validates = False

    def pods_bound(self) -> None:
        """No pod waits any more, so no node is kept for one."""
        for pool in self._live.pools.values():
            for node in pool.nodes:
                if node.nominated:
                    node.nominated = False
                    self.may_be_empty(node)

    def may_be_empty(self, node: LiveNode) -> None:
        """A node became empty, or its hold changed: see to it that a pass looks at it."""
        due_seconds = self._due_seconds(node)
        if due_seconds < inf:
            self._pass_at(karpenter.next_pass(due_seconds, self._last_seconds))

    def _pass_at(self, at_seconds: float) -> None:
        if at_seconds < self._next_seconds:
            self._next_seconds = at_seconds
            self._live.agenda.add(at_seconds, Turn.KARPENTER, self._pass)

    def _pass(self, now_seconds: float) -> None:
        if now_seconds != self._next_seconds:
            return  # an earlier pass took its place
        self._next_seconds = inf
        if self._validates:
            return
        candidates = [
            node
            for pool in self._live.pools.values()
            for node in self._candidates(pool, now_seconds)
        ]
        if candidates:
            self._validates = True
            ends = now_seconds + karpenter.VALIDATION_SECONDS
            validated = partial(self._validated, candidates)
            self._live.agenda.add(ends, Turn.KARPENTER, validated)
        else:
            self._look_again(now_seconds)

    def _validated(self, candidates: list[LiveNode], now_seconds: float) -> None:
        self._validates = False
        self._next_seconds, self._last_seconds = inf, now_seconds
        empty = [node for node in candidates if self._due_seconds(node) <= now_seconds]
        for node in empty:
            self._let_go(node, now_seconds)
        if empty:
            self._pass_at(now_seconds)
        else:
            self._look_again(now_seconds)

    def _look_again(self, now_seconds: float) -> None:
        """A pass at the next moment at which there can be something to do."""
        due = min(
            (self._due_seconds(n) for pool in self._live.pools.values() for n in pool.nodes),
            default=inf,
        )
        if due < inf:
            after = now_seconds + karpenter.LOOP_SECONDS
            self._pass_at(karpenter.next_pass(max(due, after), self._last_seconds))

    def _due_seconds(self, node: LiveNode) -> float:
        """From when on emptiness may take it; infinite = not as things are."""
        settings = node.pool.settings
        if (
            node.empty_since_seconds is None
            or node.leaving
            or node.gone
            or node.stage is not NodeStage.INITIALIZED
            or settings.consolidate_after_seconds is None
            or settings.static
            or (node.nominated and self._live.pending)
        ):
            return inf
        since = node.pod_event_seconds
        since = node.empty_since_seconds if since is None else since
        due = since + settings.consolidate_after_seconds
        return max(due, node.held_until_seconds)

    def _candidates(self, pool: LivePool, now_seconds: float) -> list[LiveNode]:
        leaving = sum(node.leaving for node in pool.nodes)
        budget = pool.settings.budget_share
        allowed = karpenter.disruptions_allowed(len(pool.nodes), leaving, budget)
        empty = (node for node in pool.nodes if self._due_seconds(node) <= now_seconds)
        return sorted(empty, key=lambda node: node.empty_since_seconds or 0.0)[:allowed]
