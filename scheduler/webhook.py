"""The admission webhook: answers AdmissionReviews of pods, and applies their claim templates.

The template is applied before the review is answered, because a pod whose template does not exist
waits for ever. A dry run gets the same answer and applies nothing. If the API server refuses the
template, the pod is denied: its owner creates it again, while a pod admitted without GPUs would
never get any.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from aiohttp import ClientError, web
from kubernetes_asyncio.client import ApiClient, ApiException
from kubernetes_asyncio.config import ConfigException
from prometheus_client import CollectorRegistry, Counter, Gauge

from scheduler.admission import NotReadyError, Policy, admit
from scheduler.client_certificate import certificate_names
from scheduler.gpu_container import DeniedError
from scheduler.object_names import is_namespace_name, is_object_name
from scheduler.plain_body import plain_body
from scheduler.review import Review, UnreadableReviewError, allowed, denied, review_of

PATH: Final = "/mutate"
BODY_BYTES_MAX: Final = 4 * 2**20
"""API servers accept objects up to 3 MiB, and a review of a creation has one."""
APPLY_SECONDS_MAX: Final = 3.0
"""Less than `timeoutSeconds` in the manifest, so that the API server gets the reason."""
_RESOURCE: Final = "/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaimtemplates/{name}"
_APPLY: Final = "application/apply-patch+yaml"
_MANAGER: Final = "foresail"


DeviceClasses: TypeAlias = Callable[[], frozenset[str] | None]
"""Current names of the cluster's DeviceClasses; None = not known yet."""


class TemplateRefusedError(Exception):
    """The API server refused a template."""


class Templates(Protocol):
    """A store of ResourceClaimTemplates."""

    async def apply(self, template: Mapping[str, Any]) -> None:
        """Make sure that it exists.

        Raises:
            TemplateRefusedError: it does not.
        """


@dataclass(slots=True)
class ClusterTemplates:
    """The store of a cluster: server-side apply, never forced."""

    client: ApiClient

    async def apply(self, template: Mapping[str, Any]) -> None:
        metadata = template["metadata"]
        namespace, name = str(metadata["namespace"]), str(metadata["name"])
        if not (is_namespace_name(namespace) and is_object_name(name)):
            raise TemplateRefusedError(f"{namespace!r}, {name!r}: no namespace and name of it")
        try:
            async with asyncio.timeout(APPLY_SECONDS_MAX):
                await self.client.call_api(
                    _RESOURCE,
                    "PATCH",
                    path_params={"namespace": namespace, "name": name},
                    query_params=[("fieldManager", _MANAGER)],
                    header_params={"Content-Type": _APPLY, "Accept": "application/json"},
                    body=dict(template),
                    auth_settings=["BearerToken"],
                )
        except ApiException as error:
            raise TemplateRefusedError(_reason(error)) from error
        except (ClientError, ConfigException, OSError, TimeoutError) as error:
            raise TemplateRefusedError(str(error) or "no answer in time") from error


def _reason(error: ApiException) -> str:
    try:
        message = json.loads(error.body or "")["message"]
    except (TypeError, ValueError, KeyError):
        message = error.reason
    return f"{error.status}: {message}"


class WebhookMetrics:
    """Series of the admissions."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reviews = Counter(
            "foresail_webhook_reviews",
            "Admission reviews by outcome: patched, unchanged, denied, put-off (the webhook is not "
            "ready, or the API server did not take the template), unreadable, or stranger (the "
            "client certificate has another name).",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("patched", "unchanged", "denied", "put-off", "unreadable", "stranger"):
            self.reviews.labels(outcome)
        self.stale_classes = Gauge(
            "foresail_webhook_device_classes_stale",
            "1 while DeviceClasses cannot be read from the API server; the last known ones count.",
            registry=registry,
        )


@dataclass(slots=True, kw_only=True)
class Webhook:
    """Answers AdmissionReviews of pods."""

    policy: Policy
    templates: Templates
    device_classes: DeviceClasses
    clients: frozenset[str] | None = None
    """The client's certificate has one of these names; None = no certificate is asked for."""
    metrics: WebhookMetrics | None = None

    def application(self) -> web.Application:
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.add_routes([web.post(PATH, self.review)])
        return app

    async def review(self, request: web.Request) -> web.Response:
        if not self._may_ask(request):
            self._count("stranger")
            known = ", ".join(sorted(self.clients or ()))
            text = f"foresail: the client's certificate has none of the names {known}\n"
            return web.Response(status=403, text=text)
        try:
            asked = review_of(await plain_body(request))
        except web.HTTPUnsupportedMediaType:
            self._count("unreadable")
            raise
        except UnreadableReviewError as error:
            self._count("unreadable")
            return web.Response(status=400, text=f"foresail: {error}\n")
        return await self._answered(asked)

    async def _answered(self, asked: Review) -> web.Response:
        try:
            admission = admit(asked.pod or {}, asked.namespace, self.policy, self.device_classes())
            answer = allowed(asked.uid, admission)
            if admission.template is not None and not asked.is_dry_run:
                await self.templates.apply(admission.template)
        except DeniedError as error:
            self._count("denied")
            return _json(denied(asked.uid, str(error), code=422))
        except NotReadyError as error:
            self._count("put-off")
            return _json(denied(asked.uid, f"{error}; the pod is made again", code=503))
        except TemplateRefusedError as error:
            self._count("put-off")
            message = f"the claim template could not be applied ({error}); the pod is made again"
            return _json(denied(asked.uid, message, code=503))
        self._count("patched" if admission.patch else "unchanged")
        return _json(answer)

    def _may_ask(self, request: web.Request) -> bool:
        if self.clients is None:
            return True
        return bool(self.clients & certificate_names(request.get_extra_info("peercert") or {}))

    def _count(self, outcome: str) -> None:
        if self.metrics is not None:
            self.metrics.reviews.labels(outcome).inc()


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
