"""Fast Model Actuation: ready requesters are the capacity, actuations by path the lead times."""

import asyncio
import math
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from foresail.serve.wiring import Sources
from foresail.settings.file import Settings
from scaler.decision.answers import Reference
from scaler.decision.tracker import DemandTracker, PollResult
from scaler.errors import SourceError, SourceUnavailableError
from scaler.evaluate import CycleState, WorkloadPlan, evaluate
from scaler.signals import Absent, LatencyCounts, Observation, Signal, Stale, Value
from scaler.sources.catalogue import load
from scaler.sources.reading import ObservationReader
from scaler.sources.requesters import FeedOfRequesters
from scaler.trigger_parsing import parse
from tests.scaler.fakes import PARAMETERS, NoForecast
from tests.sources.given_feed import Given
from tests.sources.pages import samples_on

PAGES = Path(__file__).parent.parent / "fixtures" / "fma"
QWEN = "qwen3-32b"


def read(preset: str, page: str, *, at_seconds: float = 100.0, pod: str = "a") -> Observation:
    made = load(preset)
    text = (PAGES / page).read_text()
    samples = samples_on(text, made, at_seconds=at_seconds, pod=pod)
    return ObservationReader(made, model=QWEN).observe(samples, now_seconds=100)


def actuations() -> Observation:
    return read("fma-actuations", "actuations.prom")


def engine(**values: float) -> Observation:
    """Of vLLM: two bound launchers answer."""
    known = {"running": 8.0, "waiting": 0.0, "prompt_tokens": 100.0, "generated_tokens": 50.0}
    known = {**known, "replicas": 2.0, **values}
    return Observation(
        at_seconds=100,
        readings={Signal(name): Value(value=one, at_seconds=100) for name, one in known.items()},
    )


async def observed(requesters: Observation | SourceError, counted: Observation) -> Observation:
    feed = FeedOfRequesters(
        engine=Given(engine()), requesters=Given(requesters), actuations=Given(counted)
    )
    return await feed.observe(now_seconds=100)


async def test_ready_requesters_are_the_capacity_whatever_pages_answer() -> None:
    # Sleepers and launchers that are bound to nothing answer or vanish: neither is capacity.
    both = await observed(read("fma-requesters", "requesters.prom"), actuations())
    assert both.value(Signal.REPLICAS) == 3
    assert both.value(Signal.RUNNING) == 8


@pytest.mark.parametrize(
    ("requesters", "expected"),
    [
        pytest.param(
            SourceUnavailableError("prometheus is down"),
            Absent(why="ready requesters are not read: prometheus is down"),
            id="down",
        ),
        pytest.param(
            read("fma-requesters", "requesters.prom", at_seconds=10),
            Stale(at_seconds=10),
            id="stale",
        ),
    ],
)
async def test_requesters_that_are_not_known_are_neither_zero_nor_the_engines_count(
    requesters: Observation | SourceError, expected: Absent | Stale
) -> None:
    both = await observed(requesters, actuations())
    assert both.readings[Signal.REPLICAS] == expected


async def test_requesters_and_actuations_that_hang_delay_the_engine_by_two_seconds_in_all() -> None:
    hangs = Given(actuations(), takes_seconds=60)
    feed = FeedOfRequesters(engine=Given(engine()), requesters=hangs, actuations=hangs)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    both = await feed.observe(now_seconds=100)
    assert loop.time() - begun == 2
    why = "no answer within 2 s"
    assert both.readings[Signal.REPLICAS] == Absent(why=f"ready requesters are not read: {why}")
    assert both.remarks == (f"actuations are not read: {why}",)
    assert both.value(Signal.RUNNING) == 8


async def test_the_past_has_the_requesters_of_its_steps() -> None:
    ready = read("fma-requesters", "requesters.prom")
    feed = FeedOfRequesters(
        engine=Given(engine(), past=[engine(), replace(engine(), at_seconds=160)]),
        requesters=Given(ready, past=[ready]),
    )
    past = [one async for one in feed.history(start_seconds=100, end_seconds=160, step_seconds=60)]
    assert [one.value(Signal.REPLICAS) for one in past] == [3, None]


def test_actuations_are_counted_by_path_for_one_configuration() -> None:
    starts = actuations().starts
    assert {path: one.count for path, one in starts.items()} == {"hot": 40, "warm": 12, "cold": 1}
    assert starts["hot"].total_seconds == pytest.approx(160.5)
    assert starts["warm"].mean_seconds == pytest.approx(85)


def test_two_scrapes_of_one_controller_count_once() -> None:
    made = load("fma-actuations")
    text = (PAGES / "actuations.prom").read_text()
    copies = [
        one
        for job in ("fma", "all-pods")
        for one in samples_on(text, made, at_seconds=100, pod="a", job=job)
    ]
    both = ObservationReader(made, model=QWEN).observe(copies, now_seconds=100)
    assert both.starts == actuations().starts


def planned(starts: dict[str, LatencyCounts], **parameters: object) -> WorkloadPlan:
    observation = replace(engine(), starts=starts)
    tracker = DemandTracker(NoForecast, step_seconds=60)
    poll = PollResult(at_seconds=100, observation=observation)
    tracker.take(poll)
    plan, _ = evaluate(
        Reference.of("llm", "chat", {}),
        poll,
        tracker,
        replace(PARAMETERS, **parameters),  # type: ignore[arg-type]
        CycleState.unread(0.0),
        now_seconds=100,
        answer_seconds_max=300,
    )
    return plan


def counts(number: float, over: float, up_to: float) -> LatencyCounts:
    return LatencyCounts(bounds_seconds=(over, up_to, math.inf), counts=(0.0, number, 0.0))


def test_actuations_by_path_are_the_lead_time_of_the_plan_before_any_order() -> None:
    plan = planned(dict(actuations().starts))
    # The one cold start is an exception. 80 % of the warm ones took 60 + .8 * 60 = 108 s at most;
    # four of them and the given 5 min as one: .8 of five.
    assert plan.parameters.lead_seconds == pytest.approx(108)
    assert plan.lead is not None
    assert [tier.starts for tier in plan.lead.tiers] == [40, 12]
    assert plan.lead.tiers[0].median_seconds == pytest.approx(4)
    assert "40 hot up to 5s, 12 warm up to 1m48s; warm counts as 4 starts" in plan.lead.evidence


@pytest.mark.parametrize(
    ("starts", "lead_seconds"),
    [
        pytest.param({"hot": counts(40, 3, 5)}, 4.6, id="all hot"),
        pytest.param({"hot": counts(40, 3, 5), "warm": counts(2, 60, 120)}, 4.6, id="two warm"),
        pytest.param({"warm": counts(2, 60, 120)}, 300, id="too few: leadTime"),
        pytest.param({}, 300, id="none: leadTime"),
    ],
)
def test_the_slowest_path_that_is_no_exception_counts(
    starts: dict[str, LatencyCounts], lead_seconds: float
) -> None:
    assert planned(starts).parameters.lead_seconds == pytest.approx(lead_seconds)


def test_a_fixed_lead_time_stays() -> None:
    assert planned(dict(actuations().starts), lead_fixed=True).parameters.lead_seconds == 300


@pytest.mark.looptime(False)  # sockets take real time
async def test_a_trigger_names_its_requesters_and_their_configuration() -> None:
    async def page(_: web.Request) -> web.Response:
        engines = 'vllm:num_requests_running{model_name="m"} 8\n'
        files = (PAGES / name for name in ("requesters.prom", "actuations.prom"))
        return web.Response(text=engines + "".join(one.read_text() for one in files))

    app = web.Application()
    app.add_routes([web.get("/metrics", page)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
    settings = Settings.model_validate(
        {"sources": [{"name": "main", "scrape": {"urls": [url], "namespaces": ["llm"]}}]}
    )
    connected = Sources.of(settings)
    metadata = {"model": "m", "requesters": QWEN, "inferenceServerConfig": QWEN}
    reference = Reference.of("llm", "a", {})
    try:
        plain = connected.connect(reference, parse({"model": "m"}, settings.allowed))
        binding = connected.connect(reference, parse(metadata, settings.allowed))
        seen = await binding.feed.observe(now_seconds=100)
    finally:
        await connected.close()
        await runner.cleanup()

    assert (seen.value(Signal.RUNNING), seen.value(Signal.REPLICAS)) == (8, 3)
    assert {path: one.count for path, one in seen.starts.items()} == {
        "hot": 40,
        "warm": 12,
        "cold": 1,
    }
    assert plain.key != binding.key
