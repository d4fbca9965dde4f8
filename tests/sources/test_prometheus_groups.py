"""Feeds of one namespace are read by one query, and each reads what it would read alone."""

import asyncio
import json
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Final
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web

from scaler.errors import SourceError
from scaler.scope import Scope
from scaler.signals import Absent, Observation, Signal
from scaler.sources.catalogue import load
from scaler.sources.preset import Preset
from scaler.sources.prometheus import PrometheusSource
from scaler.sources.prometheus_config import PrometheusConfig
from scaler.sources.prometheus_feed import FEEDS_MAX, HALVED_SECONDS, SAMPLES_MAX, WELL_LOOKS
from scaler.sources.prometheus_feed import PrometheusFeed as Feed
from tests.sources.prometheus_played import PlayedPrometheus, Series, Store
from tests.sources.prometheus_stub import Stub, serving

NOW = 1_800_000_000.0
VLLM = load("vllm")
NAMES: Final = (
    "m",
    "m2",
    "M",
    "a.b",
    "a|b",
    "axb",
    'x"} or vector(1) #',
    "back\\slash",
    "é ü",
    "n\nl",
)
"""Of models: parts, patterns and quotes of others."""
TIMEOUT_SECONDS: Final = 60.0
"""Longer than a core may be busy with other things."""


def feeds_of(
    source: PrometheusSource, models: Sequence[str | None], preset: Preset = VLLM
) -> list[Feed]:
    return [source.feed(preset=preset, scope=Scope(namespace="ns", model=m)) for m in models]


async def read(
    feeds: Sequence[Feed], *, at: float = NOW, period_seconds: float = 15.0
) -> list[Observation | Exception]:
    """The next moment, as the planner reads it, a period later."""
    await asyncio.sleep(period_seconds)
    group = feeds[0].group
    answers: dict[int, Observation | Exception] = {}
    for part in group.parts(feeds):
        answers |= zip(
            part, await group.observe([feeds[i] for i in part], now_seconds=at), strict=True
        )
    return [answers[position] for position in range(len(feeds))]


def waiting(model: str, value: float, *, at: float = NOW, namespace: str = "ns") -> Series:
    labels = {"__name__": "vllm:num_requests_waiting", "model_name": model, "pod": model}
    return Series({**labels, "namespace": namespace}, [(at - 5, value)])


def values(answers: Sequence[Observation | Exception]) -> list[float | None]:
    return [one.value(Signal.WAITING) if isinstance(one, Observation) else None for one in answers]


def any_series(chance: random.Random, preset: Preset) -> Series:
    """One that an engine, a scraper or a tenant could make, of any model, or without one."""
    labels = {
        "__name__": chance.choice(sorted(preset.spelled)),
        "namespace": chance.choice(["ns", "ns", "other"]),
        "pod": f"pod-{chance.randrange(6)}",
        preset.model_label: chance.choice([*NAMES, ""]),
    }
    if chance.random() < 0.5:
        labels["le"] = chance.choice(["0.1", "1", "+Inf"])
    if chance.random() < 0.3:
        labels["job"] = chance.choice(["a", "b"])
    if preset is VLLM and chance.random() < 0.2:  # without a model, beside those that have one
        labels |= {"__name__": "vllm:cache_config_info", preset.model_label: ""}
        labels |= {"num_gpu_blocks": str(chance.randrange(1000)), "block_size": "16"}
    if not labels[preset.model_label]:
        del labels[preset.model_label]
    times = sorted(chance.sample(range(-30, 150), chance.randrange(1, 8)), reverse=True)
    numbers = [chance.choice([0.0, 1.0, 7.5, 1e6, 1e300, -1.0, float("nan")]) for _ in times]
    if chance.random() < 0.7:
        numbers = sorted(chance.random() * 1000 for _ in times)
    return Series(labels, [(NOW - back, v) for back, v in zip(times, numbers, strict=True)])


@pytest.mark.parametrize("engine", ["vllm", "llm-d", "sglang", "tgi"])
@pytest.mark.parametrize("seed", range(12))
async def test_feeds_read_together_observe_to_the_bit_what_each_observes_alone(
    engine: str, seed: int
) -> None:
    chance, preset = random.Random(seed), load(engine)  # noqa: S311 - no secret
    store = Store([any_series(chance, preset) for _ in range(chance.choice([0, 20, 120]))])
    models = chance.sample(NAMES, 6)
    alone = [
        await one.observe(now_seconds=NOW)
        for one in feeds_of(PlayedPrometheus(store), models, preset)
    ]
    together = feeds_of(PlayedPrometheus(store), models, preset)
    store.asked.clear()

    answers = await together[0].group.observe(together, now_seconds=NOW)

    assert [repr(one) for one in answers] == [repr(one) for one in alone]
    assert len(store.asked) == 1


async def test_series_without_a_model_belong_to_each_feed_whose_exporter_they_are_of() -> None:
    series = [waiting("a", 1), waiting("b", 2)]
    series += [
        Series(
            {
                "__name__": "vllm:cache_config_info",
                "pod": pod,
                "namespace": "ns",
                "num_gpu_blocks": blocks,
                "block_size": "16",
            },
            [(NOW - 5, 1.0)],
        )
        for pod, blocks in (("a", "100"), ("b", "200"))
    ]
    feeds = feeds_of(PlayedPrometheus(Store(series)), ["a", "b"])

    answers = await feeds[0].group.observe(feeds, now_seconds=NOW)

    assert [one.value(Signal.KV_CAPACITY) for one in answers if isinstance(one, Observation)] == [
        1600,
        3200,
    ]


async def test_only_feeds_that_differ_in_nothing_but_the_model_share_a_query() -> None:
    source = PlayedPrometheus(Store())
    group = feeds_of(source, ["m"])[0].group

    def of(preset: Preset = VLLM, **scope: object) -> object:
        whole: dict[str, object] = {"namespace": "ns", "model": "m2"} | scope
        return source.feed(preset=preset, scope=Scope(**whole)).group  # type: ignore[arg-type]

    assert of() is group
    others = [
        of(namespace="other"),
        of(namespace=None),
        of(labels=(("team", "a"),)),
        of(labels=(("team", "b"),)),
        of(model=None),
        of(load("sglang")),
    ]
    assert group not in others
    assert len(set(map(id, others))) == len(others)


async def test_a_tenant_is_read_apart_where_the_series_have_no_namespace() -> None:
    source = PlayedPrometheus(Store(), namespace_label=None)
    one, other = (
        source.feed(preset=VLLM, scope=Scope(namespace=name, model="m")) for name in ("a", "b")
    )
    assert one.group is not other.group


async def test_a_query_names_its_own_models_and_the_whole_scope_of_each() -> None:
    store = Store()
    source = PlayedPrometheus(store, labels={"cluster": "c"})
    feeds = [
        source.feed(
            preset=load("sglang"),
            scope=Scope(namespace="ns", model=model, labels=(("team", "t"),)),
        )
        for model in ("a.b", "c|d", "a.b")
    ]
    _ = await feeds[0].group.observe(feeds, now_seconds=NOW)

    (query,) = store.asked
    assert query.endswith(
        r',cluster="c",model_name=~"a\\.b|c\\|d",namespace="ns",team="t"}[119999ms]'
    )


async def test_a_query_has_a_bound_of_feeds_and_of_the_samples_that_are_expected() -> None:
    few = [waiting(f"m{n}", n) for n in range(FEEDS_MAX + 1)]
    store = Store(few)
    feeds = feeds_of(PlayedPrometheus(store), [f"m{n}" for n in range(FEEDS_MAX + 1)])
    assert len(feeds[0].group.parts(feeds)) == len(feeds)  # of unknown size: each alone
    assert values(await read(feeds)) == list(range(FEEDS_MAX + 1))

    assert [len(part) for part in feeds[0].group.parts(feeds)] == [FEEDS_MAX, 1]
    assert values(await read(feeds)) == list(range(FEEDS_MAX + 1))
    assert len(store.asked) == len(feeds) + 2

    # Two with most of an answer do not share one; one that is an answer by itself is alone.
    for series, share in zip(few[:4], (0.6, 0.6, 0.4, 1.0), strict=True):
        count = round(share * SAMPLES_MAX)
        series.samples = [(NOW - 100 + 100 * n / count, 1.0) for n in range(count)]
    _ = await read(feeds[:4])
    assert feeds[0].group.parts(feeds[:4]) == [[0], [1, 2], [3]]


@pytest.mark.parametrize("fault", ["too large", "unreadable"])
async def test_a_feed_whose_answer_is_refused_costs_the_others_one_look(fault: str) -> None:
    models = [f"m{n}" for n in range(10)]
    store = Store([waiting(model, 7) for model in models])
    feeds = feeds_of(PlayedPrometheus(store), models)
    _ = await read(feeds)
    assert values(await read(feeds)) == [7] * 10

    bad = store.series[0]
    if fault == "too large":
        bad.samples *= 1000
        store.refuses = lambda samples: samples >= 1000
    else:
        store.unreadable.add("m0")
    assert values(await read(feeds)) == [None] * 10
    for _ in range(3):
        answers = await read(feeds)
        assert isinstance(answers[0], SourceError)
        assert values(answers[1:]) == [7] * 9

    store.asked.clear()
    _ = await read(feeds)
    assert len(store.asked) == 2, "the one alone, all others together"

    # It is well again, and stays alone for a while: it may be at fault every other time.
    bad.samples = [(NOW - 5, 7.0)]
    store.unreadable.clear()
    counts = []
    for _ in range(WELL_LOOKS + 1):
        store.asked.clear()
        assert values(await read(feeds)) == [7] * 10
        counts.append(len(store.asked))
    assert counts == [2] * WELL_LOOKS + [1]


@dataclass
class Served(Stub):
    """A store behind Prometheus' API, which fails where a query names the model `bad`."""

    store: Store = field(default_factory=Store)
    fault: str = ""
    hanging: Callable[[], None] = lambda: None
    """Called where an answer does not come."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        form = parse_qs(await request.text())
        bad = self.fault and "bad" in form["query"][0]
        if bad and self.fault == "hangs":
            self.hanging()
            await self.hung_up.wait()
        if bad and self.fault == "422":
            error = {"status": "error", "errorType": "execution", "error": "too many samples"}
            return web.json_response(error, status=422)
        result = self.store.answer(form["query"][0], float(form["time"][0]))
        answer = {"status": "success", "data": {"resultType": "matrix", "result": result}}
        return web.Response(text=json.dumps(answer) + " " * (2**17 if bad else 0))


@pytest.fixture
def pass_timeout(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the timeout of a read pass at once, in a loop that else lives in real time."""
    passed_seconds = 0.0
    real = time.monotonic  # noqa: TID251 - the clock of the loop

    def pass_it() -> None:
        nonlocal passed_seconds
        passed_seconds += TIMEOUT_SECONDS
        monkeypatch.setattr(
            asyncio.get_running_loop(), "time", lambda passed=passed_seconds: real() + passed
        )

    return pass_it


@pytest.mark.looptime(False)  # sockets and threads take real time
@pytest.mark.parametrize("fault", ["too large", "422", "hangs"])
async def test_honest_feeds_are_read_at_the_next_moment_after_a_fault_of_another(
    fault: str, pass_timeout: Callable[[], None]
) -> None:
    names = ("a", "b", "bad")
    store = Store([waiting(name, 7) for name in names])
    async with serving(Served(store=store, hanging=pass_timeout)) as stub:
        config = PrometheusConfig(
            name="main",
            url=stub.url,
            timeout_seconds=TIMEOUT_SECONDS,
            concurrency=2,
            body_bytes_max=2**17,
        )
        source = PrometheusSource(config)
        feeds = feeds_of(source, names)
        seen = [values(await read(feeds, period_seconds=0)) for _ in range(2)]
        stub.fault = fault
        seen += [values(await read(feeds, period_seconds=0)) for _ in range(2)]
        stub.hung_up.set()
        await source.close()

    assert seen == [[7, 7, 7], [7, 7, 7], [None, None, None], [7, 7, None]]


async def test_a_source_that_is_down_or_wants_a_pause_is_not_asked_for_each_feed() -> None:
    models = [f"m{n}" for n in range(10)]
    store = Store([waiting(model, 7) for model in models])
    feeds = feeds_of(PlayedPrometheus(store), models)
    _ = await read(feeds)

    key = SimpleNamespace(host="played", port=80, ssl=True)
    store.down = aiohttp.ClientConnectorError(key, OSError("refused"))
    for _ in range(3):
        assert len(feeds[0].group.parts(feeds)) == 1
        answers = await read(feeds)
        assert all("Cannot connect to host played:80" in str(one) for one in answers)

    store.down = None
    store.asked.clear()
    assert values(await read(feeds)) == [7] * 10
    assert len(store.asked) == 1


async def test_a_server_that_refuses_many_feeds_at_once_is_asked_for_half_as_many() -> None:
    models = [f"m{n}" for n in range(10)]
    store = Store([waiting(model, 7) for model in models])
    store.refuses = lambda samples: samples > 6
    feeds = feeds_of(PlayedPrometheus(store), models)

    seen = [values(await read(feeds)) for _ in range(20)]
    assert seen[0] == [7] * 10  # each alone
    # Together, alone, and together once more: it was of none of them.
    assert seen[1:4] == [[None] * 10, [7] * 10, [None] * 10]
    assert seen[4:] == [[7] * 10] * 16
    store.asked.clear()
    _ = await read(feeds)
    assert len(store.asked) == 2

    # Once in a while more are tried, which costs one look where the limit is still there.
    store.refuses = lambda _: False
    await asyncio.sleep(HALVED_SECONDS)
    store.asked.clear()
    assert values(await read(feeds)) == [7] * 10
    assert len(store.asked) == 1


async def test_a_server_that_fails_once_for_all_is_asked_as_before() -> None:
    models = [f"m{n}" for n in range(30)]
    store = Store([waiting(model, 7) for model in models])
    feeds = feeds_of(PlayedPrometheus(store), models)
    _ = await read(feeds)

    store.refuses = lambda _: True
    assert values(await read(feeds)) == [None] * 30
    store.refuses = lambda _: False
    _ = await read(feeds)

    assert [len(part) for part in feeds[0].group.parts(feeds)] == [10, 10, 10]


async def test_a_feed_that_is_forgotten_keeps_no_other_from_being_read() -> None:
    models = [f"m{n}" for n in range(10)]
    store = Store([waiting(model, 7) for model in models])
    store.refuses = lambda samples: samples > 6
    feeds = feeds_of(PlayedPrometheus(store), models)
    _ = await read(feeds)
    assert values(await read(feeds)) == [None] * 10

    feeds = feeds[1:]
    seen = [values(await read(feeds)) for _ in range(8)]

    assert seen[2:] == [[7] * 9] * 6


async def test_feeds_without_series_are_read_at_each_moment() -> None:
    feeds = feeds_of(PlayedPrometheus(Store()), [f"m{n}" for n in range(12)])
    for _ in range(3):
        assert len(await read(feeds)) == 12

    store = Store([waiting("there", 1)])
    feeds = feeds_of(PlayedPrometheus(store), ["gone", "there"])
    for _ in range(3):
        assert values(await read(feeds)) == [None, 1]


@pytest.mark.parametrize("seed", range(20))
async def test_each_feed_is_in_one_part_whatever_the_answers_before_were(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    feeds = feeds_of(PlayedPrometheus(Store()), [f"m{n}" for n in range(40)])
    for feed in feeds:
        if chance.random() < 0.8:
            feed.last_answer.answered(chance.choice([0, 0, 10, 5_000, 12_500, 100_000]))

    parts = feeds[0].group.parts(feeds)

    assert sorted(position for part in parts for position in part) == list(range(40))
    assert all(0 < len(part) <= FEEDS_MAX for part in parts)


async def test_an_answer_that_a_proxy_breaks_off_is_asked_for_alone() -> None:
    store = Store([waiting("a", 1), waiting("b", 2)])
    feeds = feeds_of(PlayedPrometheus(store), ["a", "b"])
    _ = await read(feeds)

    store.down = aiohttp.ServerDisconnectedError()
    assert values(await read(feeds)) == [None, None]

    assert feeds[0].group.parts(feeds) == [[0], [1]]


async def test_a_feed_at_fault_is_no_reason_to_ask_for_fewer_at_once() -> None:
    models = [f"m{n}" for n in range(10)]
    store = Store([waiting(model, 7) for model in models])
    feeds = feeds_of(PlayedPrometheus(store), models)
    _ = await read(feeds)
    store.unreadable.add("m3")
    for _ in range(3):
        _ = await read(feeds)

    assert sorted(map(len, feeds[0].group.parts(feeds))) == [1, 9]


async def test_a_look_that_was_ended_from_outside_is_made_alone_next() -> None:
    feeds = feeds_of(PlayedPrometheus(Store([waiting("a", 1), waiting("b", 2)])), ["a", "b"])
    _ = await read(feeds)
    group = feeds[0].group

    async def hangs(*_: object) -> None:
        await asyncio.Event().wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group.reads, "run", hangs)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                _ = await group.observe(feeds, now_seconds=NOW)

    assert group.parts(feeds) == [[0], [1]]


async def test_what_is_missing_is_told_to_each_feed_and_looked_up_once_for_all() -> None:
    store = Store([waiting("there", 1), waiting("foreign", 1, namespace="other")])
    feeds = feeds_of(PlayedPrometheus(store), ["there", "a", "b"])

    answers = await feeds[0].group.observe(feeds, now_seconds=NOW)

    assert values(answers) == [1, None, None]
    for answer, model in zip(answers[1:], "ab", strict=True):
        assert isinstance(answer, Observation)
        why = f"no vllm series for model '{model}', namespace 'ns'; models seen there: there"
        assert answer.readings[Signal.RUNNING] == Absent(why=why)
    assert len(store.looked_up) == 1
    # Feeds with nothing to read stay with the others.
    assert feeds[0].group.parts(feeds) == [[0, 1, 2]]


async def test_a_feed_whose_samples_went_back_in_time_is_refused_alone() -> None:
    store = Store([waiting("a", 1), waiting("b", 2)])
    feeds = feeds_of(PlayedPrometheus(store), ["a", "b"])
    _ = await read(feeds)
    store.series = [waiting("a", 1), waiting("b", 2, at=NOW - 100)]

    one, other = await feeds[0].group.observe(feeds, now_seconds=NOW)

    assert values([one]) == [1]
    assert isinstance(other, SourceError)
    assert re.search("older than one that was read before", str(other))
