"""Weights go to whoever earned them, and calibration holds on noise it was not made for."""

import numpy as np
import pytest

from scaler.forecast.adapted import Adapted
from scaler.forecast.hedge import Hedge
from scaler.forecast.levels import LEVELS
from scaler.forecast.residuals import Windows
from scaler.forecast.streaming import factory
from scaler.forecast.trees import Trees, nothing, shipped

ALL = np.array([0], np.intp)


def hedge(prior: tuple[float, ...] = (0.5, 0.5)) -> Hedge:
    return Hedge(
        levels=np.array([0.5]),
        prior=np.array(prior),
        half_life_steps=np.array([200.0]),
        overlap=np.array([1.0]),
    )


def test_the_better_expert_gets_nearly_all_the_weight():
    judge, noise = hedge(), np.random.default_rng(1)
    for value in noise.normal(10, 1, 500):
        judge.learn(ALL, np.array([[[10.0, 14.0]]]), np.array([value]))
    assert judge.weights[0, 0, 0] > 0.95


def test_the_worse_expert_is_kept_alive_and_comes_back_when_the_regime_changes():
    judge, noise = hedge(), np.random.default_rng(1)
    for level in (10.0, 14.0):
        for value in noise.normal(level, 1, 1500):
            judge.learn(ALL, np.array([[[10.0, 14.0]]]), np.array([value]))
    assert judge.weights[0, 0, 1] > 0.9


def test_whoever_repeats_the_mixture_keeps_the_prior_weight():
    judge = hedge((0.3, 0.7))
    for value in (3.0, 8.0, 1.0):
        judge.learn(ALL, np.array([[[5.0, 5.0]]]), np.array([value]))
    assert judge.weights[0, 0] == pytest.approx([0.3, 0.7])


def test_before_any_error_the_prior_shape_stands_in():
    windows = Windows(
        levels=np.array([0.5, 0.9]),
        prior=np.array([0.0, 1.5]),
        overlap=np.array([1.0]),
        thinning=(1,),
    )
    assert windows.quantiles(np.array([[4.0]])).tolist() == [[[0.0, 6.0]]]


def test_with_many_errors_the_window_speaks_for_itself():
    windows = Windows(
        levels=np.array([0.5]), prior=np.array([50.0]), overlap=np.array([1.0]), thinning=(1,)
    )
    for error in range(1, 256):
        windows.learn(ALL, np.array([[float(error)]]))
    # The median of 1..255 is 128; 255 errors against 1.2 of the prior pull it by under 1.
    assert windows.quantiles(np.array([[1.0]]))[0, 0, 0] == pytest.approx(128, abs=4)


def test_a_tree_answers_every_question_and_adds_what_its_leaf_holds():
    trees = Trees(
        feature=np.array([[0, 1]], np.uint8),
        threshold=np.array([[5.0, 0.0]], np.float32),
        leaf=np.arange(4, dtype=np.float32).reshape(1, 4, 1),
    )
    leaves = trees.leaves(np.array([[9.0, -1.0], [9.0, 1.0], [5.0, 1.0]]))
    assert trees.sum_at(leaves).tolist() == [[2.0], [3.0], [1.0]]


def test_the_shipped_prior_fits_the_inputs_and_the_levels_and_is_small():
    trees = shipped()
    assert trees.leaf.shape[2] == len(LEVELS)
    assert trees.leaf.nbytes < 600_000
    assert np.isfinite(trees.leaf).all()


def test_leaves_move_up_while_outcomes_lie_above():
    adapted = Adapted(nothing(), np.array([1.0]))
    leaves = np.zeros((1, 1), np.intp)
    for _ in range(50):
        adapted.learn(ALL, leaves, np.zeros((1, len(LEVELS)), bool))
    assert (adapted.sum_at(leaves) > 0).all()


def test_a_workload_of_ever_new_situations_stays_bounded_and_leaves_the_rest_to_the_prior():
    trees = Trees(
        feature=np.zeros((24, 5), np.uint8),
        threshold=np.zeros((24, 5), np.float32),
        leaf=np.zeros((24, 32, len(LEVELS)), np.float32),
    )
    adapted, is_above = Adapted(trees, np.array([1.0])), np.zeros((1, len(LEVELS)), bool)
    for leaf in range(32):
        adapted.learn(ALL, np.full((1, 24), leaf), is_above)
    assert len(adapted.correction) == 384
    assert (adapted.sum_at(np.zeros((1, 24), np.intp)) > 0).all()
    assert (adapted.sum_at(np.full((1, 24), 31)) == 0).all()


@pytest.mark.parametrize(
    ("draw", "tolerance"),
    [
        pytest.param(lambda noise: noise.poisson(20), 0.03, id="counts"),
        pytest.param(lambda noise: noise.lognormal(3, 1), 0.03, id="heavy-tail"),
        # Nine tenths of all lie close to eight tenths of the upper mode, where a hair in demand
        # is several points of coverage.
        pytest.param(
            lambda noise: noise.poisson(200) * (noise.random() < 0.5), 0.06, id="half-zeros"
        ),
    ],
)
def test_nine_of_ten_outcomes_lie_under_the_nine_tenths_quantile(draw, tolerance):
    noise = np.random.default_rng(11)
    stream = factory(step_s=60.0, horizons_s=(60.0, 300.0))
    values = [float(draw(noise)) for _ in range(1500)]
    predictions = []
    for i, value in enumerate(values):
        stream.update(i * 60.0, value)
        predictions.append(stream.predict()[:, 3])
    for column, ahead in enumerate((1, 5)):
        outcome = np.array(values[500 + ahead :])
        covered = outcome <= np.array(predictions)[500:-ahead, column]
        assert covered.mean() == pytest.approx(0.9, abs=tolerance)
