"""The streaming adapter under a harness that knows nothing of us: any step, horizons, levels."""

from datetime import UTC, datetime

import numpy as np
import pytest

from scaler.forecast.levels import LEVELS, LevelInterpolation
from scaler.forecast.streaming import factory


@pytest.mark.parametrize(
    ("step_s", "horizons_s", "quantiles"),
    [
        pytest.param(10.0, (30, 60, 300, 1800), (0.5, 0.9, 0.99), id="ten-seconds"),
        pytest.param(45.0, (45.0, 100.0, 1800.0), (0.01, 0.5, 0.999), id="odd-step-and-levels"),
        pytest.param(60.0, np.array([60.0, 900.0]), np.array([0.9, 0.5]), id="arrays-unsorted"),
        pytest.param(600.0, (30.0, 7200.0), (0.5,), id="a-horizon-below-the-step"),
        pytest.param(3600.0, (3600.0, 86_400.0), (0.05, 0.95), id="hours"),
    ],
)
@pytest.mark.parametrize("start", [None, 1.7e9, datetime(2027, 3, 27, tzinfo=UTC)])
def test_any_task_gets_sound_quantiles_from_any_values(step_s, horizons_s, quantiles, start):
    stream = factory(
        step_s=step_s, horizons_s=horizons_s, quantiles=quantiles, start=start, tz="Europe/Berlin"
    )
    noise = np.random.default_rng(2)
    order = np.argsort(quantiles)
    for step in range(120):
        value = None if step % 11 == 3 else float("nan") if step % 17 == 5 else noise.poisson(30)
        stream.update(step * step_s, value)
        predictions = stream.predict()
        assert predictions.shape == (len(horizons_s), len(quantiles))
        assert np.isfinite(predictions).all()
        assert (predictions >= 0).all()
        assert (np.diff(predictions[:, order], axis=1) >= 0).all()


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        pytest.param({"horizons_s": ()}, "horizons", id="no-horizons"),
        pytest.param({"horizons_s": (-60.0, 60.0)}, "horizons", id="into-the-past"),
        pytest.param({"horizons_s": (60.0, float("inf"))}, "horizons", id="for-ever"),
        pytest.param({"quantiles": (0.5, 1.0)}, "levels", id="certainty"),
        pytest.param({"step_s": 0.0}, "step", id="no-step"),
    ],
)
def test_impossible_tasks_are_refused(changed, why):
    with pytest.raises(ValueError, match=why):
        factory(**({"step_s": 60.0, "horizons_s": (60.0,)} | changed))


def test_levels_are_read_linearly_between_and_exponentially_beyond():
    inner = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 10.0, 11.0]])
    # Steepest from .9 up: (11 - 7) / ln(.05/.005) = 1.737 a natural log of rarity, and from .995
    # to .9995 there are ln 10 of them. A fifth of the lowest level is a fifth of its demand.
    read = LevelInterpolation((0.01, 0.6, 0.9, 0.9995)).read(inner)
    assert read == pytest.approx(np.array([[0.2, 3.5, 6.0, 15.0]]))
    assert LevelInterpolation(LEVELS.tolist()).read(inner) == pytest.approx(inner)
