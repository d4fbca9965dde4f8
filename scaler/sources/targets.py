"""Where the pods' own metrics pages are: listed by hand, by DNS or by the API server.

A page says nothing of where it came from, so every target carries the labels that a Prometheus
would have put on its samples; that keeps one exporter one exporter (`scaler.sources.series`).
"""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit

from kubernetes_asyncio import client, config

from scaler.errors import SourceMisconfiguredError, SourceUnavailableError
from scaler.sources.access import checked_url
from scaler.sources.scope import Scope

_NO_ADDRESS: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", -5)})
_HTTP_FORBIDDEN: Final = frozenset({401, 403})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One metrics page."""

    url: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The targets of a workload now, and what a person should know of the search."""

    targets: tuple[Target, ...]
    remarks: tuple[str, ...] = ()


class Discovery(Protocol):
    """Finds a workload's targets."""

    async def find(self, scope: Scope) -> Found:
        """Raises SourceError: they could not be looked for."""
        ...

    async def close(self) -> None: ...


class StaticTargets:
    """Addresses from the settings."""

    def __init__(self, *urls: str) -> None:
        self._found = Found(
            targets=tuple(
                Target(url=checked_url(url), labels={"instance": urlsplit(url).netloc})
                for url in urls
            )
        )

    async def find(self, scope: Scope) -> Found:
        return self._found

    async def close(self) -> None:
        return


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsTargets:
    """The addresses behind a name: a headless Service resolves to its ready pods."""

    host: str
    port: int
    path: str = "/metrics"
    scheme: str = "http"

    async def find(self, scope: Scope) -> Found:
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if error.errno in _NO_ADDRESS:
                # A headless Service without a ready pod has no record either.
                return Found(targets=(), remarks=(f"{self.host} has no address",))
            raise SourceUnavailableError(f"looking up {self.host}: {error.strerror}") from error
        addresses = sorted({str(address[0]) for *_, address in answers})
        return Found(targets=tuple(self._target(address) for address in addresses))

    async def close(self) -> None:
        return

    def _target(self, address: str) -> Target:
        return _target(self.scheme, address, self.port, self.path, {})


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
                _target(
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


def _target(scheme: str, address: str, port: int, path: str, labels: Mapping[str, str]) -> Target:
    host = f"[{address}]" if ":" in address else address
    instance = f"{host}:{port}"
    return Target(url=f"{scheme}://{instance}{path}", labels={**labels, "instance": instance})
