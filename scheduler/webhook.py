"""The admission webhook's edge: a pod with a need comes in, and leaves with its claim.

The template is applied before the pod is answered, for a pod that refers to none waits for ever. A
dry run is answered alike and leaves nothing behind. When the API server does not take the template
the pod is denied, not let in bare: its owner tries again, and a pod without GPUs never gets any.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from aiohttp import ClientError, web
from kubernetes_asyncio.client import ApiClient, ApiException

from scheduler.admission import DeniedError, NotReadyError, Policy, admit
from scheduler.review import UnreadableReviewError, allowed, denied, review_of

PATH: Final = "/mutate"
BODY_BYTES_MAX: Final = 4 * 2**20
"""An API server takes objects up to 3 MiB, and sends one of them when it is made."""
APPLY_SECONDS_MAX: Final = 3.0
"""Less than the webhook's own limit in the manifest, so that the reason gets out."""
_RESOURCE: Final = "/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaimtemplates/{name}"
_APPLY: Final = "application/apply-patch+yaml"
_MANAGER: Final = "foresail"


DeviceClasses: TypeAlias = Callable[[], frozenset[str] | None]
"""Names of the cluster's, now; None = not known yet."""


class TemplateRefusedError(Exception):
    """The API server did not take a template."""


class Templates(Protocol):
    """Where ResourceClaimTemplates are kept."""

    async def apply(self, template: Mapping[str, Any]) -> None:
        """See that it is there.

        Raises:
            TemplateRefusedError: it is not.
        """


@dataclass(slots=True)
class ClusterTemplates:
    """Those of a cluster: server-side apply, never by force."""

    client: ApiClient

    async def apply(self, template: Mapping[str, Any]) -> None:
        metadata = template["metadata"]
        try:
            async with asyncio.timeout(APPLY_SECONDS_MAX):
                await self.client.call_api(
                    _RESOURCE,
                    "PATCH",
                    path_params={key: metadata[key] for key in ("namespace", "name")},
                    query_params=[("fieldManager", _MANAGER)],
                    header_params={"Content-Type": _APPLY, "Accept": "application/json"},
                    body=dict(template),
                    auth_settings=["BearerToken"],
                )
        except ApiException as error:
            raise TemplateRefusedError(_reason(error)) from error
        except (ClientError, OSError, TimeoutError) as error:
            raise TemplateRefusedError(str(error) or "no answer in time") from error


def _reason(error: ApiException) -> str:
    try:
        told = json.loads(error.body or "")["message"]
    except (TypeError, ValueError, KeyError):
        told = error.reason
    return f"{error.status}: {told}"


@dataclass(slots=True, kw_only=True)
class Webhook:
    """Answers AdmissionReviews of pods."""

    policy: Policy
    templates: Templates
    device_classes: DeviceClasses

    def routes(self) -> list[web.RouteDef]:
        """For an application whose `client_max_size` is at least `BODY_BYTES_MAX`."""
        return [web.post(PATH, self.review)]

    def application(self) -> web.Application:
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.add_routes(self.routes())
        return app

    async def review(self, request: web.Request) -> web.Response:
        try:
            asked = review_of(await request.read())
        except UnreadableReviewError as error:
            return web.Response(status=400, text=f"foresail: {error}\n")
        try:
            admission = admit(asked.pod or {}, asked.namespace, self.policy, self.device_classes())
            answer = allowed(asked.uid, admission)
            if admission.template is not None and not asked.is_dry_run:
                await self.templates.apply(admission.template)
        except DeniedError as error:
            return _json(denied(asked.uid, str(error), code=422))
        except NotReadyError as error:
            return _json(denied(asked.uid, f"{error}; the pod is made again", code=503))
        except TemplateRefusedError as error:
            message = f"the claim template could not be applied ({error}); the pod is made again"
            return _json(denied(asked.uid, message, code=503))
        return _json(answer)


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
