"""The extender and the webhook take the same bodies: those that nobody has compressed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web
from prometheus_client import CollectorRegistry

from fleet.catalogue import shipped
from foresail.ports.sites import Sites
from scheduler.admission import Policy
from scheduler.extender import Extender, ExtenderMetrics
from scheduler.webhook import PATH, Webhook, WebhookMetrics

pytestmark = pytest.mark.looptime(False)  # sockets live in real time


class NoTemplates:
    """A store that is never asked: no review is read here."""

    async def apply(self, template: object) -> None:
        raise AssertionError(template)


def extender(registry: CollectorRegistry) -> web.Application:
    made = Extender(placement=None, clock=lambda: 0.0, metrics=ExtenderMetrics(registry))
    return made.application()


def webhook(registry: CollectorRegistry) -> web.Application:
    policy = Policy(catalogue=shipped())
    made = Webhook(
        policy=policy,
        templates=NoTemplates(),
        device_classes=lambda: None,
        metrics=WebhookMetrics(registry),
    )
    return made.application()


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[ClientSession]:
    async with Sites() as sites:
        port = await sites.add(app, "127.0.0.1:0", takes_bodies=True)
        async with ClientSession(base_url=f"http://127.0.0.1:{port}") as session:
            yield session


BOTH = pytest.mark.parametrize(
    ("app", "path", "counted"),
    [
        pytest.param(
            extender, "/filter",
            ("foresail_extender_refused_requests_total", {"verb": "filter"}), id="filter",
        ),
        pytest.param(
            extender, "/prioritize",
            ("foresail_extender_refused_requests_total", {"verb": "prioritize"}), id="prioritize",
        ),
        pytest.param(
            webhook, PATH, ("foresail_webhook_reviews_total", {"outcome": "unreadable"}),
            id="webhook",
        ),
    ],
)  # fmt: skip


@BOTH
@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "identity, gzip"])
async def test_a_compressed_body_is_refused_and_counted(
    app: object, path: str, counted: tuple[str, dict[str, str]], encoding: str
) -> None:
    registry = CollectorRegistry()
    async with serving(app(registry)) as session:  # type: ignore[operator]
        headers = {"Content-Encoding": encoding}
        async with session.post(path, data=b"", headers=headers) as response:
            told = response.status, await response.text()
    assert told == (
        415,
        f"foresail: Content-Encoding {encoding!r} is not read; send the body as it is\n",
    )
    assert registry.get_sample_value(*counted) == 1


@BOTH
@pytest.mark.parametrize("encoding", ["identity", "Identity"])
async def test_the_name_for_no_encoding_is_read_in_any_case(
    app: object, path: str, counted: tuple[str, dict[str, str]], encoding: str
) -> None:
    del counted
    async with serving(app(CollectorRegistry())) as session:  # type: ignore[operator]
        headers = {"Content-Encoding": encoding}
        async with session.post(path, data=b"no JSON", headers=headers) as response:
            assert response.status != 415
