"""Asks the API server what the levers can work with, and lists the objects that they made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from kubernetes_asyncio.client import ApiClient

from fleet.cluster.fields import Json, UnreadableObjectError, listed, part, strings, text
from fleet.cluster.follow.api import UnreadableError, document_at
from fleet.cluster.reading import Cluster
from policies.levers.change import Address
from policies.levers.discovery import (
    BUFFER_GROUP,
    BUFFER_VERSION,
    KARPENTER_GROUP,
    Discovery,
    is_auto_mode,
    orders_for_claims,
)
from policies.levers.marks import MANAGED_BY, OURS
from policies.levers.objects import (
    PRIORITY_CLASS,
    MadeObject,
    buffer_address,
    deployment_address,
    made_object_of,
    template_address,
)
from scaler.errors import ForesailError

_BUFFERS: Final = f"/apis/{BUFFER_GROUP}/{BUFFER_VERSION}"
_KARPENTER: Final = f"/apis/{KARPENTER_GROUP}/v1"
_REFUSES_CLAIMS: Final = "Dynamic Resource Allocation requirements that are not yet supported"
"""In Karpenter's event on a pod with ResourceClaims."""
_EVENTS_MAX: Final = "500"


@dataclass(slots=True)
class _Findings:
    """What was asked, and what could not be read."""

    client: ApiClient
    not_read: list[str]

    async def ask(self, path: str, query: Mapping[str, str] | None = None) -> Json | None:
        """A document; None = it is not there, or cannot be read, which is noted."""
        try:
            return await document_at(self.client, path, query)
        except UnreadableError as error:
            if not error.absent:
                self.not_read.append(str(error))
            return None


async def discover(client: ApiClient, cluster: Cluster) -> Discovery:
    """What the cluster can do; what cannot be found out is named, and counts as not there."""
    found = _Findings(client, [])
    pods, claims = cluster.pods or (), cluster.node_claims or ()
    refused = any(pod.claims or pod.claims_to_come for pod in pods) and await _refuses(found)
    return Discovery(
        capacity_buffers="capacitybuffers" in _served(await found.ask(_BUFFERS)),
        pool_scale="nodepools/scale" in _served(await found.ask(_KARPENTER)),
        karpenter_version=await _version(found),
        orders_for_claims=orders_for_claims(claims, refused=refused),
        ranks_pods=any(pod.ranked_by_karpenter for pod in pods),
        auto_mode=is_auto_mode(cluster.node_pools or ()),
        not_read=tuple(found.not_read),
    )


async def made_objects(client: ApiClient, namespace: str) -> tuple[MadeObject, ...]:
    """Everything of the kinds that levers make, in a namespace; others' objects too.

    Raises:
        ForesailError: a list cannot be had: without it, what is ours would be made again.
    """
    found: list[MadeObject] = []
    for address_of in (buffer_address, template_address, deployment_address):
        found += await _listed(client, namespace, address_of)
    try:
        shared = await document_at(client, PRIORITY_CLASS.path)
        found.append(made_object_of(PRIORITY_CLASS, shared))
    except UnreadableError as error:
        if not error.absent:
            raise ForesailError(f"levers: {error}") from error
    except UnreadableObjectError as error:
        raise ForesailError(f"levers: {PRIORITY_CLASS}: {error}") from error
    return tuple(found)


async def made_elsewhere(client: ApiClient, namespace: str) -> tuple[MadeObject, ...]:
    """What of ours keeps nodes from another namespace: buffers and placeholders.

    Raises:
        ForesailError: a list cannot be had.
    """
    query = {"labelSelector": f"{MANAGED_BY}={OURS}"}
    found: list[MadeObject] = []
    for address_of in (buffer_address, deployment_address):
        found += await _listed(client, "", address_of, query)
    return tuple(one for one in found if one.ours and one.address.namespace != namespace)


async def _listed(
    client: ApiClient,
    namespace: str,
    address_of: Callable[[str, str], Address],
    query: Mapping[str, str] | None = None,
) -> list[MadeObject]:
    """Of a kind, in a namespace; an empty one = in all."""
    path = address_of(namespace, "").path.rstrip("/")
    try:
        answer = await document_at(client, path, query)
        return [
            made_object_of(address_of(namespace or _name(one, "namespace"), _name(one)), one)
            for one in listed(answer, "items")
        ]
    except UnreadableError as error:
        if error.absent:
            return []
        raise ForesailError(f"levers: {error}") from error
    except UnreadableObjectError as error:
        raise ForesailError(f"levers: {path}: {error}") from error


def _name(document: Json, field: str = "name") -> str:
    return text(part(document, "metadata"), field) or ""


def _served(group: Json | None) -> frozenset[str]:
    """The resources of a group."""
    return frozenset(text(one, "name") or "" for one in listed(group or {}, "resources"))


async def _version(found: _Findings) -> str | None:
    selector = {"labelSelector": "app.kubernetes.io/name=karpenter"}
    answer = await found.ask("/apis/apps/v1/deployments", selector)
    for one in listed(answer or {}, "items"):
        version = strings(part(one, "metadata"), "labels").get("app.kubernetes.io/version")
        if version:
            return version
    return None


async def _refuses(found: _Findings) -> bool:
    """Whether Karpenter has said of a pod that it buys no node for its claims."""
    query = {"fieldSelector": "reason=FailedScheduling", "limit": _EVENTS_MAX}
    answer = await found.ask("/api/v1/events", query)
    return any(
        _REFUSES_CLAIMS in (text(one, "message") or "") for one in listed(answer or {}, "items")
    )
