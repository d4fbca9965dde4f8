"""Large answers that are read in vain take a small part of a core from other namespaces."""

import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from scaler.errors import SourceError, SourceUnavailableError
from scaler.limits import Limit
from scaler.scope import Scope
from scaler.signals import Feed, Signal
from scaler.sources.catalogue import load
from scaler.sources.prometheus import PrometheusSource
from scaler.sources.prometheus_config import PrometheusConfig
from scaler.sources.refused_time import RefusedTime
from tests.sources.prometheus_stub import Stub, serving, waiting
from tests.sources.raw_server import CHUNKED, raw_server

NOW = 1_800_000_000.0


def test_beyond_the_burst_a_namespace_waits_until_a_twentieth_of_the_time_has_paid() -> None:
    spent = RefusedTime(burst_seconds=2.0)
    for _ in range(4):
        spent.add("a", 0.5, 0, now_seconds=100)
    assert spent.wait_seconds("a", now_seconds=100) == 0

    spent.add("a", 0.3, 0, now_seconds=100)
    assert spent.wait_seconds("a", now_seconds=100) == pytest.approx(6.0)  # 0.3 s at 0.05
    assert spent.wait_seconds("a", now_seconds=104) == pytest.approx(2.0)
    assert spent.wait_seconds("a", now_seconds=106) == pytest.approx(0.0)
    assert spent.wait_seconds("b", now_seconds=100) == 0

    # A minute later all is forgotten: 2 s are paid in 40.
    spent.add("a", 2.0, 0, now_seconds=166)
    assert spent.wait_seconds("a", now_seconds=166) == 0


def test_bytes_that_the_loop_received_count_as_its_time() -> None:
    spent = RefusedTime(burst_seconds=0.0)
    spent.add("a", 0.0, 40_000_000, now_seconds=0)  # 0.1 s

    assert spent.wait_seconds("a", now_seconds=0) == pytest.approx(2.0)


@asynccontextmanager
async def source_at(stub: Stub, refused_time: RefusedTime) -> AsyncIterator[PrometheusSource]:
    config = PrometheusConfig(
        name="main", url=stub.url, timeout_seconds=60, concurrency=2, body_bytes_max=2**21
    )
    source = PrometheusSource(config, refused_time)
    yield source
    await source.close()


@pytest.mark.looptime(False)  # sockets and threads take real time
async def test_a_namespace_of_bombs_is_asked_for_later_at_every_address_and_others_are_now(
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    bombs, good = Stub(packed=gzip.compress(b" " * 2**22)), Stub(body=waiting(7, at=NOW))
    shared = RefusedTime(burst_seconds=0.0)
    async with (
        serving(bombs),
        serving(good),
        source_at(bombs, shared) as first,
        source_at(good, shared) as second,
    ):
        with pytest.raises(SourceUnavailableError, match="an answer of over 2097152 bytes"):
            await feed(first, "hostile").observe(now_seconds=NOW)
        for source in (first, second):
            with pytest.raises(
                SourceUnavailableError, match="for namespace 'hostile' were too large"
            ):
                await feed(source, "hostile").observe(now_seconds=NOW)
        honest = await feed(second, "honest").observe(now_seconds=NOW)

    assert (len(bombs.asked), len(good.asked)) == (1, 1)
    assert honest.value(Signal.WAITING) == 7
    assert Limit.REFUSED_TIME in limits_exceeded()


@pytest.mark.looptime(False)
@pytest.mark.parametrize(
    "lookups", ["[" * 3 * 2**19, " " * 2**23], ids=["no-json", "too-many-bytes"]
)
async def test_a_bomb_in_the_look_up_of_a_hint_counts_like_one_in_an_answer(lookups: str) -> None:
    bomb = Stub(lookups=lookups)
    async with serving(bomb), source_at(bomb, RefusedTime(burst_seconds=0.0)) as source:
        observation = await feed(source, "hostile").observe(now_seconds=NOW)
        assert observation.value(Signal.WAITING) is None
        with pytest.raises(SourceUnavailableError, match="for namespace 'hostile'"):
            await feed(source, "hostile").observe(now_seconds=NOW)


@pytest.mark.looptime(False)
async def test_an_answer_in_tiny_parts_counts_for_its_namespace() -> None:
    server = await raw_server(CHUNKED + b"1\r\n \r\n" * 100_000)
    dripping = Stub(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with source_at(dripping, RefusedTime(burst_seconds=0.0)) as source:
        with pytest.raises(SourceUnavailableError, match="parts for its size"):
            await feed(source, "hostile").observe(now_seconds=NOW)
        with pytest.raises(SourceUnavailableError, match="for namespace 'hostile' were too large"):
            await feed(source, "hostile").observe(now_seconds=NOW)
    server.close()


@pytest.mark.looptime(False)
@pytest.mark.parametrize("end", [b"", b"no gzip"], ids=["whole", "damaged"])
async def test_a_large_packed_answer_of_nothing_counts_for_its_namespace(end: bytes) -> None:
    stub = Stub(packed=gzip.compress(b"") * 2**16 + end)  # each of them is 20 bytes of nothing
    async with serving(stub), source_at(stub, RefusedTime(burst_seconds=0.0)) as source:
        with pytest.raises(SourceError):
            await feed(source, "hostile").observe(now_seconds=NOW)
        with pytest.raises(SourceUnavailableError, match="for namespace 'hostile' were too large"):
            await feed(source, "hostile").observe(now_seconds=NOW)


def feed(source: PrometheusSource, namespace: str) -> Feed:
    return source.feed(preset=load("vllm"), scope=Scope(namespace=namespace, model="m"))
