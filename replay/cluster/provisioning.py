"""How nodes come: pods are batched, what they need is ordered, each node boots or fails."""

from collections.abc import Callable
from functools import partial
from math import inf

from fleet.reasons import Reason
from policies.situation import NodeStage
from replay.cluster import karpenter
from replay.cluster.agenda import Turn
from replay.cluster.live import Live, LiveNode, LivePod, LivePool


class Provisioning:
    """Orders nodes for pods that wait, and the ones that a policy wants ahead."""

    def __init__(self, live: Live, *, initialized: Callable[[LiveNode, float], None]) -> None:
        self._live = live
        self._initialized = initialized
        self._first_seconds: float | None = None
        """Of the batch that is open."""
        self._last_seconds = -inf

    def pods_wait(self, now_seconds: float) -> None:
        """Pods were created, or lost the node they waited for."""
        self._last_seconds = now_seconds
        if self._first_seconds is None:
            self._first_seconds = now_seconds
            self._close_at(now_seconds + karpenter.BATCH_IDLE_SECONDS)

    def order(self, pool: LivePool, now_seconds: float, reason: Reason | None = None) -> bool:
        """Order one node; False = the pool's limit or the cloud refuses it."""
        if pool.full or now_seconds < pool.refused_until_seconds:
            return False
        if any(o.begin_seconds <= now_seconds < o.end_seconds for o in pool.settings.outages):
            pool.refused_until_seconds = now_seconds + karpenter.REFUSAL_SECONDS
            pool.books.refusals += 1
            return False
        pool.books.launches += 1
        node = LiveNode(
            name=f"{pool.settings.name}-{pool.books.launches}",
            pool=pool,
            gpus=pool.settings.gpus_per_node,
            ordered_seconds=now_seconds,
            order_reason=reason,
            stage_since_seconds=now_seconds,
            accounted_seconds=now_seconds,
        )
        pool.nodes.append(node)
        start_up = pool.settings.start_up
        seconds, fails = start_up.draw(pool.generator)
        add = self._live.agenda.add
        if fails:
            add(now_seconds + seconds, Turn.NODE, partial(self._fail, node))
            return True
        for stage, share in (
            (NodeStage.LAUNCHED, start_up.launched_share),
            (NodeStage.REGISTERED, start_up.registered_share),
            (NodeStage.INITIALIZED, 1.0),
        ):
            at_seconds = now_seconds + float(round(share * seconds))
            add(at_seconds, Turn.NODE, partial(self._reach, node, stage))
        return True

    def _close_at(self, at_seconds: float) -> None:
        self._live.agenda.add(at_seconds, Turn.KARPENTER, self._close)

    def _close(self, now_seconds: float) -> None:
        assert self._first_seconds is not None
        closes = min(
            self._last_seconds + karpenter.BATCH_IDLE_SECONDS,
            self._first_seconds + karpenter.BATCH_MAX_SECONDS,
        )
        if now_seconds < closes:
            self._close_at(closes)
            return
        self._first_seconds = None
        self._provision(now_seconds)

    def _provision(self, now_seconds: float) -> None:
        """Order what pods need beyond free GPUs and the nodes that are on their way."""
        room: dict[LiveNode, int] = {
            node: node.gpus - node.used_gpus
            for pool in self._live.pools.values()
            for node in pool.nodes
            if not node.leaving and node.tainted_since_seconds is None
        }
        refused = False
        for pod in sorted(self._live.pending, key=lambda p: -p.gpus):
            node = self._room_for(pod, room) or self._order_for(pod, room, now_seconds)
            if node is None:
                refused = True
            else:
                room[node] -= pod.gpus
                node.nominated = True
        if refused:
            again = now_seconds + karpenter.REFUSAL_SECONDS
            self._live.agenda.add(again, Turn.KARPENTER, self._retry)

    def _room_for(self, pod: LivePod, room: dict[LiveNode, int]) -> LiveNode | None:
        of_pools = self._live.nodes_for(pod)
        return next((node for node in of_pools if room.get(node, 0) >= pod.gpus), None)

    def _order_for(
        self, pod: LivePod, room: dict[LiveNode, int], now_seconds: float
    ) -> LiveNode | None:
        for name in pod.pools:
            pool = self._live.pools[name]
            if self.order(pool, now_seconds):
                node = pool.nodes[-1]
                room[node] = node.gpus
                return node
        return None

    def _retry(self, now_seconds: float) -> None:
        if self._live.pending:
            self.pods_wait(now_seconds)

    def _reach(self, node: LiveNode, stage: NodeStage, now_seconds: float) -> None:
        if node.leaving or node.gone:
            return
        node.account(now_seconds)
        node.stage, node.stage_since_seconds = stage, now_seconds
        if stage is NodeStage.INITIALIZED:
            node.pulled_seconds = now_seconds + node.pool.settings.start_up.pull_seconds
            node.empty_since_seconds = now_seconds
            self._initialized(node, now_seconds)

    def _fail(self, node: LiveNode, now_seconds: float) -> None:
        if node.leaving or node.gone:
            return
        node.pool.books.failures += 1
        remove(node, now_seconds)
        self._retry(now_seconds)


def remove(node: LiveNode, now_seconds: float) -> None:
    """The node is gone, and its lifetime is in the books."""
    node.account(now_seconds)
    node.gone = True
    node.pool.nodes.remove(node)
    node.pool.books.gone_gpu_seconds += node.gpus * (now_seconds - node.ordered_seconds)
