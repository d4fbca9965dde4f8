"""The engine in expectation against closed forms and against arithmetic by hand."""

import pytest

from replay.fleet import Fleet, FleetSettings
from replay.meanfield import MeanField
from replay.profile import (
    QWEN3_32B_FP8_H100,
    RequestMix,
    capacity_requests_per_second,
    concurrency,
    iteration_seconds,
)
from replay.replay_input import fixed_start_up
from replay.score import Objective

PROMPT, OUTPUT = 800.0, 300.0
MIX = RequestMix.constant(PROMPT, OUTPUT)
CAPACITY = capacity_requests_per_second(QWEN3_32B_FP8_H100, MIX, itl_seconds=0.06)


def engine_of(replicas: int, *, start_up_seconds: float = 300, patience: int = 60) -> MeanField:
    settings = FleetSettings(start_up=fixed_start_up(start_up_seconds), rows=32)
    fleet = Fleet(settings, ready=replicas, seed=1)
    return MeanField(QWEN3_32B_FP8_H100, fleet, Objective(), patience_seconds=patience)


def run(engine: MeanField, rate: float, begin: int, end: int) -> None:
    for now in range(begin, end):
        engine.step(now, rate, PROMPT, OUTPUT)


@pytest.mark.parametrize("load", [0.2, 0.5, 0.8])
def test_the_pace_settles_where_the_closed_form_says(load: float) -> None:
    engine = engine_of(4)
    run(engine, 4 * load * CAPACITY, 0, 1800)
    expected = iteration_seconds(QWEN3_32B_FP8_H100, MIX, requests_per_second=load * CAPACITY)
    # The closed form spreads prefill over all iterations; here chunks make some of them long.
    assert engine.itl_seconds == pytest.approx(expected, rel=0.06)
    assert engine.waiting == 0


def test_streams_follow_littles_law() -> None:
    engine = engine_of(1)
    rate = 0.5 * CAPACITY
    run(engine, rate, 0, 1800)
    assert engine.running == pytest.approx(rate * OUTPUT * engine.itl_seconds, rel=0.03)


def test_answers_of_less_than_a_second_have_no_more_tokens_than_they_are_long() -> None:
    short = RequestMix.constant(120.0, 16.0)
    rate = 0.5 * capacity_requests_per_second(QWEN3_32B_FP8_H100, short, itl_seconds=0.06)
    engine = engine_of(1)
    for now in range(600):
        engine.step(now, rate, 120.0, 16.0)
    before = engine.totals.output_tokens
    engine.step(600, rate, 120.0, 16.0)
    assert engine.totals.output_tokens - before == pytest.approx(rate * 16)
    # Little's law: they run for their length at the engine's pace, less than half a second.
    assert engine.running == pytest.approx(rate * 16 * engine.itl_seconds)


def test_more_than_capacity_is_served_at_capacity_and_the_rest_gives_up() -> None:
    engine = engine_of(2)
    run(engine, 3 * CAPACITY, 0, 3600)
    served = engine.totals.finished / 3600
    at_slots = 2 * 64 / (OUTPUT * engine.itl_seconds)
    assert served == pytest.approx(at_slots, rel=0.05)
    # Nobody waits longer than the patience.
    assert engine.waiting <= 61 * 3 * CAPACITY
    assert engine.book.timed_out > 0


def test_every_request_is_in_exactly_one_place() -> None:
    engine = engine_of(2)
    run(engine, 2.2 * CAPACITY, 0, 600)
    engine.scale_to(1, 600)
    run(engine, 1.5 * CAPACITY, 600, 1500)
    book, totals = engine.book, engine.totals
    assert book.requests + engine.waiting == pytest.approx(totals.arrived)
    assert totals.admitted + book.timed_out + engine.waiting == pytest.approx(totals.arrived)
    assert book.waits.sum() == pytest.approx(book.requests)


def test_a_new_replica_takes_its_share_when_its_start_up_ends() -> None:
    engine = engine_of(1, start_up_seconds=100)
    rate = 0.9 * CAPACITY
    run(engine, rate, 0, 500)
    engine.scale_to(2, 500)
    run(engine, rate, 500, 599)
    assert (engine.ready, engine.starting()) == (1, 1)
    before = engine.itl_seconds
    run(engine, rate, 599, 900)
    assert (engine.ready, engine.starting()) == (2, 0)
    assert engine.itl_seconds < before


def test_gpu_seconds_are_the_lifetimes_of_the_replicas() -> None:
    engine = engine_of(2, start_up_seconds=100)
    run(engine, 0.0, 0, 50)
    engine.scale_to(3, 50)  # one more, ready at 150
    run(engine, 0.0, 50, 200)
    engine.scale_to(1, 200)  # two idle ones go in the next second
    run(engine, 0.0, 200, 300)
    # One for 300 s; of the two that went, one lived 201 s and one 151 s.
    assert engine.fleet.gpu_seconds(300) == pytest.approx(300 + 201 + 151)


def test_a_stream_that_outlives_the_grace_is_killed_and_a_miss() -> None:
    settings = FleetSettings(start_up=fixed_start_up(300), rows=8, grace_seconds=1)
    fleet = Fleet(settings, ready=2, seed=1)
    engine = MeanField(QWEN3_32B_FP8_H100, fleet, Objective(), patience_seconds=60)
    run(engine, CAPACITY, 0, 300)
    in_time = engine.book.in_time
    streams = engine.running / 2
    engine.scale_to(1, 300)
    run(engine, 0.0, 300, 310)
    assert engine.book.killed == pytest.approx(streams, rel=0.2)
    assert engine.book.in_time == pytest.approx(in_time - engine.book.killed)


def test_profiled_concurrency_is_the_batch_where_slots_bind() -> None:
    # 300 tokens at 64 streams are slower than the rate at which ITL alone would bind.
    assert concurrency(QWEN3_32B_FP8_H100, MIX, itl_seconds=0.06) == pytest.approx(64)
