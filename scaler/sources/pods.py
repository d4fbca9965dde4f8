"""The pods' own metrics pages, found through the API server.

This is a separate module because only it needs the Kubernetes client, an import of 70 MiB.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import quote

from kubernetes_asyncio import client

from fleet.cluster.follow.api import Resource, UnreadableError, pages
from fleet.cluster.follow.clients import ClusterUnreachableError, connected_from_here
from fleet.cluster.kinds import Kind, record_of
from fleet.cluster.pods import Pod
from scaler.errors import SourceMisconfiguredError, SourceUnavailableError
from scaler.limits import Limit, exceeded
from scaler.scope import Scope
from scaler.sources.held_bytes import HELD, HELD_BYTES_MAX
from scaler.sources.refused_time import RefusedTime
from scaler.sources.selector import narrowing
from scaler.sources.targets import DiscoveredTargets, target_at

_HTTP_FORBIDDEN: Final = frozenset({401, 403})
LIST_BYTES_MAX: Final = 32 * 2**20
"""Of the pods of one workload: a thousand of them, of which each has managed fields of 20 KiB."""
_LONG_BYTES: Final = 2**20
_POD_BYTES: Final = 2**15
"""Of a list and of each pod in it, that count nothing."""
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


@dataclass(slots=True)
class _PodsBudget:
    """What one list takes: a pod may have a megabyte, and needs no node to be listed."""

    owner: str
    """Whose share of the process's memory it is."""
    received_bytes: int = 0
    thread_seconds: float = 0.0
    pods: int = 0
    held_bytes: int = 0

    def received(self, count: int) -> None:
        """As `ListBudget` has it."""
        self.received_bytes += count
        if self.received_bytes > LIST_BYTES_MAX:
            exceeded(Limit.PODS_BYTES)
            raise UnreadableError(f"pods of over {LIST_BYTES_MAX} bytes")
        more = self.received_bytes - _LONG_BYTES - self.held_bytes
        if more > 0:
            self.held_bytes += more
            if not HELD.take(self.owner, more):
                exceeded(Limit.ANSWERS_OF_ALL)
                what = f"with answers and pages over {HELD_BYTES_MAX} bytes at a time"
                raise UnreadableError(what)

    def parsed(self, thread_seconds: float) -> None:
        """As `ListBudget` has it."""
        self.thread_seconds += thread_seconds

    def let_go(self) -> None:
        if self.held_bytes:
            HELD.give_back(self.owner, self.held_bytes)


@dataclass(slots=True, kw_only=True)
class PodTargets:
    """The ready pods of the workload's namespace that carry its labels."""

    port: int
    path: str = "/metrics"
    scheme: str = "http"
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that every such pod has, in addition to the trigger's own."""
    api: client.ApiClient | None = None
    """None: the cluster that Foresail runs in, else kubectl's current one."""
    refused_time: RefusedTime = field(default_factory=RefusedTime)
    """Shared by the sources of a process."""

    def required_labels(self, scope: Scope, reserved: Mapping[str, str]) -> Mapping[str, str]:
        """None: the trigger's labels choose pods, and a pod's page holds its own series alone."""
        narrowing(scope, reserved)
        self._selected(scope)
        return {}

    async def find(self, scope: Scope) -> DiscoveredTargets:
        namespace, selector = self._selected(scope)
        listed = await self._pods(namespace, selector)
        # Checks the namespace again: a pod of another one must never be read.
        pods = [pod for pod in listed if pod.namespace == namespace]
        serving = [pod for pod in pods if self._serves(pod)]
        waiting = len(pods) - len(serving)
        remarks = [f"{waiting} of {len(pods)} pods not ready or ending"] if waiting else []
        if not pods:
            remarks.append(f"no pod in namespace {namespace!r} with {selector}")
        return DiscoveredTargets(
            targets=tuple(
                target_at(
                    self.scheme,
                    pod.ip,
                    self.port,
                    self.path,
                    {"namespace": namespace, "pod": pod.name.partition("/")[2]},
                )
                for pod in serving
                if pod.ip is not None
            ),
            remarks=tuple(remarks),
        )

    async def close(self) -> None:
        if self.api is not None:
            await self.api.close()

    def _selected(self, scope: Scope) -> tuple[str, str]:
        """The namespace to list pods in, and the label selector.

        Raises:
            SourceMisconfiguredError: the scope cannot be asked for.
        """
        reserved = dict.fromkeys(self.labels, "a label of the operator")
        labels = {**narrowing(scope, reserved), **self.labels}
        if scope.namespace is None or not labels:
            given = "no labels" if scope.namespace else "no namespace"
            raise SourceMisconfiguredError(
                f"pods are found by namespace and labels; the trigger gives {given}"
            )
        for label, value in labels.items():
            # In the text of a selector a value with a comma would begin another condition.
            if not _LABEL_VALUE.fullmatch(value):
                raise SourceMisconfiguredError(f"label {label!r}: {value!r} is no label value")
        return scope.namespace, ",".join(f"{key}={labels[key]}" for key in sorted(labels))

    def _serves(self, pod: Pod) -> bool:
        return (
            pod.ready
            and pod.deleted_seconds is None
            and pod.ip is not None
            # A pod on the host's network has the node's address. Where it declares the port, no
            # second pod on its node can; else it would read the page of another tenant's pod.
            and (not pod.host_network or self.port in pod.ports)
        )

    @contextmanager
    def _budget(self, namespace: str) -> "Iterator[_PodsBudget]":
        """What one list may take; what it took beyond what engines' pods do counts."""
        budget = _PodsBudget(f"pages of {namespace}")
        try:
            yield budget
        finally:
            budget.let_go()
            if budget.received_bytes > _LONG_BYTES + budget.pods * _POD_BYTES:
                now = asyncio.get_running_loop().time()
                self.refused_time.add(
                    namespace, budget.thread_seconds, budget.received_bytes, now_seconds=now
                )

    async def _pods(self, namespace: str, selector: str) -> list[Pod]:
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods"
        try:
            if self.api is None:
                self.api = await connected_from_here()
            with self._budget(namespace) as budget:
                found, _ = await pages(
                    Resource(
                        client=self.api,
                        path=path,
                        label_selector=selector,
                        record_of=partial(record_of, Kind.POD),
                        from_cache=True,  # this call is frequent
                        budget=budget,
                    )
                )
                budget.pods = len(found)
        except ClusterUnreachableError as error:
            raise SourceMisconfiguredError(f"the API server cannot be reached: {error}") from error
        except UnreadableError as error:
            message = f"listing pods in {namespace!r}: {str(error).removeprefix(f'{path}: ')}"
            if error.status in _HTTP_FORBIDDEN:
                raise SourceMisconfiguredError(message) from error
            raise SourceUnavailableError(message) from error
        return [one for one in found if isinstance(one, Pod)]
