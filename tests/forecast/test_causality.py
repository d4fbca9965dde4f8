"""Nothing said at a step depends on what comes after it."""

import numpy as np
import pytest

from bench._forecast_anchors import CHEAP, Floats
from scaler.forecast.streaming import factory

STEP = 300.0
HORIZONS = (300.0, 900.0, 1800.0)


def traffic(steps: int) -> Floats:
    noise = np.random.default_rng(3)
    day = 100 + 60 * np.sin(np.arange(steps) * STEP * 2 * np.pi / 86_400)
    return noise.poisson(day).astype(float)


def said_along(values: Floats) -> Floats:
    stream = factory(step_s=STEP, horizons_s=HORIZONS, start=0.0, tz="Europe/Berlin")
    rows = []
    for i, value in enumerate(values):
        stream.update(i * STEP, value)
        rows.append(stream.predict())
    return np.array(rows)


def test_a_perturbed_future_moves_no_earlier_forecast():
    values = traffic(651)
    before = said_along(values)
    for cut in (1, 50, 400, 650):
        changed = values[: cut + 1].copy()
        changed[cut] = changed[cut] * 7 + 1000
        after = said_along(changed)
        assert before[:cut].tobytes() == after[:cut].tobytes(), cut
        assert not np.array_equal(before[cut], after[cut]), cut


@pytest.mark.parametrize("method", CHEAP)
def test_the_benchmarks_anchors_are_causal_too(method):
    values, horizons = traffic(700), np.array([1, 3, 6])
    changed = values.copy()
    changed[400:] *= 7
    before = CHEAP[method](values, horizons, STEP).predictions
    after = CHEAP[method](changed, horizons, STEP).predictions
    assert np.array_equal(before[:400], after[:400])


def test_the_same_samples_give_the_same_bytes():
    assert said_along(traffic(300)).tobytes() == said_along(traffic(300)).tobytes()


def test_quantiles_come_in_the_order_they_were_asked_for():
    plain = factory(step_s=STEP, horizons_s=(300.0, 900.0), quantiles=(0.5, 0.9))
    turned = factory(step_s=STEP, horizons_s=(900.0, 300.0), quantiles=(0.9, 0.5))
    for i, value in enumerate(traffic(100)):
        plain.update(i * STEP, value)
        turned.update(i * STEP, value)
    assert np.array_equal(turned.predict(), plain.predict()[::-1, ::-1])
