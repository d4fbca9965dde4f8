"""Where a pod is bound, as a scheduler does it that packs: to the fullest node with room."""

from math import inf

from policies.situation import NodeStage
from replay.cluster.live import Live, LiveNode, LivePod


class Scheduling:
    """Binds pods that wait and unbinds those that end."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def bind_pending(self, now_seconds: float) -> None:
        """Bind all that have room, the oldest first; a gang as a whole."""
        pending = self._live.pending
        if not pending:
            return
        still: list[LivePod] = []
        gangs: dict[int, list[LivePod]] = {}
        for pod in pending:
            if pod.gang is not None:
                gangs.setdefault(id(pod.gang), []).append(pod)
            elif (node := self._fullest(pod)) is not None:
                self._bind(pod, node, now_seconds)
            else:
                still.append(pod)
        for pods in gangs.values():
            if not self._bind_gang(pods, now_seconds):
                still.extend(pods)
        self._live.pending = still

    def unbind(self, pod: LivePod, now_seconds: float) -> LiveNode | None:
        """Take a pod off its node, or out of the queue; it ends here.

        Returns:
            Its node, where that is empty now.
        """
        node = pod.node
        if node is None:
            self._live.pending.remove(pod)
            pod.waits.add(pod.created_seconds, now_seconds - pod.created_seconds)
            return None
        if now_seconds < pod.served_from_seconds:
            pod.waits.seconds[pod.wait_place] = now_seconds - pod.created_seconds
        node.account(now_seconds)
        node.pod_event(now_seconds)
        node.pod_left(pod, now_seconds)
        node.pods.remove(pod)
        node.used_gpus -= pod.gpus
        pod.node = None
        if pod.gang is None:
            node.pool.service_gpus -= pod.gpus
        if node.used_gpus:
            return None
        node.empty_since_seconds = now_seconds
        return node

    def _fullest(self, pod: LivePod) -> LiveNode | None:
        best, least = None, inf
        for node in self._live.nodes_for(pod):
            free = node.gpus - node.used_gpus
            if pod.gpus <= free < least and node.open:
                best, least = node, free
        return best

    def _bind_gang(self, pods: list[LivePod], now_seconds: float) -> bool:
        gpus = pods[0].gpus
        room = sum(
            (node.gpus - node.used_gpus) // gpus
            for node in self._live.nodes_for(pods[0])
            if node.open
        )
        if room < len(pods):
            return False
        for pod in pods:
            node = self._fullest(pod)
            assert node is not None
            self._bind(pod, node, now_seconds)
        return True

    def _bind(self, pod: LivePod, node: LiveNode, now_seconds: float) -> None:
        assert node.stage is NodeStage.INITIALIZED
        node.account(now_seconds)
        node.pod_event(now_seconds)
        node.pods.append(pod)
        node.used_gpus += pod.gpus
        node.used_ever = True
        node.empty_since_seconds = None
        node.held_until_seconds = -inf
        pod.node = node
        pod.served_from_seconds = max(now_seconds, node.pulled_seconds)
        pod.ready_seconds = pod.served_from_seconds + pod.start_seconds
        wait_seconds = pod.served_from_seconds - pod.created_seconds
        pod.wait_place = pod.waits.add(pod.created_seconds, wait_seconds)
        if pod.gang is None:
            node.pool.service_gpus += pod.gpus
