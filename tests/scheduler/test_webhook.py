"""The webhook's two edges: reviews that no API server sends, and templates for the API server."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import ConfigException

from bench._faults_row import Observe
from scheduler.webhook import BODY_BYTES_MAX, PATH, ClusterTemplates, TemplateRefusedError
from tests.scheduler.reviews import asked_of, pod, review

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

# Reviews that no API server sends.


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "the body is not JSON", id="empty"),
        pytest.param(b"[" * 100_000, "the body is not JSON", id="deep"),
        pytest.param(b"9" * 10_000, "the body is not JSON", id="a-long-number"),
        pytest.param(b"[]", "the body is list, not an object", id="list"),
        pytest.param(b"{}", "the body is None of None, not AdmissionReview", id="nothing"),
        pytest.param(
            json.dumps({**review(pod()), "apiVersion": "admission.k8s.io/v1beta1"}).encode(),
            "AdmissionReview of admission.k8s.io/v1beta1, not AdmissionReview of"
            " admission.k8s.io/v1: list only v1 in admissionReviewVersions",
            id="outdated",
        ),
        pytest.param(
            json.dumps(review(pod(), uid="u" * 1000)).encode(), "request.uid is no uid", id="uid"
        ),
        pytest.param(
            json.dumps(review("a pod")).encode(),
            "request.object is str, not an object",
            id="object",
        ),
        pytest.param(
            json.dumps(review(pod(), namespace=7)).encode(),
            "request.namespace is no namespace's name: '7'",
            id="namespace",
        ),
        *(
            pytest.param(
                json.dumps(review(pod(), namespace=name)).encode(),
                "request.namespace is no namespace's name",
                id=f"namespace-{name!r}",
            )
            for name in ("..", ".", "", "a/b", "a%2Fb", "UPPER", "llm\n", "-a", "a" * 64, None)
        ),
    ],
)
async def test_an_unreadable_review_is_refused_in_words(body: bytes, message: str) -> None:
    async with asked_of() as client:
        response = await client.post(PATH, data=body)
        assert response.status == 400
        assert message in await response.text()


async def test_a_huge_review_is_refused_and_the_next_one_answered() -> None:
    async with asked_of() as client:
        response = await client.post(PATH, data=io.BytesIO(b"x" * (BODY_BYTES_MAX + 1)))
        assert response.status == 413
        response = await client.post(PATH, json=review(pod()))
        assert response.status == 200


async def test_a_pod_nested_to_the_limit_is_answered() -> None:
    """What can be read can be written again with the patch around it."""
    statuses = set()
    async with asked_of() as client:
        for depth in range(880, 1010, 5):
            nested = json.loads("[" * 500 + "]" * 500)
            document = pod(containers=[{"name": "e", "resources": {"more": nested}}])
            text = json.dumps(review(document)).replace("[" * 500, "[" * depth)
            response = await client.post(PATH, data=text.replace("]" * 500, "]" * depth))
            statuses.add(response.status)
    assert statuses == {200, 400}


# To the API server.


@asynccontextmanager
async def client_of(app: web.Application) -> AsyncIterator[ApiClient]:
    async with TestServer(app) as server:
        host = str(server.make_url("")).rstrip("/")
        async with ApiClient(Configuration(host=host)) as client:
            yield client


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        pytest.param(201, {}, None, id="made"),
        pytest.param(200, {}, None, id="there"),
        pytest.param(403, {"message": "no"}, "403: no", id="forbidden"),
        pytest.param(500, None, "500: Internal Server Error", id="no-words"),
    ],
)
async def test_templates_are_applied_on_the_server_and_never_by_force(
    status: int, body: object, message: str | None
) -> None:
    seen: list[tuple[str, str, str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        seen.append(
            (
                request.method,
                request.path_qs,
                request.content_type,
                json.loads(await request.text()),
            )
        )
        return (
            web.json_response(body, status=status)
            if body is not None
            else web.Response(status=status)
        )

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", take)
    template = {"metadata": {"name": "foresail-1", "namespace": "llm"}}
    async with client_of(app) as client:
        if message is None:
            await ClusterTemplates(client).apply(template)
        else:
            with pytest.raises(TemplateRefusedError, match=message):
                await ClusterTemplates(client).apply(template)
    path = "/apis/resource.k8s.io/v1/namespaces/llm/resourceclaimtemplates/foresail-1"
    assert seen == [
        ("PATCH", f"{path}?fieldManager=foresail", "application/apply-patch+yaml", template)
    ]


@pytest.mark.parametrize(
    ("namespace", "name"),
    [("..", "foresail-1"), ("llm", ".."), ("llm", "../../../pods"), ("llm", "a..b"), ("llm", "")],
)
async def test_a_name_that_leads_out_of_its_path_is_never_asked_for(
    namespace: str, name: str
) -> None:
    seen: list[str] = []

    async def take(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", take)
    async with client_of(app) as client:
        with pytest.raises(TemplateRefusedError, match="no namespace and name of it"):
            await ClusterTemplates(client).apply(
                {"metadata": {"namespace": namespace, "name": name}}
            )
    assert seen == []


async def test_a_template_is_refused_while_the_credentials_cannot_be_renewed() -> None:
    async def renew(_: Configuration) -> None:
        raise ConfigException("Token file exists but empty.")

    async with client_of(web.Application()) as client:
        client.configuration.api_key["BearerToken"] = "Bearer secret"
        client.configuration.refresh_api_key_hook = renew
        with pytest.raises(TemplateRefusedError, match="Token file exists but empty"):
            await ClusterTemplates(client).apply({"metadata": {"name": "a", "namespace": "llm"}})


@pytest.mark.looptime(True)  # a limit of seconds
async def test_an_api_server_that_does_not_answer_is_given_up_in_time(observed: Observe) -> None:
    async def wait(_: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", wait)
    async with client_of(app) as client:
        begun = asyncio.get_running_loop().time()
        with pytest.raises(TemplateRefusedError, match="no answer in time"):
            await ClusterTemplates(client).apply({"metadata": {"name": "x", "namespace": "y"}})
        seconds = asyncio.get_running_loop().time() - begun
    # The API server gives a webhook 10 s.
    observed(f"the pod is refused in words after {seconds:.1f} s")
    assert seconds < 10
