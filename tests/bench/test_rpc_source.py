"""The made-up Prometheus of `bench rpc` understands what the scaler asks."""

import pytest

from bench._rpc_source import Asked, asked_of, prometheus
from scaler.scope import Scope
from scaler.signals import Observation, Signal
from scaler.sources.catalogue import load
from scaler.sources.prometheus import PrometheusSource
from scaler.sources.prometheus_config import PrometheusConfig

pytestmark = pytest.mark.looptime(False)  # the source is a process of its own

AT_SECONDS = 1_800_000_000.0


async def observed(port: int, model: str) -> Observation:
    config = PrometheusConfig(
        name="main", url=f"http://127.0.0.1:{port}", timeout_seconds=30, concurrency=1
    )
    source = PrometheusSource(config)
    try:
        feed = source.feed(preset=load("vllm"), scope=Scope(model=model))
        return await feed.observe(now_seconds=AT_SECONDS)
    finally:
        await source.close()


async def test_each_model_of_the_source_is_one_replica_and_no_other_has_any() -> None:
    with prometheus(2) as port:
        last, beyond = await observed(port, "model-1"), await observed(port, "model-2")

    assert last.value(Signal.REPLICAS) == 1
    assert beyond.value(Signal.REPLICAS) is None


async def test_a_query_for_several_models_is_one_query_and_a_look_at_each() -> None:
    with prometheus(2) as port:
        config = PrometheusConfig(
            name="main", url=f"http://127.0.0.1:{port}", timeout_seconds=30, concurrency=1
        )
        source = PrometheusSource(config)
        models = ("model-0", "model-1", "model-2")
        feeds = [source.feed(preset=load("vllm"), scope=Scope(model=m)) for m in models]
        try:
            seen = await feeds[0].group.observe(feeds, now_seconds=AT_SECONDS)
        finally:
            await source.close()
        asked = await asked_of(port)

    replicas = [one.value(Signal.REPLICAS) for one in seen if isinstance(one, Observation)]
    assert replicas == [1, 1, None]
    assert asked == Asked(queries=1, looks=3)
