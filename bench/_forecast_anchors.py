"""Point forecasters that everybody knows, for `bench forecast` to stand beside.

Each takes a whole series and gives, for every origin, what it would have said then; none may look
past its origin, and the causality test holds them to it as well. statsforecast's methods are
refitted at every origin they are asked at, on at most `FIT_STEPS` of history.
"""

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
FIT_STEPS = 500
DAY_SECONDS = 86_400.0
EWMA_RATES = np.array([0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9])
HOLT_RATES = np.array(
    [(a, b, p) for a in (0.2, 0.4, 0.7) for b in (0.02, 0.1, 0.3) for p in (0.85, 0.95, 0.99)]
)
FORGET = 0.995
"""Discount of past absolute errors, per step, when a bank picks its member."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """What a method said: shape (origins, horizons), and what saying it cost."""

    origins: npt.NDArray[np.intp]
    predictions: Floats
    cpu_seconds_per_refresh: float


Anchor = Callable[[Floats, npt.NDArray[np.intp], float], Points]


def held(series: Floats) -> Floats:
    """The series with each gap filled by the value before it."""
    known = np.where(np.isnan(series), -1, np.arange(len(series)))
    newest = np.maximum.accumulate(known)
    return np.where(newest < 0, 0.0, series[np.maximum(newest, 0)])


def last(series: Floats, horizons: npt.NDArray[np.intp], _step_seconds: float) -> Points:
    started = time.process_time()
    predictions = np.repeat(held(series)[:, None], len(horizons), axis=1)
    return _all(predictions, started)


def seasonal_naive(series: Floats, horizons: npt.NDArray[np.intp], step_seconds: float) -> Points:
    """The same time yesterday; before there is a yesterday, the last value."""
    started = time.process_time()
    day = round(DAY_SECONDS / step_seconds)
    filled = held(series)
    at = np.arange(len(series))[:, None] + horizons - day
    predictions = np.where(at >= 0, filled[np.clip(at, 0, len(series) - 1)], filled[:, None])
    return _all(predictions, started)


def ewma(series: Floats, horizons: npt.NDArray[np.intp], _step_seconds: float) -> Points:
    """A bank of exponentially weighted means, each horizon following the best so far."""
    started = time.process_time()
    level = np.zeros(len(EWMA_RATES))
    bank = np.empty((len(series), len(EWMA_RATES), 1))
    filled = held(series)
    for i, value in enumerate(filled):
        level += (EWMA_RATES if i else 1.0) * (value - level)
        bank[i, :, 0] = level
    return _all(_follow_best(series, bank.repeat(len(horizons), axis=2), horizons), started)


def holt(series: Floats, horizons: npt.NDArray[np.intp], _step_seconds: float) -> Points:
    """A bank of damped trends, each horizon following the best so far."""
    started = time.process_time()
    alpha, beta, phi = HOLT_RATES.T
    reach = (phi * (1 - phi ** horizons[:, None]) / (1 - phi)).T
    level, trend = np.zeros(len(phi)), np.zeros(len(phi))
    bank = np.empty((len(series), len(phi), len(horizons)))
    for i, value in enumerate(held(series)):
        carried = phi * trend
        before = level + carried
        level = before + (alpha if i else 1.0) * (value - before)
        trend = carried + beta * (level - before) if i else trend
        bank[i] = np.maximum(level[:, None] + reach * trend[:, None], 0.0)
    return _all(_follow_best(series, bank, horizons), started)


def _follow_best(series: Floats, bank: Floats, horizons: npt.NDArray[np.intp]) -> Floats:
    """What the member said whose discounted absolute error is the least so far, per horizon."""
    error = np.full(bank.shape, np.nan)
    for column, ahead in enumerate(horizons):
        error[ahead:, :, column] = np.abs(series[ahead:, None] - bank[:-ahead, :, column])
    unknown = np.isnan(error)
    error[unknown] = 0.0
    keep = np.where(unknown, 1.0, FORGET)
    loss = np.zeros(bank.shape[1:])
    for i in range(len(series)):
        loss = error[i] = keep[i] * loss + error[i]
    best = error.argmin(axis=1)
    return np.take_along_axis(bank, best[:, None, :], axis=1)[:, 0]


def _all(predictions: Floats, started: float) -> Points:
    return Points(
        origins=np.arange(len(predictions)),
        predictions=predictions,
        cpu_seconds_per_refresh=(time.process_time() - started) / max(1, len(predictions)),
    )


CHEAP: dict[str, Anchor] = {
    "last": last,
    "seasonal-naive": seasonal_naive,
    "ewma": ewma,
    "holt": holt,
}
DEAR = ("auto-arima", "auto-ets", "auto-theta", "mstl")


def refitted(
    name: str,
    series: Floats,
    horizons: npt.NDArray[np.intp],
    step_seconds: float,
    origins: Sequence[int],
) -> Points:
    """One of `DEAR`, refitted at each origin.

    Raises:
        ModuleNotFoundError: statsforecast is not installed.
    """
    models = importlib.import_module("statsforecast.models")
    day = round(DAY_SECONDS / step_seconds)
    filled = held(series)
    predictions = np.empty((len(origins), len(horizons)))
    started = time.process_time()
    for row, origin in enumerate(origins):
        reach = 3 * day if name == "mstl" else FIT_STEPS
        past = filled[max(0, origin + 1 - reach) : origin + 1]
        path = _path(models, name, past, day, int(horizons.max()))
        predictions[row] = np.maximum(path[horizons - 1], 0.0)
    return Points(
        origins=np.array(origins),
        predictions=predictions,
        cpu_seconds_per_refresh=(time.process_time() - started) / max(1, len(origins)),
    )


class _Model(Protocol):
    def forecast(self, *, y: Floats, h: int) -> dict[str, Floats]: ...


def _path(models: ModuleType, name: str, past: Floats, day_steps: int, ahead: int) -> Floats:
    """The method's forecast for each of the next steps.

    A constant or very short past has no model; the last value stands in, as it would in any
    program that uses these methods.
    """
    last_value = np.full(ahead, past[-1])
    model: _Model
    # At horizons of minutes a daily season only slows the first three down, and MSTL is nothing
    # without one.
    match name:
        case "auto-arima":
            model = models.AutoARIMA(season_length=1)
        case "auto-ets":
            model = models.AutoETS(season_length=1)
        case "auto-theta":
            model = models.AutoTheta(season_length=1)
        case _ if len(past) > 2 * day_steps:
            model = models.MSTL(season_length=[day_steps])
        case _:
            return last_value
    try:
        with np.errstate(all="ignore"):  # a candidate order that fits exactly divides by zero
            return model.forecast(y=past, h=ahead)["mean"]
    except (ValueError, ZeroDivisionError, np.linalg.LinAlgError, RuntimeError):
        return last_value
