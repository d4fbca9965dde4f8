"""A real Prometheus between engine and reader: what it does to names, samples and absence."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scaler.errors import SourceError, SourceMisconfiguredError, SourceUnavailableError
from scaler.scope import Scope
from scaler.signals import Absent, Feed, Observation, Signal, Stale, Value
from scaler.sources.access import Basic, Tls
from scaler.sources.catalogue import load
from scaler.sources.prometheus import PrometheusSource
from scaler.sources.prometheus_config import PrometheusConfig
from scaler.sources.reading import Limits
from tests import prometheus
from tests.contracts.certificates import Authority
from tests.exporter import Engine, Exporter, WholeIntervals, served
from tests.prometheus import Job, PrometheusServer

# Prometheus lives in real time.
pytestmark = pytest.mark.looptime(False)

VLLM = load("vllm")
# Scrapes are a second apart here; the defaults are for intervals of 15 and 30 s.
QUICK = Limits(window_seconds=4, stale_after_seconds=3)
MOMENT_SECONDS = 0.25
PASSWORD = "test"
# Of "test", by bcrypt.
WEB_USERS = {"foresail": "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay"}
HOSTILE = 'x"} or vector(1) # \\'


def now() -> float:
    return time.time()  # noqa: TID251


@dataclass(frozen=True)
class Live:
    """One Prometheus that has scraped one engine for each of the stories below."""

    server: PrometheusServer
    exporters: dict[str, Exporter]
    past_start_seconds: float


PAST_MINUTES = 30
GAP_MINUTES = range(10, 15)


RENAMED_AT_STEP = 20
RENAMED_STEPS = 40
RENAMED_STEP_SECONDS = 15


def past(start_seconds: float) -> str:
    """Scraped engines as OpenMetrics with times.

    One has half an hour with a gap and a restart, the other ten minutes with 2 tokens a second; in
    the middle its series get new names.
    """
    waiting, tokens, count = [], [], 0
    labels = '{model_name="past",engine="0",pod="a",namespace="llm"}'
    for minute in range(PAST_MINUTES):
        count = 0 if minute == 20 else count + 60 * minute
        if minute in GAP_MINUTES:
            continue
        at = start_seconds + 60 * minute
        waiting.append(f"vllm:num_requests_waiting{labels} {minute} {at}")
        tokens.append(f"vllm:generation_tokens_total{labels} {count} {at}")
    labels = labels.replace("past", "renamed-past")
    old: list[str] = []
    new: list[str] = []
    for step in range(RENAMED_STEPS):
        elapsed = RENAMED_STEP_SECONDS * step
        name = "vllm:" if step < RENAMED_AT_STEP else "vllm_"
        line = f"{name}generation_tokens_total{labels} {2 * elapsed} {start_seconds + elapsed}"
        (old if step < RENAMED_AT_STEP else new).append(line)
    return "\n".join(
        [
            "# TYPE vllm:num_requests_waiting gauge",
            *waiting,
            "# TYPE vllm:generation_tokens counter",
            *tokens,
            *old,
            "# TYPE vllm_generation_tokens counter",
            *new,
            "# EOF\n",
        ]
    )


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    prometheus.require()
    folder = tmp_path_factory.mktemp("prometheus")
    server = PrometheusServer(folder)
    past_start_seconds = (now() // 3600 - 3) * 3600
    (folder / "past").write_text(past(past_start_seconds))
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "past", server.data],
        check=True,
        capture_output=True,
    )
    engines = [
        Engine(model="colon", plain_text=True),
        Engine(model="underscore"),
        Engine(model="ray", prefix="ray_vllm_"),
        Engine(model="renamed", plain_text=True, kv_name="gpu_cache_usage_perc"),
        Engine(model="dying"),
        Engine(model="nan"),
        Engine(model=HOSTILE),
    ]
    for engine in engines:
        engine.grown_seconds = WholeIntervals()
    with served(*engines) as exporters:
        server.configure(
            *(
                Job(
                    name=f"engine-{index}",
                    address=exporter.address,
                    labels={"namespace": "llm", "pod": f"pod-{index}"},
                )
                for index, exporter in enumerate(exporters)
            )
        )
        server.start()
        yield Live(server, {e.engine.model: e for e in exporters}, past_start_seconds)
        server.kill()


@pytest.fixture
async def feed_of() -> AsyncIterator[Callable[..., Feed]]:
    sources = []

    def made(server: PrometheusServer, model: str, **settings: object) -> Feed:
        settings = {"limits": QUICK, "timeout_seconds": 60, "concurrency": 2} | settings
        config = PrometheusConfig(name="main", url=server.url, **settings)
        source = PrometheusSource(config)
        sources.append(source)
        return source.feed(preset=VLLM, scope=Scope(model=model, namespace="llm"))

    yield made
    for source in sources:
        await source.close()


async def until(
    feed: Feed,
    condition: Callable[[Observation], bool],
    *,
    deadline_seconds: float = prometheus.DEADLINE_SECONDS,
) -> list[Observation]:
    """Observe until it holds; everything seen on the way."""
    limit = now() + deadline_seconds
    seen: list[Observation] = []
    while not seen or not condition(seen[-1]):
        assert now() < limit, f"not within {deadline_seconds} s; last: {seen[-1]}"
        seen.append(await feed.observe(now_seconds=now()))
        await asyncio.sleep(0.1)
    return seen


async def looked_back(feed: Feed, begin_seconds: float) -> list[Observation]:
    """What was to be seen at each moment from then until now, also where a busy core saw none.

    Args:
        feed: that has looked at nothing later.
        begin_seconds: Unix time.
    """
    end_seconds = now()
    moments = int((end_seconds - begin_seconds) / MOMENT_SECONDS)
    at = [begin_seconds + MOMENT_SECONDS * number for number in range(moments + 1)]
    return [await feed.observe(now_seconds=moment) for moment in (*at, end_seconds)]


def has_rates(observation: Observation) -> bool:
    return observation.value(Signal.TTFT) is not None


def has_steady_rates(observation: Observation) -> bool:
    """Not while a scrape that a busy core made an interval late is in the window."""
    tokens = observation.value(Signal.GENERATED_TOKENS)
    return has_rates(observation) and tokens == pytest.approx(120, rel=0.1)


@pytest.mark.parametrize(
    ("model", "stored_as"),
    [
        ("colon", "vllm:num_requests_running"),
        ("underscore", "vllm_num_requests_running"),
        ("ray", "ray_vllm_num_requests_running"),
    ],
)
async def test_every_spelling_reads_as_what_was_served(
    live: Live, feed_of: Callable[..., Feed], model: str, stored_as: str
) -> None:
    observation = (await until(feed_of(live.server, model), has_steady_rates))[-1]

    assert stored_as in live.server.names()
    exact = {
        Signal.WAITING: 5,
        Signal.WAITING_DEFERRED: 2,
        Signal.RUNNING: 7,
        Signal.KV_USE: 0.25,
        Signal.REJECTED: 0,
        Signal.REPLICAS: 1,
    }
    assert {signal: observation.value(signal) for signal in exact} == exact
    assert observation.value(Signal.PROMPT_TOKENS) == pytest.approx(600, rel=0.1)
    assert observation.value(Signal.GENERATED_TOKENS) == pytest.approx(120, rel=0.1)
    assert observation.value(Signal.REQUESTS) == pytest.approx(2, rel=0.1)
    assert observation.value(Signal.TTFT) == pytest.approx(0.75, rel=0.1)
    assert observation.remarks == ()


async def test_a_model_name_is_a_name_whatever_it_holds(
    live: Live, feed_of: Callable[..., Feed]
) -> None:
    seen = await until(feed_of(live.server, HOSTILE), lambda o: o.value(Signal.RUNNING) == 7)
    assert seen[-1].value(Signal.REPLICAS) == 1


async def test_a_common_query_answers_as_each_query_alone(live: Live) -> None:
    config = PrometheusConfig(
        name="main", url=live.server.url, limits=QUICK, timeout_seconds=60, concurrency=2
    )
    source = PrometheusSource(config)
    models = ("colon", "underscore", "ray", HOSTILE, "col", "colon|ray", ".*")
    feeds = [source.feed(preset=VLLM, scope=Scope(model=m, namespace="llm")) for m in models]
    try:
        for feed in feeds[:4]:
            await until(feed, has_rates)
        alone, again = [], None
        while alone != again:  # a scrape that a busy core made late came in between
            at = now() - 1
            alone = [await feed.observe(now_seconds=at) for feed in feeds]
            together = await feeds[0].group.observe(feeds, now_seconds=at)
            again = [await feed.observe(now_seconds=at) for feed in feeds]
    finally:
        await source.close()

    assert list(together) == alone
    assert [one.value(Signal.RUNNING) for one in alone] == [7, 7, 7, 7, None, None, None]


async def test_series_renamed_in_mid_run_leave_no_hole(
    live: Live, feed_of: Callable[..., Feed]
) -> None:
    engine = live.exporters["renamed"].engine
    engine.plain_text, engine.kv_name = True, "gpu_cache_usage_perc"
    old = ("read by its old name: vllm:gpu_cache_usage_perc",)
    feed = feed_of(live.server, "renamed")
    before = (await until(feed, lambda o: has_steady_rates(o) and o.remarks == old))[-1]

    # As an upgrade of prometheus_client and of vLLM would: `vllm_` for `vllm:`, `kv_` for `gpu_`.
    engine.plain_text = False
    engine.kv_name = "kv_cache_usage_perc"
    seen = await until(feed, lambda o: has_rates(o) and not o.remarks)

    for signal in (Signal.WAITING, Signal.RUNNING, Signal.KV_USE, Signal.REPLICAS):
        assert {o.value(signal) for o in seen} == {before.value(signal)}
    assert all(observation.value(Signal.GENERATED_TOKENS) for observation in seen)


async def test_a_counter_renamed_in_mid_run_keeps_its_rate(
    live: Live, feed_of: Callable[..., Feed]
) -> None:
    feed = feed_of(live.server, "renamed-past", limits=Limits())

    rates = [
        observation.value(Signal.GENERATED_TOKENS)
        for step in range(8, RENAMED_STEPS)
        for observation in [
            await feed.observe(now_seconds=live.past_start_seconds + RENAMED_STEP_SECONDS * step)
        ]
    ]

    assert rates == [2] * (RENAMED_STEPS - 8)


async def test_an_exporter_that_died_is_stale_then_absent_and_never_zero(
    live: Live, feed_of: Callable[..., Feed]
) -> None:
    engine = live.exporters["dying"].engine
    engine.dead = False
    feed = feed_of(live.server, "dying")
    await until(feed, has_rates)

    begin = now()
    engine.dead = True
    await until(feed, lambda o: isinstance(o.readings[Signal.RUNNING], Absent))

    seen = await looked_back(feed_of(live.server, "dying"), begin)
    running = [observation.readings[Signal.RUNNING] for observation in seen]
    kinds = list(dict.fromkeys(type(reading) for reading in running))
    assert kinds == [Value, Stale, Absent]
    assert {reading.value for reading in running if isinstance(reading, Value)} == {7}
    assert isinstance(running[-1], Absent)
    assert "no vllm series for model 'dying', namespace 'llm' since 20" in running[-1].why
    assert "models seen there: colon, " in running[-1].why


async def test_nan_is_not_zero(live: Live, feed_of: Callable[..., Feed]) -> None:
    engine = live.exporters["nan"].engine
    engine.waiting = 5
    feed = feed_of(live.server, "nan")
    await until(feed, lambda o: has_rates(o) and o.value(Signal.WAITING) == 5)

    begin = now()
    engine.waiting = float("nan")
    await until(feed, lambda o: o.value(Signal.WAITING) is None)

    seen = await looked_back(feed_of(live.server, "nan"), begin)
    assert {o.value(Signal.WAITING) for o in seen} == {5, None}
    stale = [o for o in seen if isinstance(o.readings[Signal.WAITING], Stale)]
    assert stale[0].remarks[0].startswith("samples ignored, not a number: ")
    assert stale[0].value(Signal.RUNNING) == 7


async def test_a_wrong_namespace_is_told_without_naming_other_tenants(
    live: Live, feed_of: Callable[..., Feed]
) -> None:
    await until(feed_of(live.server, "colon"), lambda o: o.value(Signal.RUNNING) == 7)
    config = PrometheusConfig(name="main", url=live.server.url, timeout_seconds=60, concurrency=2)
    source = PrometheusSource(config)
    feed = source.feed(preset=VLLM, scope=Scope(model="colon", namespace="other"))
    reading = (await feed.observe(now_seconds=now())).readings[Signal.RUNNING]
    await source.close()
    assert isinstance(reading, Absent)
    assert reading.why == (
        "no vllm series for model 'colon', namespace 'other'; "
        "the engine is seen, but not with namespace 'other' and these labels"
    )


@pytest.mark.parametrize("chunk_steps", [240, 7], ids=["one query", "many queries"])
async def test_the_past_is_what_was_scraped_with_gaps_as_gaps(
    live: Live,
    feed_of: Callable[..., Feed],
    chunk_steps: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scaler.sources.prometheus_past.CHUNK_STEPS", chunk_steps)
    start = live.past_start_seconds
    feed = feed_of(live.server, "past", limits=Limits())

    history = [
        observation
        async for observation in feed.history(
            # A little off the grid: the answer is on it.
            start_seconds=start + 60 * 2 - 1,
            end_seconds=start + 60 * PAST_MINUTES + 7200,
            step_seconds=60,
        )
    ]

    minutes = [minute for minute in range(2, PAST_MINUTES) if minute not in GAP_MINUTES]
    assert [o.at_seconds for o in history] == [start + 60 * minute for minute in minutes]
    assert [o.value(Signal.WAITING) for o in history] == minutes
    # In minute m the counter grew by 60 m: m per second. After the gap there is nothing to compare
    # with, and in minute 20 it was restarted and stood at 0.
    rates = {**{m: m for m in minutes}, GAP_MINUTES.stop: None, 20: 0}
    assert [o.value(Signal.GENERATED_TOKENS) for o in history] == list(rates.values())
    assert Signal.TTFT not in history[0].readings


async def test_a_killed_prometheus_is_an_outage_and_an_emptied_one_an_absence(
    tmp_path: Path, feed_of: Callable[..., Feed]
) -> None:
    prometheus.require()
    server = PrometheusServer(tmp_path)
    with served(Engine(model="m")) as (exporter,):
        server.configure(Job(name="m", address=exporter.address, labels={"namespace": "llm"}))
        server.start()
        try:
            feed = feed_of(server, "m")
            await until(feed, lambda o: o.value(Signal.RUNNING) == 7)

            server.kill()
            with pytest.raises(SourceUnavailableError, match="connection refused") as caught:
                await feed.observe(now_seconds=now())
            assert str(caught.value).startswith(f"source 'main' at {server.url}: ")

            server.wipe()
            server.configure()
            server.start()
            observation = await feed.observe(now_seconds=now())
            assert {type(r) for r in observation.readings.values()} == {Absent}
        finally:
            server.kill()


async def test_a_refused_password_is_said_without_the_password(
    tmp_path: Path, feed_of: Callable[..., Feed]
) -> None:
    prometheus.require()
    password_file = tmp_path / "password"
    basic = Basic(username="foresail", password_file=password_file)
    server = PrometheusServer(tmp_path)
    server.configure(web={"basic_auth_users": WEB_USERS})
    server.start()
    try:
        feed = feed_of(server, "m", basic=basic)
        password_file.write_text("hunter2")
        with pytest.raises(SourceMisconfiguredError) as caught:
            await feed.observe(now_seconds=now())
        said = str(caught.value)
        assert "source 'main'" in said
        assert "HTTP 401: Unauthorized; check its token, password" in said
        assert "hunter2" not in said

        password_file.write_text(PASSWORD)
        observation = await feed.observe(now_seconds=now())
        assert {type(reading) for reading in observation.readings.values()} == {Absent}
    finally:
        server.kill()


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
async def test_tls_is_checked_on_both_sides(tmp_path: Path, feed_of: Callable[..., Feed]) -> None:
    prometheus.require()
    ours, theirs = Authority("ours"), Authority("theirs")
    files = {"ca": ours.certificate, "other-ca": theirs.certificate}
    for name in ("server", "client"):
        pair = ours.sign(name)
        files |= {f"{name}.pem": pair.certificate, f"{name}.key": pair.key}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    client = {"cert_file": tmp_path / "client.pem", "key_file": tmp_path / "client.key"}
    good = Tls(ca_file=tmp_path / "ca", **client)
    server = PrometheusServer(tmp_path, tls=good)
    server.configure(
        web={
            "tls_server_config": {
                "cert_file": "server.pem",
                "key_file": "server.key",
                "client_ca_file": "ca",
                "client_auth_type": "RequireAndVerifyClientCert",
            }
        }
    )
    server.start()
    try:
        observation = await feed_of(server, "m", tls=good).observe(now_seconds=now())
        assert {type(reading) for reading in observation.readings.values()} == {Absent}

        stranger = feed_of(server, "m", tls=Tls(ca_file=tmp_path / "ca"))
        # By TLS 1.3 the refusal races with our request: an alert, an end, a reset. No answer, ever.
        with pytest.raises(SourceError, match="source 'main' at https:"):
            await stranger.observe(now_seconds=now())

        wary = feed_of(server, "m", tls=Tls(ca_file=tmp_path / "other-ca", **client))
        with pytest.raises(SourceMisconfiguredError, match=r"TLS: .*certificate verify failed"):
            await wary.observe(now_seconds=now())

        missing = feed_of(server, "m", tls=Tls(ca_file=tmp_path / "none"))
        with pytest.raises(SourceMisconfiguredError, match="none"):
            await missing.observe(now_seconds=now())

        careless = feed_of(server, "m", tls=Tls(verify=False, **client))
        await careless.observe(now_seconds=now())
    finally:
        server.kill()
