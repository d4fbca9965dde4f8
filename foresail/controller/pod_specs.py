"""The edge: the spec of a real pod of each pool, after which buffers and placeholders are made.

Records of pods leave out most of a spec, so one pod of a pool is read whole, one that waits where
none runs; again only when that pod is gone. A pool without pods keeps the last one.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import structlog
from kubernetes_asyncio.client import ApiClient

from fleet.cluster.fields import Json, part
from fleet.cluster.follow.api import UnreadableError, document_at
from policies.situation import PoolState

log = structlog.get_logger()

_POOLS_MAX: Final = 256


class PodSpecs:
    """The specs that were read, by pool."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._read: dict[str, tuple[str, Json]] = {}
        """The pod's UID and its spec."""

    async def of(self, pools: Iterable[PoolState]) -> Mapping[str, Json]:
        """The spec of a pod of each pool, by the pool's name."""
        for pool in pools:
            pods = {pod.uid: pod.name for node in pool.nodes for pod in node.pods}
            if not pods and pool.waiting_pod is not None:
                pods = dict([pool.waiting_pod])
            known = self._read.get(pool.name)
            if pods and (known is None or known[0] not in pods):
                await self._look(pool.name, *max(pods.items()))
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
