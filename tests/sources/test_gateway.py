"""A gateway before an engine: whose arrivals count, and what happens where it does not answer."""

import pytest
from aiohttp import web

from foresail.serve.wiring import Sources
from foresail.settings.file import Settings
from scaler.decision.answers import Reference
from scaler.decision.series import DemandSeries
from scaler.decision.tracker import DemandTracker, PollResult
from scaler.errors import MetadataError, SourceError, SourceUnavailableError
from scaler.signals import Absent, Observation, Reading, Signal, Stale, Value
from scaler.sources.beside import WAIT_SECONDS
from scaler.sources.gateway import FeedBehindGateway
from scaler.trigger_parsing import AllowedOptions, parse
from tests.scaler.fakes import NoForecast
from tests.sources.given_feed import Given

ALLOWED = AllowedOptions(
    engines={"vllm": False, "litellm": True},
    gateways=frozenset({"envoy"}),
    sources=frozenset({"main", "gateways"}),
    default_source="main",
)


def seen(at_seconds: float = 100.0, **values: float | Reading) -> Observation:
    return Observation(
        at_seconds=at_seconds,
        readings={
            Signal(name): Value(value=one, at_seconds=at_seconds) if isinstance(one, float) else one
            for name, one in values.items()
        },
    )


ENGINE = seen(requests=2.0, rejected=0.5, prompt_tokens=200.0, generated_tokens=40.0, running=3.0)


async def observed(gateway: Given, engine: Observation | SourceError = ENGINE) -> Observation:
    feed = FeedBehindGateway(engine=Given(engine), gateway=gateway)
    return await feed.observe(now_seconds=100)


async def test_the_gateways_requests_stand_in_for_the_engines() -> None:
    gateway = seen(requests=5.0, rejected=1.0, prompt_tokens=999.0, running=99.0)
    both = await observed(Given(gateway))
    assert both.value(Signal.REQUESTS) == 5
    assert both.value(Signal.PROMPT_TOKENS) == 200
    assert both.value(Signal.RUNNING) == 3


@pytest.mark.parametrize(
    ("engine", "gateway", "expected"),
    [
        pytest.param(0.5, 1.0, 1.0, id="the gateway counts those of the engine too"),
        pytest.param(0.5, 0.25, 0.5, id="of the engine, which the gateway tried again"),
        pytest.param(0.5, Absent(why="no series"), 0.5, id="none at the gateway"),
        pytest.param(Absent(why="no series"), 1.0, 1.0, id="none at the engine"),
    ],
)
async def test_a_rejected_request_counts_once(
    engine: float | Reading, gateway: float | Reading, expected: float
) -> None:
    both = await observed(
        Given(seen(requests=5.0, rejected=gateway)), seen(requests=2.0, rejected=engine)
    )
    assert both.value(Signal.REJECTED) == expected


@pytest.mark.parametrize(
    ("gateway", "why"),
    [
        pytest.param(Given(SourceUnavailableError("source 'gw': HTTP 503")), "503", id="out"),
        pytest.param(Given(seen(requests=Stale(at_seconds=40.0))), "1m ago", id="stale"),
        pytest.param(Given(seen(), takes_seconds=60), f"within {WAIT_SECONDS:g} s", id="hangs"),
    ],
)
async def test_a_gateway_without_an_answer_leaves_the_engines_own_arrivals(
    gateway: Given, why: str
) -> None:
    both = await observed(gateway)
    assert both.readings == ENGINE.readings
    assert why in both.remarks[0]


async def test_an_engine_that_is_out_is_an_outage_whatever_its_gateway_says() -> None:
    with pytest.raises(SourceUnavailableError, match="HTTP 500"):
        await observed(Given(seen(requests=5.0)), SourceUnavailableError("HTTP 500"))


@pytest.mark.parametrize(
    ("gateway", "expected"),
    [
        pytest.param([60, 120, 180], [51, 52, 53], id="each step"),
        pytest.param([0, 120], [1, 52, 3], id="with gaps, and from earlier on"),
        pytest.param([], [1, 2, 3], id="no past"),
    ],
)
async def test_the_past_is_joined_step_by_step(gateway: list[int], expected: list[float]) -> None:
    engine = [seen(60.0 * step, requests=float(step)) for step in (1, 2, 3)]
    arrivals = [seen(float(at), requests=50.0 + at / 60) for at in gateway]
    feed = FeedBehindGateway(
        engine=Given(ENGINE, past=engine),
        gateway=Given(ENGINE, past=arrivals, breaks=SourceUnavailableError("gone")),
    )
    past = feed.history(start_seconds=0, end_seconds=180, step_seconds=60)
    assert [one.value(Signal.REQUESTS) async for one in past] == expected


async def test_arrivals_at_the_gateway_lead_the_forecast_of_the_tokens() -> None:
    """The engine has served nothing of a burst that the gateway already turned away."""
    made: dict[DemandSeries, NoForecast] = {}

    def forecaster(series: DemandSeries) -> NoForecast:
        return made.setdefault(series, NoForecast(series))

    tracker = DemandTracker(forecaster, step_seconds=60.0)
    gateway = Given(seen(requests=2.0, rejected=8.0))
    engine = seen(requests=2.0, prompt_tokens=200.0, generated_tokens=40.0, running=3.0)
    feed = FeedBehindGateway(engine=Given(engine), gateway=gateway)
    for at in (60.0, 120.0):
        tracker.take(PollResult(at_seconds=at, observation=await feed.observe(now_seconds=at)))
    assert made[DemandSeries.PROMPT_TOKENS].leading == [10.0]


@pytest.mark.parametrize(
    ("metadata", "parts"),
    [
        ({"gateway": "vllm"}, ["'gateway'", "'vllm'", "it takes one of envoy, litellm"]),
        ({"gateway": "litelm"}, ["'gateway'", "did you mean 'litellm'?"]),
        ({"engine": "envoy"}, ["'engine'", "'envoy'", "it takes one of litellm, vllm"]),
        ({"gatewaySource": "gateways"}, ["'gatewaySource' needs the key 'gateway'"]),
        ({"gateway": "litellm", "gatewaySource": "x"}, ["'gatewaySource'", "gateways, main"]),
    ],
)
def test_a_fault_in_the_gateways_keys_is_named(metadata: dict[str, str], parts: list[str]) -> None:
    with pytest.raises(MetadataError) as raised:
        parse({"model": "m", **metadata}, ALLOWED)
    assert all(part in str(raised.value) for part in parts)


@pytest.mark.looptime(False)  # sockets take real time
async def test_a_trigger_names_its_gateway_and_where_that_is_read() -> None:
    served = {"tokens": 0, "requests": 0}

    async def engine(_: web.Request) -> web.Response:
        page = f'vllm:generation_tokens_total{{model_name="m"}} {served["tokens"]}\n'
        page += f'vllm:request_success_total{{model_name="m"}} {served["requests"]}\n'
        return web.Response(text=page)

    async def gateway(_: web.Request) -> web.Response:
        counts = f'requested_model="m",status_code="200"}} {2 * served["requests"]}\n'
        return web.Response(text=f"litellm_proxy_total_requests_metric_total{{{counts}")

    app = web.Application()
    app.add_routes([web.get("/engine", engine), web.get("/gateway", gateway)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    sources = [
        {
            "name": name,
            "scrape": {"urls": [f"http://127.0.0.1:{port}/{page}"], "namespaces": ["llm"]},
        }
        for name, page in (("main", "engine"), ("gateways", "gateway"))
    ]
    connected = Sources.of(Settings.model_validate({"sources": sources, "defaultSource": "main"}))
    metadata = {"model": "m", "gateway": "litellm", "gatewaySource": "gateways"}
    try:
        binding = connected.connect(Reference.of("llm", "x", metadata), parse(metadata, ALLOWED))
        await binding.feed.observe(now_seconds=100)
        served.update(tokens=6000, requests=60)
        observation = await binding.feed.observe(now_seconds=160)
    finally:
        await connected.close()
        await runner.cleanup()

    assert observation.value(Signal.GENERATED_TOKENS) == 100
    assert observation.value(Signal.REQUESTS) == 2
    assert (binding.key.gateway, binding.key.gateway_source) == ("litellm", "gateways")
