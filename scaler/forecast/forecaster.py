"""The forecaster of one signal of one workload: samples in, `DemandForecast` out.

It reads no clock and does no I/O: samples come with their times, forecasts come from memory.
"""

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from scaler.forecast.announced import Calendar
from scaler.forecast.ensemble import FINAL, Ensemble
from scaler.forecast.experts.port import Task
from scaler.forecast.grid import Grid
from scaler.forecast.levels import LevelInterpolation
from scaler.forecast.past import Floats, Past
from scaler.forecast.record import (
    DEFAULT_LEVELS,
    SKILL_STEPS_MIN,
    DemandForecast,
    ExpertWeight,
    Skill,
)
from scaler.forecast.shared_constant import shared_constant
from scaler.forecast.snapshot import dump, load
from scaler.forecast.trees import Trees, shipped
from scaler.signals import READING_MAX


class Forecaster:
    def __init__(  # noqa: PLR0913 - settings of one thing, all by name
        self,
        *,
        signal: str,
        step_seconds: float,
        horizons_seconds: Sequence[float],
        levels: Sequence[float] = DEFAULT_LEVELS,
        start: datetime | float | None = None,
        tz: str | None = None,
        calendar: Calendar | None = None,
        trees: Trees | None = None,
    ) -> None:
        """Start with an empty history.

        Args:
            start: the moment of time 0 of the samples; None = days are counted from there.
            tz: IANA name of the zone whose days and weeks the traffic follows.
            calendar: announced events; they are at Unix times, so `start` is needed.
            trees: the prior; None = the shipped one.
        """
        self._signal = signal
        self._horizons = tuple(float(h) for h in horizons_seconds)
        self._levels = tuple(float(level) for level in levels)
        if list(self._levels) != sorted(self._levels) or not all(0 < p < 1 for p in self._levels):
            raise ValueError(f"levels {self._levels} are not ascending inside (0, 1)")
        if (
            not self._horizons
            or list(self._horizons) != sorted(self._horizons)
            or not 0 < self._horizons[0] <= self._horizons[-1] < np.inf
        ):
            raise ValueError(f"horizons {self._horizons} are not ascending and positive")
        self._grid = Grid(step_seconds)
        steps = shared_constant(
            np.maximum(1, np.round(np.array(self._horizons) / step_seconds)).astype(np.intp)
        )
        self._past = Past(step_seconds=step_seconds, start=start, tz=tz)
        task = Task(step_seconds=step_seconds, horizons_steps=steps)
        self._ensemble = Ensemble(task, self._past, trees or shipped())
        self._flush_steps = int(steps.max())
        self._calendar = calendar
        self._interpolation = LevelInterpolation(self._levels)

    def update(
        self,
        t_seconds: float,
        value: float | None,
        *,
        leading: float | None = None,
        exogenous: Sequence[float] | None = None,
    ) -> None:
        """Consume a sample; None, NaN, infinities and negative numbers are gaps.

        Args:
            leading: a leading indicator of this signal, measured at the same time.
            exogenous: a forecast from elsewhere made at this time, one number per horizon; None =
                from the calendar.
        """
        step = self._grid.place(t_seconds, value)
        if step is None:
            return
        self._past.place(self._grid.origin_seconds)
        # Once the longest forecast has lapsed, more gaps change nothing but the calendar.
        walked = min(step.gaps, self._flush_steps)
        for _ in range(walked):
            self._ensemble.step(np.nan)
        if step.gaps > walked:
            self._past.skip(step.gaps - walked)
        self._past.leading = _usable(leading)
        points = self._announced(step.value) if exogenous is None else exogenous
        if points is not None:
            self._past.exogenous = np.array([_usable(point) for point in points])
        self._ensemble.step(step.value)
        self._past.exogenous = None

    def relabel(self, seconds: float) -> None:
        """Move the times of all samples so far by whole steps: the clock that made them was set."""
        self._grid.relabel(seconds)

    def close_gap(self, after_seconds: float, steps: int) -> None:
        """Take out the `steps` steps after the sample of `after_seconds`; later ones follow it."""
        after, taken = self._grid.close_gap(after_seconds, steps)
        if taken:
            self._ensemble.close_gap(after, taken)

    def quantiles(self) -> Floats:
        """Shape (horizons, levels), ascending in level, never negative."""
        asked = self._interpolation.read(self._ensemble.quantiles)
        return np.maximum.accumulate(asked, axis=1).clip(0.0)

    def forecast(self) -> DemandForecast:
        past, grid = self._past, self._grid
        age = (past.step - past.newest_measured_step) * past.step_seconds
        return DemandForecast(
            signal=self._signal,
            made_at_seconds=grid.seconds_at(past.step),
            data_age_seconds=age if past.measured else np.inf,
            horizons_seconds=self._horizons,
            levels=self._levels,
            quantiles=tuple(tuple(row) for row in self.quantiles().tolist()),
            last_value=past.last,
            skill=self._skill(),
            experts=self._experts(),
        )

    @property
    def leaves_used(self) -> int:
        """Number of the prior's leaves that this series has visited; the state grows with it."""
        return self._ensemble.adapted.rows

    def snapshot(self) -> bytes:
        """The learned state, for `restore` on a forecaster made with the same arguments."""
        return dump(self)

    def restore(self, snapshot: bytes) -> None:
        """Continue from a snapshot, with byte-equal quantiles.

        Raises:
            ValueError: the snapshot is of a forecaster made with other arguments.
        """
        load(self, snapshot)
        self.forget_step()

    def forget_step(self) -> None:
        """Drop what was kept for one step only: other numbers were written in place of its own."""
        self._past.forget_step()

    def _announced(self, value: float) -> Floats | None:
        start, grid = self._past.start_seconds, self._grid
        if self._calendar is None or start is None or np.isnan(value):
            return None
        now_seconds = start + grid.seconds_at(grid.newest_step)
        return self._calendar.exogenous_forecast(value, now_seconds, self._horizons)

    def _skill(self) -> tuple[Skill, ...]:
        loss, judged = self._ensemble.loss, self._ensemble.own.judged
        rows = []
        for i, horizon in enumerate(self._horizons):
            known = judged[i] >= SKILL_STEPS_MIN
            day, week = (
                float(1 - loss[i, span, 0] / loss[i, span, 1])
                if known and loss[i, span, 1] > 0
                else None
                for span in (0, 1)
            )
            rows.append(Skill(horizon_seconds=horizon, day=day, week=week, judged=int(judged[i])))
        return tuple(rows)

    def _experts(self) -> tuple[ExpertWeight, ...]:
        weights = self._ensemble.hedge.weights.mean(axis=(0, 1))
        pairs = zip(FINAL, weights, strict=True)
        return tuple(ExpertWeight(name=name, weight=float(weight)) for name, weight in pairs)


def _usable(value: float | None) -> float:
    """The number; NaN where it is not a finite demand >= 0."""
    return float(value) if value is not None and 0 <= value <= READING_MAX else np.nan
