"""Horizons follow the lead time, and those of a usual lead time are the ones the prior knows."""

import pytest

from foresail.serve.wiring import Sources
from foresail.settings.file import Settings
from scaler.decision.answers import Reference
from scaler.decision.capacity import Origin, ReplicaCapacity, Together, Work
from scaler.decision.tracker import DemandTracker, PollResult
from scaler.forecast.forecaster import Forecaster
from scaler.forecast.horizons import horizons_seconds
from scaler.signals import Observation, Signal, Value
from scaler.trigger_parsing import parse

SETTINGS = Settings.model_validate(
    {"sources": [{"name": "main", "prometheus": {"url": "http://127.0.0.1:9"}}]}
)
MINUTES = (60.0, 180.0, 300.0, 600.0, 900.0, 1800.0)


@pytest.mark.parametrize(
    ("lead", "step", "horizons"),
    [
        pytest.param(1, 60, MINUTES, id="short"),
        pytest.param(300, 60, MINUTES, id="default"),
        pytest.param(1800, 60, MINUTES, id="as-far-as-the-prior"),
        pytest.param(1801, 60, (*MINUTES, 3600.0), id="beyond"),
        pytest.param(7200, 60, (*MINUTES, 3600.0, 7200.0), id="the-longest"),
        pytest.param(
            7200,
            15,
            (15.0, 45.0, 75.0, 150.0, 225.0, 450.0, 900.0, 1800.0, 3600.0, 7200.0),
            id="the-longest-in-short-steps",
        ),
        pytest.param(7200, 600, (600.0, 1800.0, 3000.0, 6000.0, 9000.0, 18_000.0), id="long-steps"),
    ],
)
def test_horizons_reach_the_lead_time(
    lead: float, step: float, horizons: tuple[float, ...]
) -> None:
    assert horizons_seconds(lead_seconds=lead, step_seconds=step) == horizons


def outlook_of_a_ramp(lead_seconds: float, *, step_seconds: float, steps: int) -> float:
    """Replicas at the lead time after demand grew by 1 token/s a step."""
    horizons = horizons_seconds(lead_seconds=lead_seconds, step_seconds=step_seconds)
    tracker = DemandTracker(
        lambda series: Forecaster(
            signal=series, step_seconds=step_seconds, horizons_seconds=horizons
        ),
        step_seconds=step_seconds,
    )
    for step in range(steps):
        at = step * step_seconds
        amounts = dict.fromkeys((Signal.RUNNING, Signal.WAITING), 0.0)
        amounts |= {Signal.PROMPT_TOKENS: 1000.0 + step, Signal.GENERATED_TOKENS: 0.0}
        readings = {s: Value(value=amount, at_seconds=at) for s, amount in amounts.items()}
        tracker.take(
            PollResult(at_seconds=at, observation=Observation(at_seconds=at, readings=readings))
        )
    work = Work(prompt=1.0, generated=1.0, together=Together.SUM, origin=Origin.METADATA)
    outlook = tracker.outlook(
        ReplicaCapacity(work=work, requests=1), lead_seconds=lead_seconds, level=0.5
    )
    assert outlook is not None
    assert outlook.reach_seconds >= lead_seconds
    return outlook.replicas


def test_a_forecast_does_not_go_flat_before_a_long_lead_time() -> None:
    # At 15 s steps the forecasts reached 7m30s; half an hour on, a steady rise goes 120 further.
    near, far = (outlook_of_a_ramp(lead, step_seconds=15.0, steps=1500) for lead in (450.0, 1800.0))

    assert far - near > 30


def test_workloads_share_a_feed_when_one_reach_serves_their_lead_times() -> None:
    sources = Sources.of(SETTINGS)

    def key(lead: str) -> object:
        metadata = {"model": "m", "leadTime": lead}
        return sources.connect(
            Reference.of("llm", "a", metadata), parse(metadata, SETTINGS.allowed)
        ).key

    assert key("5m") == key("30m")
    assert key("31m") == key("1h")
    assert key("30m") != key("31m")
