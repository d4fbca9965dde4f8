"""Our reading of SageServe's hourly plan (POMACS, December 2025; arXiv 2502.14617)."""

from math import ceil

import numpy as np

from replay.policies.port import PolicyKind, Seen
from replay.profile import RequestMix, capacity_requests_per_second
from replay.replay_input import ReplayInput
from replay.traffic import Floats


class HourlyPlan:
    """An hourly plan for the highest rate forecast, and single steps on KV use between plans.

    The forecast is an ARIMA(3,1,2) of ten-minute means, fitted anew each hour on what is past
    (the paper's artefact fits it on the day it judges; ours does not look ahead).
    """

    period_seconds = 60
    _BIN_SECONDS = 600
    _PLAN_SECONDS = 3600
    _AHEAD_BINS = (2, 8)
    _UP, _DOWN, _EMERGENCY = 0.5, 0.25, 0.9
    _SURPRISE = 5.0

    def __init__(self, replay_input: ReplayInput, headroom: float) -> None:
        self._replay_input, self._headroom = replay_input, headroom
        size = self._BIN_SECONDS // 60
        past = replay_input.past.requests_per_second
        whole = past[len(past) % size :].reshape(-1, size).mean(axis=1)
        self._bins: list[float] = whole.tolist()
        self._minutes: list[float] = []
        self._forecast: float | None = None

    def decide(self, seen: Seen) -> int:
        now, rate = seen.at_seconds, seen.arrived_per_second
        if now:
            self._minutes.append(rate)
        if len(self._minutes) * 60 == self._BIN_SECONDS:
            self._bins.append(float(np.mean(self._minutes)))
            self._minutes.clear()
        if now % self._PLAN_SECONDS == 0:
            first, last = self._AHEAD_BINS
            ahead = arima_312(np.array(self._bins), last)
            self._forecast = None if ahead is None else float(ahead[first:].max())
            if self._forecast is not None:
                return self._sized(self._forecast, seen)
        if self._forecast and rate > self._SURPRISE * self._forecast:
            return max(seen.replicas, self._sized(rate, seen))
        if seen.kv_use_ratio > self._EMERGENCY:
            return seen.replicas + 2
        if seen.replicas > seen.ready:
            return seen.replicas
        return (
            seen.replicas + (seen.kv_use_ratio > self._UP) - (seen.kv_use_ratio < self._DOWN)
            if self._forecast is None
            else seen.replicas + (seen.kv_use_ratio > self._UP)
        )

    def _sized(self, rate: float, seen: Seen) -> int:
        platform = self._replay_input.platform
        mix = RequestMix.constant(seen.prompt_tokens, seen.output_tokens)
        each = capacity_requests_per_second(
            platform.profile, mix, itl_seconds=platform.objective.itl_seconds
        )
        return ceil(self._headroom * rate / each)


def arima_312(values: Floats, steps: int) -> Floats | None:
    """Forecast `steps` values by ARIMA(3,1,2), fitted after Hannan and Rissanen.

    A long autoregression of the differences gives their innovations, a regression on both the
    coefficients. None under 60 values.
    """
    long, ar, ma = 12, 3, 2
    if len(values) < 60:  # noqa: PLR2004 - some degrees of freedom for the long one
        return None
    steps_taken = np.diff(values)
    residuals = np.concatenate([np.zeros(long), _regress(steps_taken, _lags(steps_taken, long))[1]])
    design = np.column_stack([_lags(steps_taken, ar), _lags(residuals, ma)[ar - ma :]])
    weights, _ = _regress(steps_taken, design)
    history, shocks = steps_taken[-ar:].tolist(), residuals[-ma:].tolist()
    ahead = []
    for _ in range(steps):
        known = np.array([*history[::-1][:ar], *shocks[::-1][:ma]])
        history.append(float(known @ weights))
        shocks.append(0.0)
        ahead.append(history[-1])
    # An explosive fit is held within twice what was ever seen.
    bounded: Floats = np.clip(values[-1] + np.cumsum(ahead), 0.0, 2 * values.max())
    return bounded


def _lags(values: Floats, count: int) -> Floats:
    """Row t holds the `count` values before place t + count, the latest first."""
    windows = np.lib.stride_tricks.sliding_window_view(values[:-1], count)
    latest_first: Floats = windows[:, ::-1]
    return latest_first


def _regress(values: Floats, design: Floats) -> tuple[Floats, Floats]:
    """Least-squares weights and residuals of the last values on the design."""
    target = values[len(values) - len(design) :]
    weights = np.linalg.lstsq(design, target, rcond=None)[0].astype(np.float64)
    return weights, target - design @ weights


KINDS = (
    PolicyKind(
        name="sageserve-like",
        source="SageServe: hourly plan on ARIMA(3,1,2), KV use .5 / .25 / .9 between, 5 x surprise",
        knob="forecast counted times",
        usual=1.0,
        knobs=(1.0, 1.15, 1.3, 1.5, 1.75, 2.0, 2.5),
        make=HourlyPlan,
    ),
)
