"""What `foresail lint --live` reads: lists of the kinds that rules know, and nothing is written.

ConfigMaps and Secrets are not listed, so a scheduler's configuration is linted from its file.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fleet.cluster.fields import Json
from fleet.cluster.follow.api import Resource, UnreadableError, pages
from fleet.cluster.follow.clients import ClusterUnreachableError, connected
from fleet.documents import listed, part, text
from foresail.gpus.options import IN_CLUSTER, FleetOptions, clusters
from policies.lint.objects import Object
from scaler.errors import ForesailError

_AT_ONCE: Final = 4
_PATHS: Final[Mapping[str, tuple[str, str]]] = {
    # path of the collection → API version and kind of its objects
    "/apis/keda.sh/v1alpha1/scaledobjects": ("keda.sh/v1alpha1", "ScaledObject"),
    "/apis/keda.sh/v1alpha1/scaledjobs": ("keda.sh/v1alpha1", "ScaledJob"),
    "/apis/keda.sh/v1alpha1/triggerauthentications": ("keda.sh/v1alpha1", "TriggerAuthentication"),
    "/apis/keda.sh/v1alpha1/clustertriggerauthentications": (
        "keda.sh/v1alpha1",
        "ClusterTriggerAuthentication",
    ),
    "/apis/autoscaling/v2/horizontalpodautoscalers": ("autoscaling/v2", "HorizontalPodAutoscaler"),
    "/apis/autoscaling.k8s.io/v1/verticalpodautoscalers": (
        "autoscaling.k8s.io/v1",
        "VerticalPodAutoscaler",
    ),
    "/apis/foresail.io/v1alpha1/capacitypolicies": ("foresail.io/v1alpha1", "CapacityPolicy"),
    "/apis/kagent.dev/v1alpha2/agents": ("kagent.dev/v1alpha2", "Agent"),
    "/apis/milvus.io/v1beta1/milvuses": ("milvus.io/v1beta1", "Milvus"),
    "/apis/karpenter.sh/v1/nodepools": ("karpenter.sh/v1", "NodePool"),
    "/apis/karpenter.sh/v1/nodeclaims": ("karpenter.sh/v1", "NodeClaim"),
    "/apis/autoscaling.x-k8s.io/v1beta1/capacitybuffers": (
        "autoscaling.x-k8s.io/v1beta1",
        "CapacityBuffer",
    ),
    "/apis/apps/v1/deployments": ("apps/v1", "Deployment"),
    "/apis/apps/v1/statefulsets": ("apps/v1", "StatefulSet"),
    "/apis/leaderworkerset.x-k8s.io/v1/leaderworkersets": (
        "leaderworkerset.x-k8s.io/v1",
        "LeaderWorkerSet",
    ),
    "/apis/policy/v1/poddisruptionbudgets": ("policy/v1", "PodDisruptionBudget"),
    "/apis/scheduling.k8s.io/v1/priorityclasses": ("scheduling.k8s.io/v1", "PriorityClass"),
    "/apis/resource.k8s.io/v1/resourceclaimtemplates": (
        "resource.k8s.io/v1",
        "ResourceClaimTemplate",
    ),
    "/apis/resource.k8s.io/v1/deviceclasses": ("resource.k8s.io/v1", "DeviceClass"),
    "/api/v1/podtemplates": ("v1", "PodTemplate"),
    "/api/v1/services": ("v1", "Service"),
    "/api/v1/nodes": ("v1", "Node"),
}
PATHS: Final = tuple(_PATHS)
AGENT_PATHS: Final[Mapping[str, tuple[str, str]]] = {
    "/apis/kagent.dev/v1alpha2/agents": ("kagent.dev/v1alpha2", "Agent"),
    "/apis/kagent.dev/v1alpha2/modelconfigs": ("kagent.dev/v1alpha2", "ModelConfig"),
    "/apis/kagent.dev/v1alpha3/agents": ("kagent.dev/v1alpha3", "Agent"),
    "/apis/kagent.dev/v1alpha3/agenttemplates": ("kagent.dev/v1alpha3", "AgentTemplate"),
    "/apis/kagent.dev/v1alpha3/modelconfigs": ("kagent.dev/v1alpha3", "ModelConfig"),
    "/apis/gateway.networking.k8s.io/v1/httproutes": (
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
    ),
    "/apis/inference.networking.k8s.io/v1/inferencepools": (
        "inference.networking.k8s.io/v1",
        "InferencePool",
    ),
    **{
        path: _PATHS[path]
        for path in (
            "/apis/keda.sh/v1alpha1/scaledobjects",
            "/apis/autoscaling/v2/horizontalpodautoscalers",
            "/apis/apps/v1/deployments",
            "/apis/apps/v1/statefulsets",
            "/api/v1/services",
        )
    },
}
"""What agents call, and through what."""
_CRON_JOBS: Final = "/apis/batch/v1/cronjobs"
_SYSTEM: Final = "system-"
"""Prefix of Kubernetes' own priority classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveObjects:
    """What a cluster has, as far as it may be listed."""

    objects: list[Object]
    failed: list[str]
    """Each list that could not be read, and why."""
    complete: frozenset[str]
    """Types whose list was read, or that the cluster does not have."""


async def read_live(
    context: str | None, kubeconfig: Path | None, paths: Mapping[str, tuple[str, str]] = _PATHS
) -> LiveObjects:
    """The objects of a cluster, by default the current one.

    Args:
        context: of the cluster; None = the current one.
        kubeconfig: in place of the usual one.
        paths: collections, with the API version and kind of their objects; one that the cluster
            does not have is empty.

    Raises:
        ForesailError: the cluster cannot be reached, or no kind can be listed.
    """
    client, name = await _connected(context, kubeconfig)
    slots = asyncio.Semaphore(_AT_ONCE)
    async with client:

        async def tried(path: str) -> list[Object] | UnreadableError:
            async with slots:
                return await _listed(client, path, paths[path], name)

        answers = await asyncio.gather(*(tried(path) for path in paths))
    failed = {
        path: str(answer)
        for path, answer in zip(paths, answers, strict=True)
        if isinstance(answer, UnreadableError) and not answer.absent
    }
    if len(failed) == len(paths):
        raise ForesailError(f"nothing of {name} can be read: {next(iter(failed.values()))}")
    return LiveObjects(
        objects=[one for answer in answers if isinstance(answer, list) for one in answer],
        failed=list(failed.values()),
        complete=frozenset(_type_of(*paths[path]) for path in paths if path not in failed),
    )


def _type_of(api: str, kind: str) -> str:
    """As rules name it."""
    group, slash, _ = api.rpartition("/")
    return f"{group}/{kind}" if slash else kind


async def read_cron_jobs(context: str | None, kubeconfig: Path | None) -> list[Object]:
    """The CronJobs of a cluster, by default the current one.

    Raises:
        ForesailError: the cluster cannot be reached, or does not let them be listed.
    """
    client, name = await _connected(context, kubeconfig)
    async with client:
        answer = await _listed(client, _CRON_JOBS, ("batch/v1", "CronJob"), name)
    if isinstance(answer, UnreadableError):
        raise ForesailError(f"CronJobs of {name} cannot be read: {answer}")
    return answer


async def _connected(context: str | None, kubeconfig: Path | None) -> tuple[Any, str]:
    contexts = (context,) if context else ()
    (name,) = clusters(FleetOptions(contexts=contexts, kubeconfig=kubeconfig))
    try:
        client = await (connected(None) if name == IN_CLUSTER else connected(name, kubeconfig))
    except ClusterUnreachableError as error:
        raise ForesailError(f"no cluster to read: {error}") from error
    return client, name


async def _listed(
    client: Any, path: str, api_and_kind: tuple[str, str], cluster: str
) -> list[Object] | UnreadableError:
    """The objects behind a path; an error as a value, so that one kind costs no other its time."""
    documents: list[Json] = []

    def keep(document: Json) -> None:
        documents.append(document)

    try:
        await pages(Resource(client=client, path=path, record_of=keep))
    except UnreadableError as error:
        return error
    api, kind = api_and_kind
    group, slash, version = api.rpartition("/")
    return [
        Object(
            group=group if slash else "",
            version=version,
            kind=kind,
            namespace=text(part(one, "metadata"), "namespace") or "",
            name=text(part(one, "metadata"), "name") or "",
            value=one,
            file=cluster,
        )
        for one in documents
        if not _is_made(one, kind)
    ]


def _is_made(document: Json, kind: str) -> bool:
    """Whether a controller or Kubernetes itself made it: nobody could mend it."""
    metadata = part(document, "metadata")
    if kind == "PriorityClass":
        return (text(metadata, "name") or "").startswith(_SYSTEM)
    owned = any(one.get("controller") is True for one in listed(metadata, "ownerReferences"))
    return owned and kind == "PodTemplate"
