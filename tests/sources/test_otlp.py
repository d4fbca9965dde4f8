"""GenAI metrics that the SDK's own encoder pushes: the same rates, by any name and temporality."""

import asyncio
import gc
import gzip
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from scaler.errors import SourceMisconfiguredError, SourceUnavailableError
from scaler.limits import COUNTS, Limit
from scaler.scope import Scope
from scaler.signals import Absent, Observation, Signal, Stale
from scaler.sources import otlp
from scaler.sources.catalogue import load, shipped
from scaler.sources.held_bytes import HeldBytes
from scaler.sources.otlp import BusyError, OtlpConfig, OtlpSource
from scaler.sources.otlp_decoding import Decoder
from scaler.sources.otlp_labels import ATTRIBUTES_MAX
from scaler.sources.otlp_point import Decoded, UndecodableError
from scaler.sources.otlp_series import PushedSeries
from scaler.sources.refused_time import RefusedTime
from scaler.sources.source_shares import SourceShares
from tests.sources.otlp_requests import (
    DELTA,
    MODEL,
    NEW,
    OLD,
    counter,
    durations,
    gauge_changes,
    request,
    tokens,
)

# Bodies are taken by a thread, which takes real time.
pytestmark = pytest.mark.looptime(False)

PRESETS = {name: load(name) for name in shipped()}
NAMES = frozenset(name for preset in PRESETS.values() for name in preset.spelled)
DECODER = Decoder(NAMES)
SCOPE = Scope(model=MODEL, namespace="llm")


class Wall:
    """Unix time that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


Made = Callable[..., OtlpSource]


@pytest.fixture
async def made(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Made]:
    sources: list[OtlpSource] = []
    monkeypatch.setattr(otlp, "_REST", 0.0)

    def make(
        decode: Callable[[bytes], Decoded] = DECODER.decode,
        clock: Callable[[], float] | None = None,
        shares: SourceShares | None = None,
        **config: object,
    ) -> OtlpSource:
        settings = OtlpConfig(name="telemetry", **config)  # type: ignore[arg-type]
        sources.append(OtlpSource(settings, decode, PRESETS, clock or Wall(), shares))
        return sources[-1]

    yield make
    for source in sources:
        await source.close()


async def observed(
    source: OtlpSource,
    reports: Iterable[tuple[float, list[bytes]]],
    *,
    engine: str = "opentelemetry",
    now: float | None = None,
) -> Observation:
    """What is read after each report; the last reading."""
    feed = source.feed(preset=PRESETS[engine], scope=SCOPE)
    seen = None
    for at, bodies in reports:
        source._clock.now = at  # type: ignore[attr-defined]
        for body in bodies:
            await source.take(body)
        seen = await feed.observe(now_seconds=at)
    if now is not None:
        seen = await feed.observe(now_seconds=now)
    assert seen is not None
    return seen


@pytest.mark.parametrize(
    ("shares", "why"),
    [
        pytest.param(
            {"page_time": RefusedTime(burst_seconds=0.0, share=1e-6)}, "too much time", id="time"
        ),
        pytest.param({"series": HeldBytes(1000)}, "more series than fit", id="memory"),
    ],
)
async def test_a_namespace_pays_for_what_is_made_of_its_samples(
    made: Made, shares: dict[str, Any], why: str
) -> None:
    body = request(tokens("input", 900, at=100), tokens("output", 300, at=100))
    with pytest.raises(SourceUnavailableError, match=why):
        await observed(made(shares=SourceShares(**shares)), [(100, [body]), (115, [body])])


def rates(seen: Observation) -> tuple[float | None, float | None]:
    return seen.value(Signal.PROMPT_TOKENS), seen.value(Signal.GENERATED_TOKENS)


@pytest.mark.parametrize("generation", [OLD, NEW], ids=["gen_ai.system", "gen_ai.provider.name"])
async def test_token_rates_are_equal_for_both_generations_of_names(
    made: Made, generation: dict[str, str]
) -> None:
    """A minute with 6000 prompt and 1200 generated tokens: 100 and 20 a second."""

    def body(at: float, prompt: float, generated: float) -> bytes:
        return request(
            tokens("input", prompt, at=at, generation=generation),
            tokens("output", generated, at=at, generation=generation),
        )

    reports = [(100, [body(100, 900, 300)]), (160, [body(160, 6900, 1500)])]
    assert rates(await observed(made(), reports)) == (100, 20)


async def test_the_newest_counters_are_read_without_what_came_from_the_cache(made: Made) -> None:
    """7200 − 1200 of the cache in a minute. The old histogram beside them is not added."""

    def body(at: float, prompt: float, cached: float) -> bytes:
        usage = "gen_ai.client.inference.usage"
        return request(
            counter(f"{usage}.input_tokens", prompt, at=at, unit="{token}"),
            counter(f"{usage}.cache_read.input_tokens", cached, at=at, unit="{token}"),
            counter(f"{usage}.output_tokens", prompt / 6, at=at, unit="{token}"),
            tokens("input", prompt, at=at),
        )

    reports = [(100, [body(100, 0, 0)]), (160, [body(160, 7200, 1200)])]
    assert rates(await observed(made(), reports)) == (100, 20)


async def test_changes_and_totals_give_the_same_rates(made: Made) -> None:
    totals = {100: 0.0, 130: 1500.0, 160: 6000.0}
    cumulative = [(at, [request(tokens("input", sum_, at=at))]) for at, sum_ in totals.items()]
    changes = [
        (at, [request(tokens("input", more, at=at, start=at - 30, temporality=DELTA))])
        for at, more in ((130, 1500.0), (160, 4500.0))
    ]

    for reports in (cumulative, changes):
        seen = await observed(made(), reports)
        assert seen.value(Signal.PROMPT_TOKENS) == 100


async def test_one_absurd_change_is_refused_and_hides_none_that_follow(made: Made) -> None:
    """A number of 2^53 and one more is the same number, so that traffic would look like none."""

    def body(at: float, change: float) -> bytes:
        parsed = ExportMetricsServiceRequest.FromString(
            request(tokens("input", 600, at=at, start=at - 60, temporality=DELTA))
        )
        metric = parsed.resource_metrics[0].scope_metrics[0].metrics[0]
        metric.histogram.data_points[0].sum = change
        return parsed.SerializeToString()

    source = made()
    assert rates(await observed(source, [(160, [body(160, 600)])]))[0] == 10
    for at, absurd in ((170, 2.0**63), (180, 1.7e308)):
        taken = await source.take(body(at, absurd))
        assert taken.rejected == {
            "changes of over 2^53, which no count of requests or tokens has": 1
        }
    seen = await observed(source, [(at, [body(at, 600)]) for at in (220, 280)])
    assert rates(seen)[0] == 10


async def test_a_request_that_was_sent_twice_counts_once(made: Made) -> None:
    first, second = (
        request(tokens("input", 3000, at=at, start=at - 30, temporality=DELTA)) for at in (130, 160)
    )
    seen = await observed(made(), [(130, [first]), (160, [second, second])])
    assert seen.value(Signal.PROMPT_TOKENS) == 100


async def test_a_restart_is_no_fall_and_loses_nothing(made: Made) -> None:
    """3000 tokens before it, in the first half minute; 1200 after it, since second 140."""
    reports = [
        (100, [request(tokens("input", 90_000, at=100, start=10))]),
        (130, [request(tokens("input", 93_000, at=130, start=10))]),
        (160, [request(tokens("input", 1200, at=160, start=140))]),
    ]
    seen = await observed(made(), reports)
    # 3000 in the 30 s that the old process was seen, and 1200 in the 20 s of the new one.
    assert seen.value(Signal.PROMPT_TOKENS) == 3000 / 30 + 1200 / 20


async def test_two_processes_with_the_same_attributes_are_summed(made: Made) -> None:
    """60 and 40 a second; they differ in nothing but when they started."""
    bodies = [
        (at, [request(tokens("input", each * at, at=at, start=each)) for each in (60, 40)])
        for at in (100, 160)
    ]
    assert (await observed(made(), bodies)).value(Signal.PROMPT_TOKENS) == 100


async def test_two_processes_that_send_changes_are_summed(made: Made) -> None:
    bodies = [
        (
            at,
            [
                request(tokens("input", 1800, at=at, start=at - 30, temporality=DELTA)),
                request(tokens("input", 1200, at=at - 1, start=at - 31, temporality=DELTA)),
            ],
        )
        for at in (100, 130, 160)
    ]
    seen = await observed(made(), bodies)
    assert seen.value(Signal.PROMPT_TOKENS) == 100


async def test_an_exporter_that_stops_is_stale_and_not_zero(made: Made) -> None:
    reports = [(at, [request(tokens("input", at * 10, at=at))]) for at in (100, 160)]
    seen = await observed(made(), reports, now=230)
    assert seen.readings[Signal.PROMPT_TOKENS] == Stale(at_seconds=160)


async def test_no_change_is_zero_while_the_process_reports_and_stale_after(made: Made) -> None:
    def alive(at: float) -> bytes:
        return request(counter("process.uptime", at, at=at))

    used = request(tokens("input", 3000, at=100, start=70, temporality=DELTA))
    reports = [(100, [used]), (130, [alive(130)]), (160, [alive(160)])]
    source = made()
    seen = await observed(source, reports)
    assert seen.value(Signal.PROMPT_TOKENS) == 0
    later = await source.feed(preset=PRESETS["opentelemetry"], scope=SCOPE).observe(now_seconds=230)
    assert later.readings[Signal.PROMPT_TOKENS] == Stale(at_seconds=160)


async def test_requests_failures_and_requests_in_flight_come_from_durations(made: Made) -> None:
    """In a minute: 120 served in 2 s each, 6 turned away with 429, 3 with a wrong key.

    An agent's operation wraps calls that are counted by themselves.
    """

    def body(at: float, share: int) -> bytes:
        return request(
            durations(120 * share, 240.0 * share, at=at),
            durations(6 * share, 0.6 * share, at=at, **{"error.type": "429"}),
            durations(3 * share, 0.0, at=at, **{"error.type": "401"}),
            durations(
                50 * share, 900.0 * share, at=at, **{"gen_ai.operation.name": "invoke_agent"}
            ),
        )

    reports = [(100, [body(100, 1)]), (160, [body(160, 2)])]
    seen = await observed(made(), reports)
    assert seen.value(Signal.REQUESTS) == 2
    assert seen.value(Signal.REJECTED) == pytest.approx(0.1)
    assert seen.value(Signal.RUNNING) == pytest.approx(240.6 / 60)
    assert seen.value(Signal.WAITING) == 0


async def test_an_engine_whose_page_a_collector_scrapes_is_read_by_its_own_preset(
    made: Made,
) -> None:
    def body(at: float, total: float, pod: str) -> bytes:
        return request(
            counter("vllm:generation_tokens_total", total, at=at, model_name=MODEL, engine="0"),
            k8s__pod__name=pod,
            k8s__namespace__name="llm",
        )

    reports = [
        (at, [body(at, 30 * at, "a"), body(at, 10 * at, "b")]) for at in (100.0, 130.0, 160.0)
    ]
    seen = await observed(made(), reports, engine="vllm")
    assert seen.value(Signal.GENERATED_TOKENS) == 40


async def test_an_engine_that_a_collector_scrapes_may_restart(made: Made) -> None:
    """30 a second until 130 s, and again from its restart at 140 s: 1500 in the last minute."""
    reports = [
        (
            at,
            [
                request(
                    counter(
                        "vllm:generation_tokens_total", total, at=at, start=start,
                        model_name=MODEL, engine="0",
                    ),
                    k8s__pod__name="a",
                )
            ],
        )
        for at, start, total in ((100.0, 1.0, 3000), (130.0, 1.0, 3900), (160.0, 140.0, 600))
    ]  # fmt: skip
    seen = await observed(made(), reports, engine="vllm")
    assert seen.value(Signal.GENERATED_TOKENS) == 25


def test_a_series_that_ended_and_changes_of_what_may_fall_are_no_numbers() -> None:
    running = request(gauge_changes("vllm:num_requests_running", 4, at=100))
    assert DECODER.decode(running).rejected == {"changes of a sum that may fall": 1}
    ended = ExportMetricsServiceRequest.FromString(request(tokens("input", 100, at=100)))
    for metric in ended.resource_metrics[0].scope_metrics[0].metrics:
        metric.histogram.data_points[0].flags = 1
    found = DECODER.decode(ended.SerializeToString())
    assert (found.points, found.rejected) == ((), {})


async def test_another_model_is_named_and_nothing_is_read(made: Made) -> None:
    source = made()
    await source.take(request(tokens("input", 100, at=100)))
    other = source.feed(preset=PRESETS["opentelemetry"], scope=Scope(model="qwen", namespace="llm"))
    seen = await other.observe(now_seconds=100)
    assert all(isinstance(one, Absent) for one in seen.readings.values())
    assert seen.remarks == (f"source 'telemetry' has series of {MODEL}",)


async def test_labels_of_the_process_narrow_what_a_trigger_reads(made: Made) -> None:
    source = made()
    scope = Scope(model=MODEL, namespace="llm", labels=(("service_name", "shop"),))
    shop = source.feed(preset=PRESETS["opentelemetry"], scope=scope)
    for at in (100, 160):
        await source.take(request(tokens("input", 60 * at, at=at)))
        await source.take(request(tokens("input", 900 * at, at=at), service__name="search"))
        source._clock.now = 160  # type: ignore[attr-defined]
        seen = await shop.observe(now_seconds=at)
    assert seen.value(Signal.PROMPT_TOKENS) == 60


async def test_nothing_received_yet_and_a_foreign_namespace_say_so(made: Made) -> None:
    source = made(namespaces=frozenset({"llm"}))
    preset = PRESETS["opentelemetry"]
    with pytest.raises(SourceUnavailableError, match="nothing was received since Foresail started"):
        await source.feed(preset=preset, scope=SCOPE).observe(now_seconds=1)
    with pytest.raises(SourceMisconfiguredError, match=r"'other' may not read it.*otlp.namespaces"):
        source.feed(preset=preset, scope=Scope(model=MODEL, namespace="other"))


async def test_a_flood_delays_no_look_and_its_sender_is_told_to_come_again(made: Made) -> None:
    """The decoder hangs in one body; looks read on, and what cannot wait is refused."""
    hanging = threading.Event()

    def decode(body: bytes) -> Decoded:
        if body == b"flood":
            hanging.wait(10)
            return Decoded()
        return DECODER.decode(body)

    source = made(decode, waiting_max=8)
    await observed(source, [(100, [request(tokens("input", 0, at=100))])])
    await source.take(request(tokens("input", 6000, at=160)))
    before = COUNTS.snapshot().get(Limit.OTLP_WAITING, 0)
    flood = [asyncio.create_task(source.take(b"flood")) for _ in range(20)]
    feed = source.feed(preset=PRESETS["opentelemetry"], scope=SCOPE)
    seen = await feed.observe(now_seconds=161)
    hanging.set()
    ended = await asyncio.gather(*flood, return_exceptions=True)

    assert isinstance(seen, Observation)
    assert sum(isinstance(one, BusyError) for one in ended) == 12
    assert COUNTS.snapshot()[Limit.OTLP_WAITING] == before + 12


async def test_the_bytes_of_requests_that_wait_are_bounded_too(made: Made) -> None:
    hanging = threading.Event()

    def decode(_: bytes) -> Decoded:
        hanging.wait(10)
        return Decoded()

    source = made(decode, waiting_bytes_max=1000)
    flood = [asyncio.create_task(source.take(b"x" * 300)) for _ in range(5)]
    await asyncio.sleep(0)
    hanging.set()
    ended = await asyncio.gather(*flood, return_exceptions=True)
    assert sum(isinstance(one, BusyError) for one in ended) == 2


async def test_a_request_that_its_sender_gives_up_leaves_nothing_behind(made: Made) -> None:
    hanging = threading.Event()
    decoded: list[bytes] = []

    def decode(body: bytes) -> Decoded:
        hanging.wait(60)
        decoded.append(body[:5])
        return Decoded()

    source = made(decode)
    first = asyncio.create_task(source.take(b"first"))
    await asyncio.sleep(0)
    tracemalloc.start()
    try:
        for _ in range(50):
            one = asyncio.create_task(source.take(b"given up".ljust(2**20)))
            await asyncio.sleep(0)
            one.cancel()
            with suppress(asyncio.CancelledError):
                await one
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        last = asyncio.create_task(source.take(b"last"))
        await asyncio.sleep(0)
        hanging.set()
    await asyncio.gather(first, last)

    assert left < 2 * 2**20
    assert decoded == [b"first", b"last"]


async def test_a_body_is_bounded_packed_and_unpacked(made: Made) -> None:
    source = made()
    with pytest.raises(UndecodableError, match="over 4194304 bytes: send smaller batches"):
        await source.take(gzip.compress(bytes(5 * 2**20)))
    with pytest.raises(UndecodableError, match="over 4194304 bytes"):
        await source.take(bytes(5 * 2**20))
    with pytest.raises(UndecodableError, match="cut off gzip"):
        await source.take(gzip.compress(b"x" * 1000)[:20])
    with pytest.raises(UndecodableError, match="no ExportMetricsServiceRequest"):
        await source.take(b"GET / HTTP/1.1")
    taken = await source.take(gzip.compress(request(tokens("input", 100, at=100))))
    assert len(taken.points) == 1


def test_points_and_attributes_are_bounded_and_others_are_taken() -> None:
    many = {f"attribute.{number}": "x" for number in range(ATTRIBUTES_MAX)}
    found = DECODER.decode(
        request(
            tokens("input", 100, at=100, **many),
            tokens("input", 100, at=100),
            counter("process.uptime", 1, at=100),
        )
    )
    assert len(found.points) == 1
    refused = "over 128 attributes, or over 8192 characters of them"
    assert found.rejected == {refused: 1}
    long = {f"attribute.{number}": "x" * 250 for number in range(32)}
    assert DECODER.decode(request(tokens("input", 1, at=1, **long))).rejected == {refused: 1}
    of_resource = DECODER.decode(request(tokens("input", 1, at=1), **long))
    assert of_resource.rejected == {f"a resource with {refused}": 1}
    one = counter("process.uptime", 1, at=100)
    points = [*one.data.data_points] * 11
    flood = replace(one, data=replace(one.data, data_points=points))  # type: ignore[type-var]
    with pytest.raises(UndecodableError, match="11 points in one request, over 10: send smaller"):
        Decoder(NAMES, points_max=10).decode(request(flood))


def field(number: int, content: bytes) -> bytes:
    """A field of protobuf with bytes or a message."""
    length, size = [], len(content)
    while size > 127:
        length.append(size % 128 + 128)
        size //= 128
    return bytes([number * 8 + 2, *length, size]) + content


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(field(1, field(2, b"") * 200_000), id="empty-scopes"),
        pytest.param(field(1, field(1, field(1, b"") * 200_000)), id="empty-attributes"),
        pytest.param(
            b"".join(
                field(1, field(2, field(2, field(1, bytes([65 + number]) * 100_000))))
                for number in range(20)
            ),
            id="long-names",
        ),
    ],
)
def test_a_small_request_of_many_parts_or_long_names_takes_little_memory(bomb: bytes) -> None:
    """An object of Python for each part is a hundred times its two bytes."""
    decoder = Decoder(NAMES)
    tracemalloc.start()
    try:
        with suppress(UndecodableError):
            decoder.decode(bomb)
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 300_000
    assert most < 3_000_000


async def test_a_histogram_without_its_sum_has_no_rate_of_tokens_and_no_zero(made: Made) -> None:
    def body(at: float) -> bytes:
        parsed = ExportMetricsServiceRequest.FromString(request(tokens("input", 60 * at, at=at)))
        metric = parsed.resource_metrics[0].scope_metrics[0].metrics[0]
        metric.histogram.data_points[0].ClearField("sum")
        return parsed.SerializeToString()

    seen = await observed(made(), [(at, [body(at)]) for at in (100, 160)])
    assert isinstance(seen.readings[Signal.PROMPT_TOKENS], Absent)


def test_one_process_cannot_take_the_room_of_others_and_ended_series_make_room() -> None:
    series = PushedSeries(
        frozenset({"gen_ai_request_model"}),
        keep_seconds=120,
        series_max=30,
        series_of_process_max=20,
    )

    def refused(at: float, count: int, service: str) -> int:
        metrics = [tokens("input", 100, at=at, user=str(number)) for number in range(count)]
        decoded = DECODER.decode(request(*metrics, service__name=service))
        return series.take(decoded, now_seconds=at).total()

    assert refused(100, 25, "flood") == 5
    assert refused(100, 9, "shop") == 0
    assert refused(100, 2, "search") == 1  # 30 in all
    assert refused(150, 9, "shop") == 0  # known ones keep their place
    assert refused(221, 15, "search") == 0  # the flood has ended


def test_a_time_in_the_future_is_refused_and_said() -> None:
    series = PushedSeries(frozenset({"gen_ai_request_model"}), keep_seconds=120)
    decoded = DECODER.decode(request(tokens("input", 100, at=1000)))
    rejected = series.take(decoded, now_seconds=100)
    assert rejected == {"over 60 s in the future: set the sender's clock": 1}


async def test_a_request_that_cannot_be_read_leaves_nothing_behind(made: Made) -> None:
    bomb = gzip.compress(bytes(8 * 2**20))
    source = made()
    gc.collect()
    gc.disable()  # what is in a cycle would stay until the next full collection
    tracemalloc.start()
    try:
        for _ in range(3):
            with suppress(UndecodableError):
                await source.take(bytes([*bomb]))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert kept < 2**20
