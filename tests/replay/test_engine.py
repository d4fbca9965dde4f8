"""The engine against closed forms, an exact event simulation, and its own books."""

import heapq
from dataclasses import replace
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.engine import Engine
from replay.ledger import Outcome
from replay.profile import (
    QWEN3_32B_FP8_H100,
    EngineProfile,
    RequestMix,
    capacity_requests_per_second,
    iteration_seconds,
)
from replay.traffic import Floats, Requests
from tests.replay.loads import even, exponential, joined, started, steady

MIX = RequestMix.constant(prompt_tokens=1100, output_tokens=300)
# Nothing but slots: a stream takes 0.1 s a token whoever else is there.
SLOTS_ONLY = EngineProfile(
    name="slots",
    model_name="slots",
    fixed_seconds=0.1,
    per_sequence_seconds=0,
    per_kv_token_seconds=0,
    per_prefill_token_seconds=1e-9,
    batched_tokens_max=100_000,
    sequences_max=64,
    kv_tokens_max=10**9,
)


def first_come_first_served(requests: Requests, free_at_seconds: list[float]) -> Floats:
    """TTFT of every request with one server a slot, event by event: the exact answer."""
    heapq.heapify(free_at_seconds)
    ttft = []
    pairs = zip(requests.arrival_seconds.tolist(), requests.output_tokens.tolist(), strict=True)
    for arrival, tokens in pairs:
        start = max(arrival, heapq.heappop(free_at_seconds))
        ttft.append(start - arrival + 0.1)
        heapq.heappush(free_at_seconds, start + 0.1 * tokens)
    return np.array(ttft)


@pytest.mark.parametrize("rate", [1.0, 2.0, 3.0, 3.8])
def test_steady_state_is_the_closed_form(rate: float) -> None:
    requests = steady(4 * rate, 1600, prompt=1100, output=300)
    engine = started(QWEN3_32B_FP8_H100, requests, replicas=4)
    streams, kv_use = [], []
    for second in range(1600):
        engine.step()
        if second >= 400:
            streams.append(engine.streams[:4].mean())
            kv_use.append(engine.kv_use_ratio[:4].mean())
    itl = iteration_seconds(QWEN3_32B_FP8_H100, MIX, requests_per_second=rate)
    counted = (requests.arrival_seconds > 400) & (requests.arrival_seconds < 1500)
    assert np.mean(engine.ledger.itl_seconds[counted]) == pytest.approx(itl, rel=0.02)
    # Little: rate * 300 tokens * time for a token; prefill adds a tenth of a second to each.
    # Chance adds a few per cent near saturation, where one more stream slows all others.
    assert np.mean(streams) == pytest.approx(rate * (300 * itl + 0.1), rel=0.04)
    held_tokens = rate * 300 * itl * (1100 + 150)
    assert np.mean(kv_use) == pytest.approx(held_tokens / 150_000, rel=0.04)


@pytest.mark.parametrize(
    "profile",
    [
        pytest.param(QWEN3_32B_FP8_H100, id="slots-bind"),
        pytest.param(replace(QWEN3_32B_FP8_H100, sequences_max=256), id="cache-binds"),
    ],
)
def test_a_flooded_fleet_serves_its_capacity(profile: EngineProfile) -> None:
    engine = started(profile, steady(16, 1200, prompt=1100, output=300), replicas=2)
    finished = []
    for _ in range(1200):
        engine.step()
        finished.append(engine.counters.finished.sum())
    rate = (finished[-1] - finished[400]) / 799 / 2
    if profile.sequences_max == 64:
        assert rate == pytest.approx(
            capacity_requests_per_second(profile, MIX, itl_seconds=10), rel=0.02
        )
    else:
        # Admission stops at 92 % of the cache: 110 contexts of 1,250 tokens.
        streams = 0.92 * 150_000 / 1250
        work = 300 * 1e-4 + 300 * 1250 * 1e-7 + 1100 * 7.5e-5
        assert rate == pytest.approx(streams / (300 * 0.0145 + streams * work), rel=0.04)
        assert engine.kv_use_ratio.max() < 1


@pytest.mark.parametrize("load_ratio", [0.8, 0.9, 0.95])
def test_waits_are_those_of_an_exact_simulation(load_ratio: float) -> None:
    requests = exponential(load_ratio * 128 / 30, 5000, output=300, seed=4)
    engine = started(SLOTS_ONLY, requests, replicas=2, patience_seconds=10_000)
    for _ in range(5000):
        engine.step()
    counted = (requests.arrival_seconds > 500) & (requests.arrival_seconds < 4800)
    exact = first_come_first_served(requests, [0.0] * 128)[counted]
    found = engine.ledger.ttft_seconds[counted]
    for within_seconds in (1, 2, 5):
        share, exact_share = (found <= within_seconds).mean(), (exact <= within_seconds).mean()
        assert share == pytest.approx(exact_share, abs=0.02)


def test_a_step_of_demand_leaves_the_fluid_backlog() -> None:
    # 6/s on four replicas that can serve 8.53/s; 14/s from second 300; four more at second 600.
    clockwork = joined(
        even(6, 1800, prompt=10, output=1),
        replace(even(8, 1500, prompt=10, output=1), arrival_seconds=300 + np.arange(12_000) / 8),
    )
    lengths = np.random.default_rng(1).exponential(300, len(clockwork.arrival_seconds))
    requests = replace(clockwork, output_tokens=np.ceil(lengths).astype(np.int64))
    engine = started(SLOTS_ONLY, requests, replicas=4, patience_seconds=10_000)
    for second in range(1800):
        if second == 600:
            for row in range(4, 8):
                engine.open_row(row)
        engine.step()
    late = int((engine.ledger.ttft_seconds > 2).sum())
    exact = first_come_first_served(requests, [0.0] * 256 + [600.0] * 256)
    assert late == pytest.approx((exact > 2).sum(), rel=0.03)
    # Fluid: streams fill 256 slots from 180 towards 420 with time constant 30 s; then the backlog
    # grows; at 600 the newcomers' 256 empty slots take part of it at once.
    full_after = 30 * log(240 / (420 - 256))
    backlog = (14 - 256 / 30) * (300 - full_after)
    late_seconds = 300 - full_after + (backlog - 256) / (512 / 30 - 14)
    assert late == pytest.approx(14 * late_seconds, rel=0.1)


def test_a_lone_request_sees_prefill_and_two_iterations() -> None:
    requests = even(0.1, 10, prompt=2048, output=101)
    engine = started(QWEN3_32B_FP8_H100, requests, replicas=1)
    for _ in range(10):
        engine.step()
    # Its chunk rides on one iteration and one is under way when it comes.
    assert engine.ledger.ttft_seconds[0] == pytest.approx(2048 * 7.5e-5 + 2 * 0.0145, rel=1e-6)
    # a + b + c * (context of 2,048 to 2,148); the first second also held its prefill.
    assert engine.ledger.itl_seconds[0] == pytest.approx(0.0145 + 1e-4 + 2.1e-4, rel=0.12)


def test_prompts_queue_behind_prompts() -> None:
    together = Requests(
        arrival_seconds=np.zeros(3),
        prompt_tokens=np.full(3, 2048),
        output_tokens=np.full(3, 10),
    )
    engine = started(QWEN3_32B_FP8_H100, together, replicas=1)
    engine.step()
    gaps = np.diff(engine.ledger.ttft_seconds)
    assert gaps == pytest.approx([2048 * 7.5e-5 + 0.0145] * 2)


def test_cached_prefixes_cost_no_prefill() -> None:
    half = replace(QWEN3_32B_FP8_H100, prefix_hit_ratio=0.5)
    requests = even(0.1, 10, prompt=2048, output=10)
    engine = started(half, requests, replicas=1)
    engine.step()
    expected = 1024 * 7.5e-5 + 1.5 * 0.0145
    assert engine.ledger.ttft_seconds[0] == pytest.approx(expected, rel=1e-6)


def test_clients_give_up_after_their_patience() -> None:
    engine = Engine(
        QWEN3_32B_FP8_H100, even(1, 10, prompt=100, output=10), rows=1, patience_seconds=5
    )
    for _ in range(10):
        engine.step()
    # Nobody is ready. When second 9 begins, those who came before 4 have waited over five seconds.
    assert engine.ledger.outcome.tolist() == [Outcome.TIMED_OUT] * 4 + [Outcome.OPEN] * 6
    assert (engine.timed_out, engine.waiting) == (4, 6)


def test_streams_of_a_killed_replica_are_errors() -> None:
    engine = started(QWEN3_32B_FP8_H100, even(4, 5, prompt=100, output=2000), replicas=2)
    for _ in range(6):
        engine.step()
    assert engine.streams.sum() == 20
    assert engine.kill_row(0) == 10
    assert (engine.ledger.outcome == Outcome.KILLED).sum() == 10
    assert (engine.streams[0], engine.kv_use_ratio[0]) == (0, 0)


def test_a_closed_replica_finishes_and_takes_nobody() -> None:
    engine = started(QWEN3_32B_FP8_H100, even(4, 60, prompt=100, output=100), replicas=2)
    for _ in range(10):
        engine.step()
    engine.close_rows([0])
    for _ in range(10):
        engine.step()
    assert engine.streams[0] == 0
    assert engine.streams[1] > 0
    assert (engine.ledger.outcome == Outcome.KILLED).sum() == 0


def test_least_loaded_gets_the_next() -> None:
    engine = started(QWEN3_32B_FP8_H100, even(6, 30, prompt=100, output=2000), replicas=2)
    for second in range(30):
        if second == 10:
            engine.open_row(2)
        engine.step()
    # 60 streams on two replicas, then all go to the third until it has as many as they.
    assert engine.streams[:3].tolist() == [60, 60, 60]


@st.composite
def loads(draw: st.DrawFn) -> Requests:
    count = draw(st.integers(min_value=0, max_value=400))
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    return Requests(
        arrival_seconds=np.sort(generator.random(count) * draw(st.integers(1, 60))),
        prompt_tokens=generator.integers(1, 4000, count),
        output_tokens=generator.integers(1, 600, count),
    )


@settings(max_examples=40, deadline=None)
@given(requests=loads(), replicas=st.integers(1, 3), killed_at=st.integers(0, 90))
def test_no_request_is_lost_from_the_books(
    requests: Requests, replicas: int, killed_at: int
) -> None:
    engine = started(QWEN3_32B_FP8_H100, requests, replicas=replicas, patience_seconds=20)
    generated = engine.counters.generated_tokens.copy()
    for second in range(150):
        engine.step()
        if second == killed_at:
            engine.kill_row(0)
        ended = int((engine.ledger.outcome != Outcome.OPEN).sum())
        assert engine.arrived == ended + int(engine.unfinished.sum()) + engine.waiting
        assert (engine.streams <= 64 + 16).all()
        assert (engine.counters.generated_tokens >= generated).all()
        generated = engine.counters.generated_tokens.copy()
    if replicas > 1:
        # Everybody had time to end; the books of tokens close to the last one.
        finished = engine.ledger.outcome == Outcome.FINISHED
        if not (engine.ledger.outcome == Outcome.KILLED).any() and not engine.streams.any():
            tokens = requests.output_tokens[finished].sum()
            assert engine.counters.generated_tokens.sum() == pytest.approx(tokens)


@settings(max_examples=25, deadline=None)
@given(requests=loads(), replicas=st.integers(1, 3))
def test_more_replicas_never_lose_more_requests(requests: Requests, replicas: int) -> None:
    def lost(count: int) -> int:
        engine = started(QWEN3_32B_FP8_H100, requests, replicas=count, patience_seconds=10)
        for _ in range(120):
            engine.step()
        return engine.timed_out

    assert lost(replicas + 1) <= lost(replicas)


def test_the_same_requests_give_the_same_bytes() -> None:
    def ledger() -> tuple[bytes, bytes, bytes]:
        engine = started(
            QWEN3_32B_FP8_H100, steady(9, 120, prompt=900, output=250, seed=5), replicas=2
        )
        for _ in range(200):
            engine.step()
        books = engine.ledger
        return (books.ttft_seconds.tobytes(), books.itl_seconds.tobytes(), books.outcome.tobytes())

    assert ledger() == ledger()


def test_histograms_count_what_the_ledger_holds() -> None:
    engine = started(QWEN3_32B_FP8_H100, steady(9, 120, prompt=900, output=250), replicas=2)
    for _ in range(300):
        engine.step()
    ttft = engine.ledger.ttft_seconds[engine.ledger.outcome == Outcome.FINISHED]
    counters = engine.counters
    assert counters.ttft_buckets.sum() == len(ttft)
    assert counters.ttft_seconds.sum() == pytest.approx(ttft.sum())
    # Buckets up to and with the edge of 0.5 s are the first ten.
    assert counters.ttft_buckets[:, :10].sum() == (ttft <= 0.5).sum()
    # The first of 250 tokens has no gap before it.
    assert counters.itl_buckets.sum() == pytest.approx(249 * len(ttft), rel=0.01)
