"""The edge: the spec of a real pod of each pool, after which buffers and placeholders are made.

Records of pods leave out most of a spec, so one pod of a pool is read whole, one that waits where
none runs; again only when that pod is gone, or a better one has come. A pool without pods keeps the
last one. Nodes are ordered ahead for replicas of what the policy is about: those come first, and
pods of gangs and of DaemonSets last.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import structlog
from kubernetes_asyncio.client import ApiClient

from fleet.cluster.fields import Json, part
from fleet.cluster.follow.api import UnreadableError, document_at
from fleet.cluster.owners import Workload
from policies.situation import NodePod, PoolState

log = structlog.get_logger()

_POOLS_MAX: Final = 256
_SCALED: Final = frozenset({"Deployment", "ReplicaSet"})


class PodSpecs:
    """The specs that were read, by pool."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._read: dict[str, tuple[str, Json]] = {}
        """The pod's UID and its spec."""

    async def of(self, pools: Iterable[PoolState]) -> Mapping[str, Json]:
        """The spec of a pod of each pool, by the pool's name."""
        for pool in pools:
            known = self._read.get(pool.name)
            found = pod_to_read(pool, known[0] if known is not None else None)
            if found is not None:
                await self._look(pool.name, *found)
        while len(self._read) > _POOLS_MAX:
            del self._read[next(iter(self._read))]
        return {pool: spec for pool, (_, spec) in self._read.items()}

    async def _look(self, pool: str, uid: str, name: str) -> None:
        namespace, _, bare = name.partition("/")
        try:
            document = await document_at(
                self._client, f"/api/v1/namespaces/{namespace}/pods/{bare}"
            )
        except UnreadableError as error:
            log.warning("pod_not_read", pool=pool, why=str(error))
            return
        self._read[pool] = (uid, part(document, "spec"))


def pod_to_read(pool: PoolState, known: str | None) -> tuple[str, str] | None:
    """UID and name of the pod to read for a pool; None = there is none, or it was read.

    Args:
        pool: as its policy sees it.
        known: UID of the pod that was read last; None = none was.
    """
    gangs = {gang.workload for gang in pool.gangs}
    pods = {pod.uid: (_worth(pod, gangs), pod.name) for node in pool.nodes for pod in node.pods}
    if not pods:
        waiting = pool.waiting_pod
        return None if waiting is None or waiting[0] == known else waiting
    worth, uid = max((worth, uid) for uid, (worth, _) in pods.items())
    if known in pods and pods[known][0] == worth:
        return None
    return uid, pods[uid][1]


def _worth(pod: NodePod, gangs: Collection[Workload]) -> tuple[bool, bool, bool]:
    """The more, the more it is as the next pods of the pool will be."""
    kind = pod.workload.kind if pod.workload is not None else ""
    single = pod.workload not in gangs and kind != "DaemonSet"
    return pod.covered, single, kind in _SCALED
