"""The nodes under a fleet's replicas, with Karpenter's timing.

A replica that finds a free GPU on a node that runs already skips all that a node does once: it
launches, its driver comes up, the image is pulled. So what a rule lets go and soon wants again is
cheap or dear by how long an empty node is kept, and that is what `NodePool` says. The constants are
Karpenter's (`replay.cluster.karpenter`): pods are batched for a second before a launch, an empty
node is looked for every 10 s, and after `consolidateAfter` its emptiness is validated for 15 s more
before a drain of 5 s at least. A launch that the cloud refuses is tried again when the refusal is
forgotten, after three minutes.

`replay.cluster` is the larger model, with node policies, several pools and budgets. Left out here:
replacing a node by a smaller one, drift, spot interruptions, several instance types.
"""

from dataclasses import dataclass
from math import ceil, inf

from replay.cluster.karpenter import (
    BATCH_IDLE_SECONDS,
    DRAIN_SECONDS,
    LOOP_SECONDS,
    REFUSAL_SECONDS,
    VALIDATION_SECONDS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePool:
    """What of a Karpenter NodePool decides here."""

    gpus_per_node: int = 1
    consolidate_after_seconds: float = 0.0
    """An empty node is let go after it; Karpenter's default."""


@dataclass(slots=True, kw_only=True, eq=False)
class Node:
    """One node, from its launch on."""

    launched_seconds: float
    ready_seconds: float
    """Image and all: a pod that is bound from then on has its own stages only."""
    free_gpus: int
    closing_seconds: float = inf
    """From then on nothing is bound to it any more."""

    @property
    def gone_seconds(self) -> float:
        return self.closing_seconds + DRAIN_SECONDS


class Nodes:
    """Nodes that run, and the time that those which ran have taken."""

    def __init__(self, pool: NodePool) -> None:
        self.pool = pool
        self.launched = 0
        self._nodes: list[Node] = []
        self._gone_seconds = 0.0

    def bind(
        self,
        gpus: int,
        now_seconds: float,
        *,
        node_seconds: float,
        refused_until_seconds: float = -inf,
    ) -> Node:
        """The node for a replica that is ordered now; launched where no GPU is free.

        Of those with room a node that is ready goes before one that starts, and of the ready ones
        the fullest, as a scheduler does that packs.

        Args:
            node_seconds: from launch to ready, should one be launched.
            refused_until_seconds: the end of a shortage.
        """
        self._forget(now_seconds)
        open_now = [
            node
            for node in self._nodes
            if node.free_gpus >= gpus and now_seconds < node.closing_seconds
        ]
        if open_now:
            node = min(open_now, key=lambda n: (max(n.ready_seconds, now_seconds), n.free_gpus))
            node.closing_seconds = inf
        else:
            refused = max(0.0, refused_until_seconds - now_seconds)
            tried_again = ceil(refused / REFUSAL_SECONDS) * REFUSAL_SECONDS
            node = self._launch(now_seconds + BATCH_IDLE_SECONDS + tried_again, node_seconds)
        node.free_gpus -= gpus
        return node

    def found(self, gpus: int) -> Node:
        """The node of a replica that was there at second 0."""
        node = next((n for n in self._nodes if n.free_gpus >= gpus), None) or self._launch(0.0, 0.0)
        node.free_gpus -= gpus
        return node

    def release(self, node: Node, gpus: int, now_seconds: float) -> None:
        """A replica is gone from its node; an empty one is let go in Karpenter's time."""
        node.free_gpus += gpus
        if node.free_gpus < self.pool.gpus_per_node:
            return
        if now_seconds < node.launched_seconds:
            self._nodes.remove(node)  # nobody waits for it any more: it is never launched
            return
        # What is not initialized yet is no candidate.
        empty_seconds = max(now_seconds, node.ready_seconds)
        consolidatable = empty_seconds + self.pool.consolidate_after_seconds
        looked_at = ceil(consolidatable / LOOP_SECONDS) * LOOP_SECONDS
        node.closing_seconds = looked_at + VALIDATION_SECONDS

    def seconds(self, now_seconds: float) -> float:
        """Node-seconds so far, from launch to the end of the drain."""
        return self._gone_seconds + sum(_lifetime(node, now_seconds) for node in self._nodes)

    def _launch(self, at_seconds: float, node_seconds: float) -> Node:
        node = Node(
            launched_seconds=at_seconds,
            ready_seconds=at_seconds + node_seconds,
            free_gpus=self.pool.gpus_per_node,
        )
        self.launched += 1
        self._nodes.append(node)
        return node

    def _forget(self, now_seconds: float) -> None:
        gone = [node for node in self._nodes if node.gone_seconds <= now_seconds]
        for node in gone:
            self._gone_seconds += _lifetime(node, now_seconds)
            self._nodes.remove(node)


def _lifetime(node: Node, now_seconds: float) -> float:
    return max(0.0, min(now_seconds, node.gone_seconds) - node.launched_seconds)
