"""AIBrix's linear prediction against figures worked out by hand."""

from dataclasses import replace

import pytest

from replay.peers.aibrix_predictive import AibrixPredictive, projected
from tests.replay.small import small_input
from tests.replay.test_llmd_peers import SEEN


@pytest.mark.parametrize(
    ("values", "ahead"),
    [
        # A thousandth a second; .19 now, and 120 s more.
        pytest.param((0.10, 0.13, 0.16, 0.19), 0.31, id="rising"),
        pytest.param((0.19, 0.16, 0.13, 0.10), 0.0, id="falling-below-zero-is-zero"),
        pytest.param((0.2, 0.2, 0.2, 0.2), 0.2, id="level"),
        # Slope 1.8 / 4,500 = .0004; the line is at .02 + .018 now.
        pytest.param((0.01, 0.01, 0.01, 0.05), 0.086, id="a-jump-at-the-end"),
    ],
)
def test_the_line_is_followed_for_two_minutes(values: tuple[float, ...], ahead: float) -> None:
    samples = [(30.0 * place, value) for place, value in enumerate(values)]
    assert projected(samples, 90.0) == pytest.approx(ahead)


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param([(0.0, 0.1), (90.0, 0.2)], id="two-points"),
        pytest.param([(0.0, 0.1), (30.0, 0.2), (60.0, 0.3)], id="a-third-of-the-window"),
    ],
)
def test_too_few_samples_are_no_line(samples: list[tuple[float, float]]) -> None:
    assert projected(samples, 90.0) is None


def test_a_trend_adds_replicas_that_the_mean_does_not_ask_for() -> None:
    rule = AibrixPredictive(small_input(), 0.5)
    made = [
        rule.decide(replace(SEEN, at_seconds=at, kv_use_ratio=0.2 + 0.002 * at))
        for at in range(0, 105, 15)
    ]
    # At 90 s the window is half full: .38 now and .24 more are .62, over .5 on four 4.96. Before,
    # the mean of .2 asked for 1.6, and nothing delays that.
    assert made == [2] * 6 + [5]


def test_no_more_are_added_while_some_start() -> None:
    rule = AibrixPredictive(small_input(), 0.5)
    made = [
        rule.decide(replace(SEEN, at_seconds=at, replicas=5, kv_use_ratio=0.2 + 0.002 * at))
        for at in range(0, 105, 15)
    ]
    # On five the trend asks for 6.2 at 90 s; the mean of .29 on the four that are ready for 2.3.
    # Before, .2 on four and the one that starts at .5 are 2.6.
    assert made == [3] * 6 + [5]
