"""The node object behind the API server: one annotation, by server-side apply.

It has a field manager of its own and never forces: if another one writes the annotation, the error
names it and nothing is overwritten.
"""

import json
from typing import Final

from kubernetes_asyncio import client, config
from kubernetes_asyncio.client import ApiClient

from fleet.annotations import REPORT
from fleet.cluster.follow.clients import ClusterUnreachableError, connected_from_here
from scheduler.agent.rounds import NodeRefusedError
from scheduler.object_names import is_object_name

MANAGER: Final = "foresail-agent"
_TIMEOUT_SECONDS: Final = 10.0
_MESSAGE_LENGTH_MAX: Final = 512
_REMEDIES: Final = {
    401: "the service account's token is not taken",
    403: "the account needs patch on nodes, and a pod may change its own node only",
    404: "is it the node's name, and not the host's?",
    409: f"another field manager writes {REPORT}: remove its copy, then this one is taken",
}


class ApiNode:
    """One node of the cluster we run in, else of the one kubectl talks to."""

    def __init__(self, name: str, api: ApiClient | None = None) -> None:
        self._name = name
        self._api = api

    async def write(self, report: str) -> None:
        """Set the annotation.

        Raises:
            NodeRefusedError: it is not set.
        """
        if not is_object_name(self._name):
            raise NodeRefusedError(f"node {self._name!r}: a node's name is a DNS subdomain")
        applied = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self._name, "annotations": {REPORT: report}},
        }
        try:
            if self._api is None:
                self._api = await connected_from_here()
            await client.CoreV1Api(self._api).patch_node(  # type: ignore[call-arg]  # in no stub
                self._name,
                applied,
                field_manager=MANAGER,
                _content_type="application/apply-patch+yaml",
                _request_timeout=_TIMEOUT_SECONDS,
            )
        except (ClusterUnreachableError, config.ConfigException) as error:
            raise NodeRefusedError(f"the API server cannot be reached: {error}") from error
        except client.ApiException as error:
            message = f"node {self._name}: HTTP {error.status}: {_message(error)}"
            remedy = _REMEDIES.get(error.status)
            raise NodeRefusedError(f"{message} ({remedy})" if remedy else message) from error
        except (OSError, TimeoutError) as error:
            reason = str(error) or "timed out"
            raise NodeRefusedError(f"node {self._name}: no answer: {reason}") from error

    async def close(self) -> None:
        if self._api is not None:
            await self._api.close()


def _message(error: client.ApiException) -> str:
    """The message of the API server's Status object."""
    try:
        return str(json.loads(error.body or "")["message"])[:_MESSAGE_LENGTH_MAX]
    except (KeyError, TypeError, ValueError):
        return str(error.reason)
