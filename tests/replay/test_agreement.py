"""The engine that plays each request and the one in expectation, on the same arrivals."""

from dataclasses import dataclass

import numpy as np
import pytest

from replay.engine import Engine
from replay.fleet import Fleet, FleetSettings
from replay.meanfield import MeanField
from replay.profile import QWEN3_32B_FP8_H100, RequestMix, capacity_requests_per_second
from replay.replay_input import fixed_start_up
from replay.score import Objective
from replay.traffic import Requests

PROFILE = QWEN3_32B_FP8_H100
PROMPT, OUTPUT = 800, 300
CAPACITY = capacity_requests_per_second(
    PROFILE, RequestMix.constant(PROMPT, OUTPUT), itl_seconds=0.06
)
SECONDS, REPLICAS, PATIENCE = 2400, 4, 60
JUMP_AT, MORE_AT, CALM_AT = 900, 1200, 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    running: float
    waiting: float
    itl_seconds: float
    """Mean over the run."""
    first_in_time: float
    """Share of requests with a first token within two seconds."""
    gave_up: float
    """Share of requests."""


def requests_of(rate: list[float], seed: int) -> Requests:
    """Poisson arrivals at a rate for each second, outputs of exponential length."""
    generator = np.random.default_rng(seed)
    counts = generator.poisson(rate)
    arrivals = np.repeat(np.arange(len(rate)), counts) + generator.random(counts.sum())
    outputs = np.maximum(np.rint(generator.exponential(OUTPUT, len(arrivals))), 1)
    return Requests(
        arrival_seconds=np.sort(arrivals),
        prompt_tokens=np.full(len(arrivals), PROMPT),
        output_tokens=outputs.astype(np.int64),
    )


def one_by_one(requests: Requests) -> Outcome:
    engine = Engine(PROFILE, requests, rows=2 * REPLICAS, patience_seconds=PATIENCE)
    for row in range(REPLICAS):
        engine.open_row(row)
    running, waiting = [], []
    for second in range(SECONDS):
        if second == MORE_AT:
            for row in range(REPLICAS, REPLICAS + 2):
                engine.open_row(row)
        engine.step()
        running.append(engine.streams.sum())
        waiting.append(engine.waiting)
    ttft = engine.ledger.ttft_seconds
    come = np.isfinite(ttft)
    gave_up = engine.timed_out / come.sum()
    return Outcome(
        running=float(np.mean(running)),
        waiting=float(np.mean(waiting)),
        itl_seconds=float(np.nanmean(engine.ledger.itl_seconds)),
        first_in_time=float((ttft[come] <= 2).mean()),
        gave_up=float(gave_up),
    )


def in_expectation(requests: Requests) -> Outcome:
    settings = FleetSettings(start_up=fixed_start_up(0), rows=2 * REPLICAS)
    fleet = Fleet(settings, ready=REPLICAS, seed=1)
    # Nobody is late for their pace here: the books of the two count it differently.
    engine = MeanField(
        PROFILE, fleet, Objective(ttft_seconds=2, itl_seconds=9), patience_seconds=PATIENCE
    )
    arrivals = np.bincount(requests.arrival_seconds.astype(np.int64), minlength=SECONDS)
    running, waiting = [], []
    for second in range(SECONDS):
        if second == MORE_AT:
            engine.scale_to(REPLICAS + 2, second)
        engine.step(second, float(arrivals[second]), PROMPT, OUTPUT)
        running.append(engine.running)
        waiting.append(engine.waiting)
    book = engine.book
    itls = book.itls / book.itls.sum()
    return Outcome(
        running=float(np.mean(running)),
        waiting=float(np.mean(waiting)),
        itl_seconds=float(itls @ (np.arange(len(itls)) + 0.5)) / 1000,
        first_in_time=book.in_time / book.requests,
        gave_up=book.timed_out / book.requests,
    )


def crowded(load: float, jump: float) -> list[float]:
    """Load a replica, of its capacity; two more replicas come 300 s after the jump."""
    rate = np.full(SECONDS, REPLICAS * load * CAPACITY)
    rate[JUMP_AT:CALM_AT] *= jump
    return rate.tolist()


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("load", "jump"),
    [
        pytest.param(0.5, 1.0, id="light"),
        pytest.param(0.75, 1.0, id="busy"),
        pytest.param(0.7, 1.6, id="a-jump-that-queues"),
        pytest.param(0.7, 2.5, id="a-jump-that-many-leave"),
    ],
)
def test_the_two_engines_agree(load: float, jump: float, seed: int) -> None:
    requests = requests_of(crowded(load, jump), seed)
    played, expected = one_by_one(requests), in_expectation(requests)
    # In expectation nobody has bad luck, so it is the kinder of the two by these margins.
    assert expected.running == pytest.approx(played.running, rel=0.05)
    assert expected.itl_seconds == pytest.approx(played.itl_seconds, rel=0.04)
    assert expected.first_in_time == pytest.approx(played.first_in_time, abs=0.04)
    assert expected.gave_up == pytest.approx(played.gave_up, abs=0.02)
    if jump > 2:  # a queue that is long enough to have a mean
        assert expected.waiting == pytest.approx(played.waiting, rel=0.03)
