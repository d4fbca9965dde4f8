"""The benchmark of the running maximum judges what it says it judges."""

import numpy as np
import pytest

from bench._forecast_forest import Growth
from bench._peaks_demand import wanted
from bench._peaks_forest import ReachRows, grow
from bench._peaks_judging import Said, maxima, rolling_excess, score
from scaler.forecast.trees import Trees

LEVELS = np.array([0.5, 0.9])


def test_a_load_becomes_replicas_that_shrink_five_minutes_late() -> None:
    load = np.array([1.0] * 20 + [3.0] * 10 + [1.0] * 30)
    replicas = wanted(load, step_seconds=120.0, mean=8.0)
    assert replicas.mean() == pytest.approx(8.0, rel=0.1)
    top, low = replicas[25], replicas[5]
    assert top > 2 * low
    assert replicas[30] == top  # the load has fallen, and five minutes have not passed
    assert replicas[35] < top


def test_maxima_hold_for_the_step_and_those_after_it() -> None:
    assert maxima(np.array([1.0, 3.0, 2.0, 5.0]), 2).tolist() == [3.0, 5.0, 5.0, 5.0]


def test_the_baseline_knows_no_outcome_before_its_window_has_passed() -> None:
    demand = np.array([4.0] * 30 + [9.0] * 10)
    window = np.array([5], np.intp)
    says = rolling_excess(demand, windows=window, levels=LEVELS, steps=20, first=25)
    assert says.quantiles[4, 0].tolist() == [4.0, 4.0]  # made at 29, just before the rise
    assert says.quantiles[9, 0].tolist() == [9.0, 14.0]  # 5 of 20 windows saw a rise of 5


def test_losses_and_coverage_are_by_hand() -> None:
    demand = np.array([4.0, 6.0, 4.0])
    says = Said(quantiles=np.array([[[5.0, 7.0]]] * 3), reach=np.full((3, 1, 4), 0.5))
    found = score(says, demand, column=0, window=1, levels=LEVELS)
    # Maxima 6 and 6: one above the median's 5, one below the .9's 7.
    assert found.pinball.tolist() == pytest.approx([0.5, 0.1])
    assert found.covered.tolist() == [0.0, 1.0]
    assert found.log_loss == pytest.approx(np.log(2))
    assert found.reached.tolist() == [0.5, 0.5, 0.0, 0.0]  # by 1, 2, 4 and 8 GPUs


def test_trees_learn_when_the_own_past_says_too_little() -> None:
    random = np.random.default_rng(4)
    count = 8000
    features = random.random((count, 3)).astype(np.float32)
    reached = (random.random(count) < np.where(features[:, 1] > 0.5, 0.8, 0.1)).astype(np.float32)
    rows = ReachRows(
        features=features,
        logit=np.zeros(count, np.float32),
        reached=reached,
        weight=np.ones(count),
    )
    forest = grow(rows, Growth(trees=60, depth=2, rate=0.2, rows_per_tree=4000, feature_share=1.0))
    trees = Trees(feature=forest.feature, threshold=forest.threshold, leaf=forest.leaf)
    asked = np.array([[0.5, 0.1, 0.5], [0.5, 0.9, 0.5]])
    probability = 1 / (1 + np.exp(-trees.sum_at(trees.leaves(asked))[:, 0]))
    assert probability.tolist() == pytest.approx([0.1, 0.8], abs=0.05)
