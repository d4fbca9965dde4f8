"""A played Prometheus, and feeds of it that are closed after the test."""

from collections.abc import AsyncIterator, Callable

import pytest

from scaler.scope import Scope
from scaler.signals import Feed
from scaler.sources.catalogue import load
from scaler.sources.prometheus import PrometheusSource
from scaler.sources.prometheus_config import PrometheusConfig
from tests.sources.prometheus_stub import Stub, serving


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with serving(Stub()) as one:
        yield one


@pytest.fixture
async def feed_of() -> AsyncIterator[Callable[..., Feed]]:
    sources = []

    def made(url: str, **settings: object) -> Feed:
        settings = {"timeout_seconds": 60, "concurrency": 2} | settings
        source = PrometheusSource(PrometheusConfig(name="main", url=url, **settings))
        sources.append(source)
        return source.feed(preset=load("vllm"), scope=Scope(model="m"))

    yield made
    for source in sources:
        await source.close()
