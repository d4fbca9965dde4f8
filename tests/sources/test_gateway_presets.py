"""What gateways turned away: one preset and one golden page each, whose head says what is read."""

from dataclasses import replace
from pathlib import Path

import pytest

from scaler.decision.answers import Answer, Reference
from scaler.decision.demand import DemandState, demand_of
from scaler.decision.tracker import DemandTracker, PollResult
from scaler.evaluate import CycleState, evaluate
from scaler.signals import Absent, Observation, Signal, Value
from scaler.sources.catalogue import gateways, load
from scaler.sources.gateway import joined
from scaler.sources.reading import ObservationReader
from tests.scaler.fakes import PARAMETERS, NoForecast
from tests.sources.pages import MODEL, sample, samples_on

PAGES = Path(__file__).parent.parent / "fixtures" / "gateways"


def observed(gateway: str, page: str) -> Observation:
    """The page at 160 s; at 100 s every count was at zero."""
    preset = load(gateway)
    after = samples_on(page, preset, at_seconds=160, pod="gateway")
    before = [replace(one, at_seconds=100, value=0.0) for one in after]
    reader = ObservationReader(preset, model=MODEL)
    return reader.observe([*before, *after], now_seconds=160)


def page_of(gateway: str) -> str:
    return (PAGES / f"{gateway}.prom").read_text()


def test_every_gateway_has_its_page() -> None:
    assert {path.stem for path in PAGES.glob("*.prom")} == {*gateways()}


@pytest.mark.parametrize("gateway", gateways())
def test_429s_and_503s_and_throttled_requests_count_as_unmet_demand(gateway: str) -> None:
    page = page_of(gateway)
    heads = [line.split() for line in page.splitlines() if line.startswith("#: ")]
    seen = observed(gateway, page)
    assert {name: seen.value(Signal(name)) for _, name, _ in heads} == {
        name: pytest.approx(float(number)) for _, name, number in heads
    }


@pytest.mark.parametrize("gateway", gateways())
def test_without_the_label_of_the_model_the_engines_own_arrivals_count(gateway: str) -> None:
    seen = observed(gateway, page_of(gateway).replace(f',model="{MODEL}"', ""))
    assert isinstance(seen.readings[Signal.REQUESTS], Absent)

    requests = Value(value=2.0, at_seconds=160)
    engine = Observation(at_seconds=160, readings={Signal.REQUESTS: requests})
    assert joined(engine, seen).readings[Signal.REQUESTS] == requests


@pytest.mark.parametrize("gateway", gateways())
def test_503s_at_the_gateway_are_demand_while_the_queue_of_the_engine_is_flat(gateway: str) -> None:
    served = {"requests": 2.0, "prompt_tokens": 2000.0, "generated_tokens": 500.0}
    flat = {"running": 40.0, "waiting": 0.0}
    values = {Signal(name): number for name, number in (served | flat).items()}
    engine = Observation(
        at_seconds=160, readings={n: Value(value=v, at_seconds=160) for n, v in values.items()}
    )
    state: DemandState | None = None
    for second in (40, 70, 100, 130):
        _, state = demand_of(replace(engine, at_seconds=second), state)

    demand, _ = demand_of(joined(engine, observed(gateway, page_of(gateway))), state)

    # 2 a second were served and 0.5 lost; a request is of 1000 + 250 tokens.
    assert demand.requests == pytest.approx(2.5)
    assert demand.prompt_tokens == pytest.approx(2500)


@pytest.mark.parametrize(
    ("queued", "priority", "active"),
    [(1, "0", True), (0, "0", False), (9, "-1", False)],
    ids=["a queue", "no queue", "a sheddable one"],
)
def test_no_ready_replica_and_a_queue_are_active_in_one_poll(
    queued: int, priority: str, active: bool
) -> None:
    flow = {"priority": priority, "inference_pool": "pool", "engine": ""}
    pool = {"model_name": "", "engine": ""}
    samples = [
        sample("llm_d_epp_ready_endpoints", 0, 100, name="pool", **pool),
        sample("llm_d_epp_flow_control_pool_saturation", 1.0, 100, stage="effective", **pool),
        sample("llm_d_epp_flow_control_stale_endpoints", 0, 100, **pool),
        sample("llm_d_epp_flow_control_queue_size", queued, 100, **flow),
    ]
    observation = ObservationReader(load("llm-d"), model=MODEL).observe(samples, now_seconds=100)
    tracker = DemandTracker(NoForecast, step_seconds=60)
    poll = PollResult(at_seconds=100, observation=observation)
    tracker.take(poll)

    plan, _ = evaluate(
        Reference.of("llm", "chat", {}),
        poll,
        tracker,
        replace(PARAMETERS, replicas_min=0),
        CycleState.unread(0.0),
        now_seconds=100,
        answer_seconds_max=300,
    )

    answer = plan.timed.current(100)
    assert isinstance(answer, Answer)
    assert (answer.replicas >= 1) is active
