"""Feeds end the steps of their forecasts in turns, so that their work spreads over the step."""

from collections import Counter

from foresail.serve.wiring import Sources
from foresail.settings.file import Settings
from scaler.decision.answers import Reference
from scaler.decision.tracker import PollResult
from scaler.signals import Observation, Signal, Value
from scaler.trigger_parsing import parse

MIDNIGHT = 1_767_225_600


def first_forecast_at(model: str) -> int:
    """Seconds after midnight of the look, one every 15 s, that brings the first forecast."""
    prometheus = {"name": "main", "prometheus": {"url": "http://127.0.0.1:9"}}
    settings = Settings.model_validate({"sources": [prometheus]})
    spec = parse({"model": model}, settings.allowed)
    binding = Sources.of(settings).connect(Reference.of("llm", "x", {"model": model}), spec)
    tracker = binding.assembly.make_tracker()
    for seconds in range(0, 240, 15):
        at = float(MIDNIGHT + seconds)
        value = Value(value=1.0, at_seconds=at)
        readings = dict.fromkeys((Signal.RUNNING, Signal.PROMPT_TOKENS), value)
        observation = Observation(at_seconds=at, readings=readings)
        tracker.take(PollResult(at_seconds=at, observation=observation))
        if tracker.forecasts:
            return seconds
    raise AssertionError("no forecast in four minutes")


def test_a_quarter_of_the_feeds_ends_its_steps_at_each_look_of_a_minute() -> None:
    turns = Counter(first_forecast_at(f"model-{at}") for at in range(100))

    # A step that begins with the first look ends a minute later; one that had begun, sooner.
    assert sorted(turns) == [15, 30, 45, 60]
    assert min(turns.values()) > 15


def test_every_replica_of_foresail_ends_a_feeds_steps_at_the_same_look() -> None:
    assert len({first_forecast_at("qwen") for _ in range(3)}) == 1
