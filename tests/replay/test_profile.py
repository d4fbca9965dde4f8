"""Closed forms against figures worked out by hand."""

from math import inf

import pytest

from replay.profile import (
    EngineProfile,
    RequestMix,
    capacity_requests_per_second,
    iteration_seconds,
    work_seconds,
)

PROFILE = EngineProfile(
    name="round",
    model_name="round",
    fixed_seconds=0.01,
    per_sequence_seconds=1e-4,
    per_kv_token_seconds=1e-7,
    per_prefill_token_seconds=1e-4,
    batched_tokens_max=2000,
    sequences_max=100,
    kv_tokens_max=1_000_000,
)
MIX = RequestMix.constant(prompt_tokens=1000, output_tokens=200)


def test_work_is_the_sum_over_decode_context_and_prefill() -> None:
    # Decoding 200 tokens, reading a mean context of 1,100 as often, computing 1,000.
    assert work_seconds(PROFILE, MIX) == pytest.approx(0.020 + 0.022 + 0.100)


@pytest.mark.parametrize(
    ("rate", "expected_seconds"),
    [
        pytest.param(0.0, 0.01, id="idle"),
        pytest.param(5.0, 0.01 / 0.29, id="loaded"),
        pytest.param(8.0, inf, id="more-work-than-time"),
    ],
)
def test_iterations_grow_with_the_rate(rate: float, expected_seconds: float) -> None:
    found = iteration_seconds(PROFILE, MIX, requests_per_second=rate)
    assert found == pytest.approx(expected_seconds)


@pytest.mark.parametrize(
    ("itl_seconds", "kv_tokens_max", "expected"),
    [
        # 1 - 10/20 of the time is left for work.
        pytest.param(0.02, 1_000_000, 0.5 / 0.142, id="latency-binds"),
        # 100 streams: 100 / (200 * 0.01 + 100 * 0.142).
        pytest.param(1.0, 1_000_000, 100 / 16.2, id="slots-bind"),
        # 11,000 tokens hold ten contexts of 1,100.
        pytest.param(1.0, 11_000, 10 / 3.42, id="cache-binds"),
    ],
)
def test_capacity_is_where_the_first_limit_is(
    itl_seconds: float, kv_tokens_max: int, expected: float
) -> None:
    profile = EngineProfile(
        name="round",
        model_name="round",
        fixed_seconds=0.01,
        per_sequence_seconds=1e-4,
        per_kv_token_seconds=1e-7,
        per_prefill_token_seconds=1e-4,
        batched_tokens_max=2000,
        sequences_max=100,
        kv_tokens_max=kv_tokens_max,
    )
    found = capacity_requests_per_second(profile, MIX, itl_seconds=itl_seconds)
    assert found == pytest.approx(expected)
