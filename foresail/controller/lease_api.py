"""The Lease of an election in the API server."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from kubernetes_asyncio.client import ApiClient
from kubernetes_asyncio.config import ConfigException

from fleet.annotations import SPENT
from fleet.cluster.fields import (
    Json,
    UnreadableObjectError,
    part,
    seconds,
    text,
    whole_number,
)
from foresail.controller.election import LeaseConflictError, LeaseRecord, LeaseUnavailableError

_PATH: Final = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
_SHOWN_CHARACTERS: Final = 256


class ApiLeases:
    """A Lease by its namespace and name."""

    def __init__(self, client: ApiClient, namespace: str, name: str) -> None:
        self._client = client
        self._collection = _PATH.format(namespace=namespace)
        self._namespace, self._name = namespace, name

    async def read(self) -> LeaseRecord | None:
        status, document = await self._ask("GET", f"{self._collection}/{self._name}")
        if status == HTTPStatus.NOT_FOUND:
            return None
        return self._record(status, document)

    async def write(self, record: LeaseRecord) -> LeaseRecord:
        body = self._document(record)
        if record.version is None:
            status, document = await self._ask("POST", self._collection, body)
        else:
            status, document = await self._ask("PUT", f"{self._collection}/{self._name}", body)
        # One that was deleted in between is made anew at the next attempt.
        if status in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
            raise LeaseConflictError
        return replace(record, version=self._record(status, document).version)

    def _record(self, status: int, document: Json) -> LeaseRecord:
        if status >= HTTPStatus.BAD_REQUEST:
            said = str(document.get("message") or "")[:_SHOWN_CHARACTERS]
            raise LeaseUnavailableError(f"{self._place}: HTTP {status}: {said}")
        try:
            spec, metadata = part(document, "spec"), part(document, "metadata")
            return LeaseRecord(
                holder=text(spec, "holderIdentity") or "",
                lease_seconds=whole_number(spec, "leaseDurationSeconds") or 0,
                acquired_seconds=seconds(spec, "acquireTime"),
                renewed_seconds=seconds(spec, "renewTime"),
                transitions=whole_number(spec, "leaseTransitions") or 0,
                note=text(part(metadata, "annotations"), SPENT) or "",
                version=text(metadata, "resourceVersion"),
            )
        except UnreadableObjectError as error:
            raise LeaseUnavailableError(f"{self._place}: {error}") from error

    def _document(self, record: LeaseRecord) -> Mapping[str, Any]:
        version = {"resourceVersion": record.version} if record.version is not None else {}
        note = {"annotations": {SPENT: record.note}} if record.note else {}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace, **version, **note},
            "spec": {
                "holderIdentity": record.holder,
                "leaseDurationSeconds": record.lease_seconds,
                "acquireTime": _moment(record.acquired_seconds),
                "renewTime": _moment(record.renewed_seconds),
                "leaseTransitions": record.transitions,
            },
        }

    @property
    def _place(self) -> str:
        return f"Lease {self._namespace}/{self._name}"

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, Json]:
        try:
            response: aiohttp.ClientResponse = await self._client.call_api(
                path,
                method,
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
            )
            async with response:
                document = json.loads(await response.read())
        except (ConfigException, aiohttp.ClientError, OSError, ValueError) as error:
            why = str(error) or type(error).__name__
            raise LeaseUnavailableError(f"{self._place}: {why}") from error
        if not isinstance(document, dict):
            raise LeaseUnavailableError(f"{self._place}: the answer is no object")
        return response.status, document


def _moment(unix_seconds: float | None) -> str | None:
    if unix_seconds is None:
        return None
    moment = datetime.fromtimestamp(unix_seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
