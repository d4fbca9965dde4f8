"""How `bench peaks` judges a forecast of the running maximum: losses and coverage."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench._peaks_demand import Floats
from scaler.forecast.running_maximum import MaximumForecast

MORE_GPUS = (1, 2, 4, 8)
"""Above the present; the rule of nodes asks for such probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One method's forecasts, a row each step from the first judged one on."""

    quantiles: Floats
    """[step][window][level]"""
    reach: Floats
    """[step][window][`MORE_GPUS`]"""


def said(forecasts: Sequence[MaximumForecast]) -> Said:
    return Said(
        quantiles=np.array([one.quantiles for one in forecasts]),
        reach=np.array([
            [
                [one.probability_of_reaching(one.last_value + more, window) for more in MORE_GPUS]
                for window in range(len(one.windows_seconds))
            ]
            for one in forecasts
        ]),
    )  # fmt: skip


def rolling_excess(
    demand: Floats, *, windows: npt.NDArray[np.intp], levels: Floats, steps: int, first: int
) -> Said:
    """The usual baseline: the present plus the empirical excess of the last `steps` steps."""
    excess = [maxima(demand, int(window)) - demand for window in windows]
    quantiles = np.empty((len(demand) - first, len(windows), len(levels)))
    reach = np.empty((len(demand) - first, len(windows), len(MORE_GPUS)))
    for column, (window, above) in enumerate(zip(windows.tolist(), excess, strict=True)):
        for row, step in enumerate(range(first, len(demand))):
            seen = above[max(0, step - window - steps + 1) : max(1, step - window + 1)]
            quantiles[row, column] = demand[step] + np.quantile(seen, levels, method="inverted_cdf")
            counts = [(seen >= more).sum() for more in MORE_GPUS]
            reach[row, column] = (np.array(counts) + 0.5) / (len(seen) + 1)
    return Said(quantiles=quantiles, reach=reach)


def maxima(demand: Floats, window: int) -> Floats:
    """The maximum of each step and the `window` steps after it, as far as they are known."""
    padded = np.concatenate((demand, np.full(window, -np.inf)))
    highest: Floats = np.lib.stride_tricks.sliding_window_view(padded, window + 1).max(axis=1)
    return highest


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Means over the judged steps of one window."""

    pinball: Floats
    """By level."""
    covered: Floats
    """Share of the maxima at or below the quantile, by level."""
    log_loss: float
    """Mean logarithmic loss of the probabilities of `MORE_GPUS`."""
    expected: Floats
    """Mean probability, by `MORE_GPUS`."""
    reached: Floats
    """Share of the steps after which it was reached."""


def score(says: Said, demand: Floats, *, column: int, window: int, levels: Floats) -> Score:
    """Judge the steps whose window has passed."""
    first = len(demand) - len(says.quantiles)
    steps = np.arange(first, len(demand) - window)
    rows = steps - first
    top = maxima(demand, window)[steps]
    quantiles, reach = says.quantiles[rows, column], says.reach[rows, column]
    error = top[:, None] - quantiles
    came = top[:, None] >= demand[steps, None] + np.array(MORE_GPUS)
    inside = np.clip(reach, 1e-4, 1 - 1e-4)
    log_loss = -np.where(came, np.log(inside), np.log1p(-inside))
    return Score(
        pinball=np.maximum(levels * error, (levels - 1) * error).mean(axis=0),
        covered=(error <= 0).mean(axis=0),
        log_loss=float(log_loss.mean()),
        expected=reach.mean(axis=0),
        reached=came.mean(axis=0),
    )
