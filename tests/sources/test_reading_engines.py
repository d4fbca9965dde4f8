"""Every other engine: one preset and one golden page, whose head says what must be read from it.

A page's line `#: SIGNAL NUMBER` is the expected value, `#: SIGNAL not offered` says that the engine
has no such signal. A new engine takes its preset and its page; this file stays as it is.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from fleet.series_names import spellings
from scaler.signals import ESSENTIAL, Absent, Signal
from scaler.sources.catalogue import load, shipped
from scaler.sources.preset import Preset
from scaler.sources.reading import ObservationReader
from scaler.sources.series import Sample
from tests.sources.pages import MODEL, samples_on, series

PAGES = Path(__file__).parent.parent / "fixtures" / "engines"
ENGINES = sorted(path.stem for path in PAGES.glob("*.prom"))


def page_of(engine: str) -> str:
    return (PAGES / f"{engine}.prom").read_text()


def expected_of(page: str) -> dict[Signal, float | None]:
    """Signal → number; None where the engine does not offer it."""
    stated = [line.removeprefix("#: ").split(" ", 1) for line in page.splitlines() if "#: " in line]
    return {Signal(name): None if text == "not offered" else float(text) for name, text in stated}


def model_of(page: str) -> str:
    named = [line.removeprefix("#model: ") for line in page.splitlines() if "#model: " in line]
    return named[0] if named else MODEL


def a_minute_apart(page: str, preset: Preset) -> list[Sample]:
    """The page at 160 s, and at 100 s with every count at zero."""
    after = samples_on(page, preset, at_seconds=160, pod="a")
    counts = {spelling for name in preset.counters for spelling in spellings(name)}
    before = [
        replace(one, at_seconds=100, value=0.0 if one.name in counts else one.value)
        for one in after
    ]
    return [*before, *after]


def test_every_shipped_engine_has_its_page() -> None:
    elsewhere = {"vllm", "llm-d"}
    assert {*ENGINES} | elsewhere == {*shipped()}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_page_gives_every_canonical_signal_or_says_not_offered(engine: str) -> None:
    page, preset = page_of(engine), load(engine)
    expected = expected_of(page)
    assert {*expected} == {*Signal}

    reader = ObservationReader(preset, model=model_of(page))
    observation = reader.observe(a_minute_apart(page, preset), now_seconds=160)

    offered = {signal: value for signal, value in expected.items() if value is not None}
    assert {signal: observation.value(signal) for signal in offered} == pytest.approx(offered)
    assert {*preset.signals} == {*offered}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_offers_what_a_plan_needs(engine: str) -> None:
    assert {*ESSENTIAL} <= {*load(engine).signals}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_page_without_a_series_is_never_zero(engine: str) -> None:
    """A rename of everything: no signal may read as zero."""
    page, preset = page_of(engine).replace("_", "_x_"), load(engine)

    reader = ObservationReader(preset, model=model_of(page))
    observation = reader.observe(a_minute_apart(page, preset), now_seconds=160)

    assert all(isinstance(reading, Absent) for reading in observation.readings.values())


@pytest.mark.parametrize("spelling", range(4), ids=["colon", "underscore", "ray", "ray-colon"])
def test_sglangs_names_are_read_in_every_spelling(spelling: int) -> None:
    name = spellings("sglang:num_queue_reqs")[spelling]
    samples = series(name, {100: 4}, tp_rank="0", engine="")
    observed = ObservationReader(load("sglang"), model=MODEL).observe(samples, now_seconds=100)
    assert observed.value(Signal.WAITING) == 4


def test_a_tgi_that_served_nothing_yet_waits_for_nothing() -> None:
    page = "tgi_batch_max_total_tokens 16384\n"
    samples = samples_on(page, load("tgi"), at_seconds=100, pod="a")
    observed = ObservationReader(load("tgi"), model=MODEL).observe(samples, now_seconds=100)
    assert observed.value(Signal.WAITING) == 0
    assert observed.value(Signal.RUNNING) == 0
    assert observed.value(Signal.REPLICAS) == 1


def test_a_dynamo_frontend_without_workers_shows_its_queue() -> None:
    """Zero workers and a queue: the demand that wakes them."""
    page = 'dynamo_frontend_inflight_requests{model="llama-70b"} 3\n'
    page += 'dynamo_frontend_queued_requests{model="llama-70b"} 3\n'
    preset = load("dynamo")
    samples = samples_on(page, preset, at_seconds=100, pod="a")
    observed = ObservationReader(preset, model=MODEL).observe(samples, now_seconds=100)
    assert observed.value(Signal.WAITING) == 3
    assert observed.value(Signal.RUNNING) == 0
    assert preset.survives_zero
