"""Reviews as an API server sends them, and the webhook that they are sent to."""

import base64
import copy
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from fleet.catalogue import shipped
from scheduler.admission import GivenBy, Policy
from scheduler.webhook import PATH, TemplateRefusedError, Webhook

Json = dict[str, Any]
POLICY = Policy(catalogue=shipped())
DEVICE_PLUGIN = Policy(catalogue=shipped(), given_by=GivenBy.DEVICE_PLUGIN)
NEED = {"foresail.io/model-parameters": "70B", "foresail.io/precision": "fp8"}
NVIDIA_ONLY = frozenset({"gpu.nvidia.com"})
BOTH = NVIDIA_ONLY | {"gpu.amd.com"}
"""Names of the cluster's DeviceClasses."""
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "chat-7", "uid": "u-7"}


class KeptTemplates:
    """Templates in memory, as server-side apply leaves them."""

    def __init__(self) -> None:
        self.kept: dict[str, Mapping[str, Any]] = {}
        self.refuses: str | None = None

    async def apply(self, template: Mapping[str, Any]) -> None:
        if self.refuses:
            raise TemplateRefusedError(self.refuses)
        metadata = template["metadata"]
        self.kept[f"{metadata['namespace']}/{metadata['name']}"] = template


def pod(annotations: Json | None = None, **spec: Any) -> Json:
    metadata: Json = {
        "generateName": "chat-7-",
        "annotations": dict(NEED if annotations is None else annotations),
        "ownerReferences": [{**OWNER, "controller": True, "blockOwnerDeletion": True}],
    }
    return {
        "metadata": metadata,
        "spec": {"containers": [{"name": "engine", "image": "vllm"}], **spec},
    }


def review(document: object, **request: Any) -> Json:
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "r-1",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "llm",
            "operation": "CREATE",
            "object": document,
            "dryRun": False,
            **request,
        },
    }


@asynccontextmanager
async def asked_of(
    policy: Policy = POLICY,
    templates: KeptTemplates | None = None,
    classes: frozenset[str] | None = BOTH,
) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    webhook = Webhook(
        policy=policy, templates=templates or KeptTemplates(), device_classes=lambda: classes
    )
    async with TestClient(TestServer(webhook.application())) as client:
        yield client


async def answer(
    document: object,
    templates: KeptTemplates | None = None,
    policy: Policy = POLICY,
    classes: frozenset[str] | None = BOTH,
    **request: Any,
) -> Json:
    async with asked_of(policy, templates, classes) as client:
        response = await client.post(PATH, json=review(document, **request))
        assert response.status == 200, await response.text()
        told: Json = await response.json()
    assert told["apiVersion"] == "admission.k8s.io/v1"
    assert told["response"]["uid"] == "r-1"
    found: Json = told["response"]
    return found


def patch_of(response: Json) -> list[Json]:
    found: list[Json] = json.loads(base64.b64decode(response.get("patch", "W10=")))
    return found


def patched(document: Json, operations: list[Json]) -> Json:
    """RFC 6902 `add`, the only operation that we send."""
    result = copy.deepcopy(document)
    for one in operations:
        assert one["op"] == "add"
        *parents, last = (
            part.replace("~1", "/").replace("~0", "~") for part in one["path"][1:].split("/")
        )
        at: Any = result
        for part in parents:
            at = at[int(part)] if isinstance(at, list) else at[part]
        at[last] = one["value"]
    return result


async def admitted(document: Json, policy: Policy = POLICY) -> Json:
    response = await answer(document, policy=policy)
    assert response["allowed"], response
    return patched(document, patch_of(response))
