"""A KV cache that overflows: who goes, who stays, and what it costs."""

from dataclasses import replace

import numpy as np
import pytest

from replay.engine import Engine
from replay.ledger import Outcome
from replay.profile import EngineProfile
from replay.traffic import Requests
from tests.replay.loads import started

SMALL = EngineProfile(
    name="small-cache",
    model_name="m",
    fixed_seconds=0.02,
    per_sequence_seconds=0.0,
    per_kv_token_seconds=0.0,
    per_prefill_token_seconds=0.0002,
    batched_tokens_max=512,
    sequences_max=64,
    kv_tokens_max=1000,
)


def two_that_outgrow_the_cache() -> Requests:
    return Requests(
        arrival_seconds=np.array([0.0, 3.0]),
        prompt_tokens=np.array([400, 400]),
        output_tokens=np.array([300, 300]),
    )


def run(engine: Engine, seconds: int) -> None:
    for _ in range(seconds):
        engine.step()


def test_the_newer_one_goes_and_comes_back_when_the_older_is_done() -> None:
    engine = started(SMALL, two_that_outgrow_the_cache(), replicas=1)
    halted_at = resumed_at = None
    for second in range(30):
        engine.step()
        halted = int((engine.unfinished - engine.streams)[0])
        if halted and halted_at is None:
            halted_at = second
        if halted_at is not None and not halted and resumed_at is None:
            resumed_at = second
    # First tokens at 0.1 and 3.1; 800 tokens of prompts leave 200, which the two of them, at 50
    # tokens a second each, have filled at 3.6. The older is done at 6.2.
    assert (halted_at, resumed_at) == (3, 7)
    assert engine.counters.preempted[0] == 1
    assert (engine.ledger.outcome == Outcome.FINISHED).all()
    older, newer = engine.ledger.itl_seconds
    assert older == pytest.approx(0.02, rel=0.03)
    # It stood from 4 to 7, and 0.11 s more for 445 tokens computed again, over 299 gaps.
    assert newer == pytest.approx(0.02 + 3.11 / 299, rel=0.03)


def test_a_replica_that_is_killed_takes_its_halted_streams_along() -> None:
    engine = started(SMALL, two_that_outgrow_the_cache(), replicas=1)
    run(engine, 5)
    assert engine.unfinished.tolist() == [2, 0]
    assert engine.kill_row(0) == 2
    assert (engine.ledger.outcome == Outcome.KILLED).all()
    assert engine.unfinished.tolist() == [0, 0]


def test_nobody_is_lost_and_the_cache_never_overflows() -> None:
    generator = np.random.default_rng(3)
    count = 120
    requests = Requests(
        arrival_seconds=np.sort(generator.random(count) * 60),
        prompt_tokens=generator.integers(20, 200, count),
        output_tokens=generator.integers(100, 600, count),
    )
    engine = started(replace(SMALL, kv_tokens_max=1500), requests, replicas=2,
                     patience_seconds=10_000)  # fmt: skip
    for _ in range(3000):
        engine.step()
        assert engine.kv_use_ratio.max() <= 1
    assert engine.counters.preempted.sum() > 10
    assert (engine.ledger.outcome == Outcome.FINISHED).all()
    assert engine.streams.sum() == 0
    assert engine.counters.finished.sum() == count
    # Every token is counted once, however often its context was computed.
    assert engine.counters.generated_tokens.sum() == pytest.approx(
        requests.output_tokens.sum(), rel=0.01
    )


def test_who_was_thrown_out_goes_before_newcomers() -> None:
    requests = two_that_outgrow_the_cache()
    later = Requests(
        arrival_seconds=np.append(requests.arrival_seconds, 4.9),
        prompt_tokens=np.append(requests.prompt_tokens, 50),
        output_tokens=np.append(requests.output_tokens, 10),
    )
    engine = started(SMALL, later, replicas=1)
    run(engine, 6)
    assert engine.waiting == 1  # there is room for 50 tokens, but not before the 445
    run(engine, 10)
    assert (engine.ledger.outcome == Outcome.FINISHED).all()
