"""RayClusters and RayServices at the API server: groups are read, and `minReplicas` is set."""

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from kubernetes_asyncio.client import ApiClient

from fleet.cluster.fields import UnreadableObjectError
from fleet.cluster.follow.api import UnreadableError, document_at
from foresail.api.change_executor import ChangeExecutor, Ending, Retries
from foresail.ray.groups import (
    GroupTarget,
    SetLeast,
    WorkerGroup,
    active_cluster_of,
    change_of,
    group_of,
)
from scaler.errors import ForesailError
from scaler.message_text import limited

_OF_A_PATH: Final = frozenset("/?#%")
"""In a name they would lead to another object, perhaps of another namespace."""


class RayGroupError(ForesailError):
    """No answer this time, or one that cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayClusters:
    """The Ray objects of one cluster."""

    client: ApiClient
    retries: Retries = field(default_factory=Retries)

    async def group(self, target: GroupTarget) -> WorkerGroup | None:
        """The worker group; None where there is none of that name, or no object.

        A RayService keeps the counts of its active RayCluster out of its comparison, so a change
        of its own spec would change no cluster: the active one is the one to change.

        Raises:
            RayGroupError: no answer, or none that can be read.
        """
        base = f"/apis/ray.io/v1/namespaces/{target.namespace}"
        try:
            cluster: str | None = target.owner
            if target.of_service:
                service = await document_at(self.client, f"{base}/rayservices/{target.owner}")
                cluster = active_cluster_of(service)
            if cluster is None:
                raise RayGroupError(f"RayService {target.owner} has no active RayCluster")
            if _OF_A_PATH.intersection(cluster):
                message = f"RayService {target.owner}: its status names no RayCluster: {cluster!r}"
                raise RayGroupError(limited(message))
            found = await document_at(self.client, f"{base}/rayclusters/{cluster}")
            return group_of(found, target.group)
        except UnreadableError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise RayGroupError(str(error)) from error
        except UnreadableObjectError as error:
            raise RayGroupError(f"{target}: {error}") from error

    async def set_least(self, group: WorkerGroup, wanted: SetLeast, workload: str) -> None:
        """Set `minReplicas`.

        Raises:
            RayGroupError: it was refused, or the object is another one now.
        """
        executor = ChangeExecutor(client=self.client, retries=self.retries)
        (outcome,) = await executor.carry_out([change_of(group, wanted, workload)])
        if outcome.ending is not Ending.DONE:
            raise RayGroupError(f"{outcome.ending.value}: {outcome.text}")
