"""Replica-seconds a token, from what the user measured and what the preset knows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.capacity import Origin, Speeds, work_of

PRIOR = Speeds(prompt=8000, generated=1600)
speeds = st.floats(1, 1e6)


@given(prompt=speeds, generated=speeds)
def test_at_the_mix_that_was_measured_one_replica_is_one_replica(
    prompt: float, generated: float
) -> None:
    work = work_of(prompt, generated, prior=PRIOR)

    assert work.replicas(prompt, generated) == pytest.approx(1)


def test_away_from_the_mix_the_load_follows_the_split_of_the_prior() -> None:
    # 4000 ÷ 8000 = 0.5 and 800 ÷ 1600 = 0.5: half a replica's second for each kind.
    work = work_of(4000, 800, prior=PRIOR)

    assert work.replicas(8000, 800) == pytest.approx(1.5)
    assert work.replicas(0, 800) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("prompt", "generated", "load"),
    [(4000, None, 2.0), (None, 800, 3.0), (None, None, 2.5)],
    ids=["prompt-alone", "generated-alone", "neither"],
)
def test_what_is_not_given_comes_from_the_prior_or_does_not_bind(
    prompt: float | None, generated: float | None, load: float
) -> None:
    # asked: 8000 prompt and 2400 generated tokens per second
    assert work_of(prompt, generated, prior=PRIOR).replicas(8000, 2400) == pytest.approx(load)


def test_the_origin_is_told() -> None:
    assert work_of(None, None, prior=PRIOR).origin is Origin.PRIOR
    assert work_of(1, None, prior=PRIOR).origin is Origin.METADATA


def test_tokens_that_are_not_measured_make_no_load_and_not_a_load_of_zero() -> None:
    work = work_of(4000, 800, prior=PRIOR)

    assert work.replicas(None, None) is None
    assert work.replicas(None, 800) == pytest.approx(0.5)
