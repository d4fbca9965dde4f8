"""The pods' own metrics pages, found by the API server.

A module of its own because the Kubernetes client is a large import, and only this needs it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kubernetes_asyncio import client, config

from scaler.errors import SourceMisconfiguredError, SourceUnavailableError
from scaler.sources.scope import Scope
from scaler.sources.targets import Found, target_at

_HTTP_FORBIDDEN: Final = frozenset({401, 403})


@dataclass(slots=True, kw_only=True)
class PodTargets:
    """The ready pods of the workload's namespace that carry its labels."""

    port: int
    path: str = "/metrics"
    scheme: str = "http"
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels every such pod has, with the trigger's own."""
    timeout_seconds: float = 5.0
    api: client.ApiClient | None = None
    """None: the cluster we run in, else the one kubectl talks to."""

    async def find(self, scope: Scope) -> Found:
        labels = {**scope.labels, **self.labels}
        if scope.namespace is None or not labels:
            given = "no labels" if scope.namespace else "no namespace"
            raise SourceMisconfiguredError(
                f"pods are found by namespace and labels; the trigger gives {given}"
            )
        selector = ",".join(f"{label}={value}" for label, value in sorted(labels.items()))
        pods = await self._pods(scope.namespace, selector)
        serving = [pod for pod in pods if _serves(pod)]
        waiting = len(pods) - len(serving)
        remarks = [f"{waiting} of {len(pods)} pods not ready or ending"] if waiting else []
        if not pods:
            remarks.append(f"no pod in namespace {scope.namespace!r} with {selector}")
        return Found(
            targets=tuple(
                target_at(
                    self.scheme,
                    pod.status.pod_ip,
                    self.port,
                    self.path,
                    {"namespace": scope.namespace, "pod": pod.metadata.name},
                )
                for pod in serving
            ),
            remarks=tuple(remarks),
        )

    async def close(self) -> None:
        if self.api is not None:
            await self.api.close()

    async def _pods(self, namespace: str, selector: str) -> list[client.V1Pod]:
        try:
            if self.api is None:
                self.api = await _connected()
            answer = await client.CoreV1Api(self.api).list_namespaced_pod(
                namespace,
                label_selector=selector,
                # From the API server's cache: we ask often, and a second late is early enough.
                resource_version="0",
                _request_timeout=self.timeout_seconds,
            )
        except config.ConfigException as error:
            raise SourceMisconfiguredError(f"no way to the API server: {error}") from error
        except client.ApiException as error:
            said = f"listing pods in {namespace!r}: HTTP {error.status} {error.reason}"
            if error.status in _HTTP_FORBIDDEN:
                raise SourceMisconfiguredError(f"{said}; grant get and list on pods") from error
            raise SourceUnavailableError(said) from error
        except (OSError, TimeoutError) as error:
            raise SourceUnavailableError(f"listing pods in {namespace!r}: {error}") from error
        pods: list[client.V1Pod] = answer.items
        return pods


async def _connected() -> client.ApiClient:
    settings = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        await config.load_kube_config(client_configuration=settings)
    return client.ApiClient(settings)


def _serves(pod: client.V1Pod) -> bool:
    ready = any(
        condition.type == "Ready" and condition.status == "True"
        for condition in pod.status.conditions or ()
    )
    return ready and pod.metadata.deletion_timestamp is None and bool(pod.status.pod_ip)
