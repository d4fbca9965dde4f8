"""The generator keeps the promises of its parameters."""

from dataclasses import replace

import numpy as np
import pytest

from replay.traffic import (
    DAY_SECONDS,
    FlashCrowd,
    Launch,
    Lengths,
    Traffic,
    TrafficSettings,
    documents_share,
)

HOUR = 3600
CALM = TrafficSettings(peak_requests_per_second=20, drift_log_sigma=0)


def expected_at(settings: TrafficSettings, *at_seconds: float, seed: int = 1) -> list[float]:
    traffic = Traffic(settings, seed=seed, seconds=7 * DAY_SECONDS)
    return [float(rate) for rate in traffic.requests_per_second(np.array(at_seconds))]


def test_peak_and_trough_are_as_asked() -> None:
    peak, trough = expected_at(CALM, 14.5 * HOUR, 2.5 * HOUR)
    assert peak == pytest.approx(20, rel=1e-3)
    assert trough == pytest.approx(5, rel=1e-3)


def test_a_weekend_is_quieter() -> None:
    # Second 0 is a Tuesday, so Saturday is four days on.
    friday, saturday = expected_at(CALM, (3 * 24 + 14.5) * HOUR, (4 * 24 + 14.5) * HOUR)
    assert (friday, saturday) == (pytest.approx(20, rel=1e-3), pytest.approx(12, rel=1e-3))


def test_a_flash_crowd_comes_stays_and_fades() -> None:
    crowd = FlashCrowd(
        at_seconds=10 * HOUR, ratio=2, ramp_seconds=100, hold_seconds=200, fade_seconds=100
    )
    settings = replace(CALM, flash_crowds=(crowd,))
    moments = [10 * HOUR + after for after in (-1, 50, 150, 400, 3000)]
    with_crowd, without = expected_at(settings, *moments), expected_at(CALM, *moments)
    ratios = [a / b for a, b in zip(with_crowd, without, strict=True)]
    assert ratios == pytest.approx([1, 1.5, 2, 1 + np.exp(-1), 1], abs=1e-6)


def test_a_launch_stays() -> None:
    settings = replace(CALM, launches=(Launch(at_seconds=HOUR, ratio=1.5),))
    moments = (HOUR - 1, HOUR, 20 * HOUR)
    ratios = np.array(expected_at(settings, *moments)) / expected_at(CALM, *moments)
    assert ratios.tolist() == pytest.approx([1, 1.5, 1.5])


def test_arrivals_are_as_bursty_as_asked() -> None:
    flat = replace(CALM, trough_ratio=1.0)
    requests = Traffic(flat, seed=3, seconds=20_000, days_before=0).requests()
    counts = np.bincount(requests.arrival_seconds.astype(int), minlength=20_000)
    assert counts.mean() == pytest.approx(20, rel=0.01)
    assert counts.var() / counts.mean() == pytest.approx(2.25, rel=0.05)


def test_lengths_have_the_moments_they_say() -> None:
    lengths = Lengths(mean_tokens=800, log_sigma=0.9, tokens_max=2000)
    drawn = np.exp(np.random.default_rng(0).normal(lengths.log_mu, 0.9, 1_000_000))
    cut = np.minimum(drawn, 2000)
    assert lengths.moment(1) == pytest.approx(cut.mean(), rel=2e-3)
    assert lengths.moment(2) == pytest.approx((cut**2).mean(), rel=3e-3)


def test_the_mix_of_lengths_moves_over_the_day() -> None:
    night, day = documents_share(CALM, np.array([2.5 * HOUR, 14.5 * HOUR]))
    assert (night, day) == (pytest.approx(0.45), pytest.approx(0.15))
    requests = Traffic(CALM, seed=1, seconds=DAY_SECONDS, days_before=0).requests()
    hours = (requests.arrival_seconds // HOUR).astype(int)
    ratio = np.bincount(hours, requests.prompt_tokens) / np.bincount(hours, requests.output_tokens)
    assert ratio[2] > 1.5 * ratio[14]


def test_history_has_the_level_and_spread_that_requests_would_have_had() -> None:
    flat = replace(CALM, trough_ratio=1.0, documents_share_by_night=0.15)
    traffic = Traffic(flat, seed=5, seconds=DAY_SECONDS, days_before=1)
    history, requests = traffic.history(step_seconds=60), traffic.requests()
    minutes = (requests.arrival_seconds // 60).astype(int)
    made = np.bincount(minutes, requests.prompt_tokens) / 60
    drawn = history.prompt_tokens_per_second
    assert len(drawn) == len(made) == 1440
    assert drawn.mean() == pytest.approx(made.mean(), rel=0.02)
    assert drawn.std() == pytest.approx(made.std(), rel=0.1)
    assert history.at_seconds[-1] == 0


def test_the_past_leads_into_the_run() -> None:
    traffic = Traffic(
        TrafficSettings(peak_requests_per_second=50), seed=9, seconds=HOUR, days_before=2
    )
    before, after = traffic.requests_per_second(np.array([-1.0, 1.0]))
    assert before == pytest.approx(after, rel=1e-2)


def test_the_same_seed_makes_the_same_requests_and_another_does_not() -> None:
    def drawn(seed: int) -> tuple[bytes, bytes, bytes]:
        requests = Traffic(CALM, seed=seed, seconds=HOUR, days_before=1).requests()
        return (
            requests.arrival_seconds.tobytes(),
            requests.prompt_tokens.tobytes(),
            requests.output_tokens.tobytes(),
        )

    assert drawn(4) == drawn(4)
    assert drawn(4) != drawn(5)
