"""Replica-seconds a token, by the trigger's metadata or the preset's defaults."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.decision.capacity import Origin, Speeds, work_of

PRIOR = Speeds(prompt=8000, generated=1600)
speeds = st.floats(1, 1e6)
shares = st.none() | st.floats(0.01, 0.99)


@given(prompt=speeds, generated=speeds, share=shares)
def test_at_the_mix_that_was_measured_one_replica_is_one_replica(
    prompt: float, generated: float, share: float | None
) -> None:
    work = work_of(prompt, generated, prefill_share=share, prior=PRIOR)

    assert work.replicas(prompt, generated) == pytest.approx(1)


@given(prompt=speeds, generated=speeds, share=shares, asked=st.tuples(speeds, speeds))
def test_without_the_share_no_fewer_replicas_are_asked_for_than_with_any(
    prompt: float, generated: float, share: float | None, asked: tuple[float, float]
) -> None:
    knowing = work_of(prompt, generated, prefill_share=share, prior=PRIOR).replicas(*asked)
    ignorant = work_of(prompt, generated, prefill_share=None, prior=PRIOR).replicas(*asked)

    assert knowing is not None
    assert ignorant is not None
    assert ignorant >= knowing * (1 - 1e-9)


@pytest.mark.parametrize(
    ("prompt", "generated", "share", "load"),
    [
        # asked: 8000 prompt and 2400 generated tokens per second
        pytest.param(4000, 800, None, 3.0, id="the-larger-ratio"),
        pytest.param(4000, 800, 0.25, 2.75, id="the-sum-by-share"),
        pytest.param(4000, None, None, 2.0, id="prompt-alone"),
        pytest.param(None, 800, 0.25, 3.0, id="generated-alone-whatever-the-share"),
        pytest.param(None, None, None, 2.5, id="the-prior-adds-up"),
    ],
)
def test_the_load_by_what_is_known(
    prompt: float | None, generated: float | None, share: float | None, load: float
) -> None:
    work = work_of(prompt, generated, prefill_share=share, prior=PRIOR)

    assert work.replicas(8000, 2400) == pytest.approx(load)


def test_the_origin_is_shown() -> None:
    assert work_of(None, None, prefill_share=None, prior=PRIOR).origin is Origin.PRIOR
    assert work_of(1, None, prefill_share=None, prior=PRIOR).origin is Origin.METADATA


@pytest.mark.parametrize(
    ("given_rates", "share", "asked", "reason"),
    [
        # asked ÷ given: 6000 ÷ 4000 = 1.5 and 752 ÷ 800 = 0.94
        pytest.param(
            (4000, 800), None, (6000, 752), "metadata, the larger of 1.50 and 0.94", id="larger"
        ),
        # 0.25 × 1.5 and 0.75 × 0.94
        pytest.param((4000, 800), 0.25, (6000, 752), "metadata, sum of 0.38 and 0.70", id="share"),
        # 12000 ÷ 8000 and 1504 ÷ 1600
        pytest.param(
            (None, None), None, (12000, 1504), "preset default, sum of 1.50 and 0.94", id="preset"
        ),
        pytest.param((4000, None), None, (6000, 752), "metadata", id="one-rate-given"),
        pytest.param((4000, 800), None, (6000, None), "metadata", id="one-rate-measured"),
    ],
)
def test_the_reason_says_how_two_rates_were_joined(
    given_rates: tuple[float | None, float | None],
    share: float | None,
    asked: tuple[float, float | None],
    reason: str,
) -> None:
    work = work_of(*given_rates, prefill_share=share, prior=PRIOR)

    assert work.reason(*asked) == reason


def test_tokens_that_are_not_measured_make_no_load_and_not_a_load_of_zero() -> None:
    work = work_of(4000, 800, prefill_share=0.5, prior=PRIOR)

    assert work.replicas(None, None) is None
    assert work.replicas(None, 800) == pytest.approx(0.5)
