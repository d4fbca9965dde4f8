"""Tiers in the durations of starts: hot, warm and cold, or one of them alone."""

import numpy as np
import pytest

from scaler.learning.lead_tiers import tiers_of


def shown(durations: list[float]) -> list[tuple[float, int]]:
    tiers = tiers_of([(seconds, 1.0) for seconds in durations])
    return [(tier.median_seconds, tier.starts) for tier in tiers]


@pytest.mark.parametrize(
    ("durations", "tiers"),
    [
        pytest.param([], [], id="none"),
        pytest.param([300.0], [(300, 1)], id="one-start"),
        pytest.param([15, 30, 15, 30, 15, 30], [(22.5, 6)], id="two-looks-are-one-tier"),
        pytest.param([15] * 3 + [330] * 3, [(15, 3), (330, 3)], id="hot-and-cold"),
        pytest.param(
            [15] * 5 + [90] * 5 + [600] * 5, [(15, 5), (90, 5), (600, 5)], id="hot-warm-cold"
        ),
        pytest.param([300] * 8 + [1500], [(300, 9)], id="one-slow-start-is-no-tier"),
        pytest.param([300] * 40 + [1500] * 3, [(300, 43)], id="nor-are-three-of-43"),
        pytest.param(
            [15] * 9 + [90] * 9 + [600] * 9 + [3600] * 9,
            [(52.5, 18), (600, 9), (3600, 9)],
            id="three-at-most",
        ),
    ],
)
def test_tiers_by_gaps_of_a_factor_of_two(
    durations: list[float], tiers: list[tuple[float, int]]
) -> None:
    assert shown(durations) == tiers


def test_starts_that_only_vary_are_one_tier() -> None:
    draw = np.random.default_rng(1)
    for _ in range(200):
        assert len(shown((300 * draw.lognormal(0, 0.25, size=40)).tolist())) == 1


def test_starts_of_before_a_change_fade_and_make_no_tier() -> None:
    tiers = tiers_of([(600.0, 0.05)] * 8 + [(200.0, 1.0)] * 8)

    assert [tier.starts for tier in tiers] == [16]
