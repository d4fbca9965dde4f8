"""One feed's demand and forecasts, kept up to date one observation at a time.

Workloads that read the same series share a tracker, and an edit of a trigger's bounds keeps it.
Forecasts are made on the grid of the step, so replicas of Foresail that read the same samples make
the same forecasts, whatever the moments of their looks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from scaler.decision.capacity import ReplicaCapacity
from scaler.decision.clock_steps import ClockSteps, GapClosing, Relabelling
from scaler.decision.demand import Demand, DemandState, demand_of
from scaler.decision.outlook import Outlook, outlook_of
from scaler.decision.series import LEADING_INDICATOR, PLANNED, DemandSeries, amount
from scaler.errors import SourceError
from scaler.forecast.record import DemandForecast
from scaler.signals import ESSENTIAL, Observation


class Forecaster(Protocol):
    """Quantiles of one series' future, from its past."""

    def update(self, t_seconds: float, value: float | None, *, leading: float | None) -> None:
        """Take the next step of the series and of its leading indicator; None is a gap."""
        ...

    def forecast(self) -> DemandForecast: ...

    def relabel(self, seconds: float) -> None:
        """Move the times of all samples so far by `seconds`."""
        ...

    def close_gap(self, after_seconds: float, steps: int) -> None:
        """Take out the `steps` steps after the sample of `after_seconds`; later ones follow it."""
        ...

    def snapshot(self) -> bytes:
        """All that was learnt, for `restore` on a forecaster with the same arguments."""
        ...

    def restore(self, snapshot: bytes) -> None:
        """Continue from a snapshot.

        Raises:
            ValueError: it does not fit; the forecaster is unchanged.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerState:
    """The memory of a tracker; another tracker with the same arguments can resume from it."""

    step_seconds: float
    open_step: int | None
    """The step that is not closed yet; None before the first look."""
    looks: tuple[Demand, ...]
    """Of the open step."""
    demand: Demand | None
    demand_state: DemandState | None
    has_closed: bool
    """Whether a step was ever closed: before that there is no forecast."""
    forecasters: Mapping[DemandSeries, bytes]
    """Snapshots; they hold the closed steps."""
    clock_steps: tuple[tuple[int, int], ...] = ()
    """The open step when the wall clock was set, and by how many steps; the newest last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollResult:
    """The result of one look at a feed: an observation, or why there is none."""

    at_seconds: float
    observation: Observation | None
    failure: SourceError | None = None

    def usable(self) -> bool:
        """Whether a plan can be made from it."""
        seen = self.observation
        return seen is not None and any(seen.value(signal) is not None for signal in ESSENTIAL)

    def complaint(self) -> str:
        """Why it is not usable, in words."""
        if self.failure is not None:
            return str(self.failure)
        if self.observation is None:
            return "not read yet"
        return self.observation.unmeasured(ESSENTIAL, now_seconds=self.at_seconds)


class DemandTracker:
    """Demand and forecasts of one feed.

    There are several looks in one step of the forecast. A step's value is the mean of its looks.
    The first look of a later step closes it, and the forecasts are made anew.
    """

    def __init__(
        self,
        make_forecaster: Callable[[DemandSeries], Forecaster],
        *,
        step_seconds: float,
        step_offset_seconds: float = 0.0,
        beside: Sequence[DemandSeries] = (),
    ) -> None:
        """Start without a past.

        Args:
            step_offset_seconds: how long after a multiple of `step_seconds` a step begins.
            beside: series that are forecast only to be shown; plans do not use them.
        """
        self._make_forecaster = make_forecaster
        self._step_seconds = step_seconds
        self._step_offset_seconds = step_offset_seconds
        self._beside = tuple(beside)
        self._forecasters = {
            series: make_forecaster(series) for series in dict.fromkeys((*PLANNED, *beside))
        }
        self._state: DemandState | None = None
        self._open_step: int | None = None
        self._looks: list[Demand] = []
        self.demand: Demand | None = None
        """Of the newest usable look."""
        self._forecasts: Mapping[DemandSeries, DemandForecast] | None = {}
        self._clock_steps = ClockSteps(step_seconds=step_seconds)

    def take(self, poll: PollResult) -> None:
        """Account for a look at the feed; a step without a usable one is a gap in every series."""
        step = int((poll.at_seconds - self._step_offset_seconds) // self._step_seconds)
        if self._open_step is not None and step < self._open_step:
            if step < self._open_step - 1:
                return  # a look never ends this late
            step = self._open_step  # begun before that step was opened
        if self._open_step is not None and step > self._open_step:
            self._close(self._open_step)
        self._open_step = step
        if poll.observation is not None and poll.usable():
            self.demand, self._state = demand_of(poll.observation, self._state)
            self._looks.append(self.demand)

    def clock_moved(self, seconds: float) -> None:
        """Continue after the wall clock was set by `seconds`; back if negative.

        The next queue is not compared with the last one, because the time between them is unknown.
        """
        if self._state is not None:
            mix = self._state.mix
            self._state = DemandState(mix=replace(mix, at_seconds=mix.at_seconds + seconds))
        if self.demand is not None:
            self.demand = replace(self.demand, at_seconds=self.demand.at_seconds + seconds)
        if self._open_step is None:
            return
        for change in self._clock_steps.changes(seconds, open_step=self._open_step):
            self._open_step = change.moved(self._open_step)
            for forecaster in self._forecasters.values():
                match change:
                    case Relabelling(steps=steps):
                        forecaster.relabel(steps * self._step_seconds)
                    case GapClosing(after_step=after, steps=steps):
                        forecaster.close_gap(after * self._step_seconds, steps)

    def _close(self, step: int) -> None:
        at = step * self._step_seconds
        means = {series: _mean(self._looks, series) for series in DemandSeries}
        for series, forecaster in self._forecasters.items():
            leading = means[LEADING_INDICATOR[series]] if series in LEADING_INDICATOR else None
            forecaster.update(at, means[series], leading=leading)
        self._looks.clear()
        self._forecasts = None

    @property
    def forecasts(self) -> Mapping[DemandSeries, DemandForecast]:
        """As of the last closed step; empty before the first."""
        if self._forecasts is None:
            self._forecasts = {s: f.forecast() for s, f in self._forecasters.items()}
        return self._forecasts

    def outlook(
        self, capacity: ReplicaCapacity, *, lead_seconds: float, level: float
    ) -> Outlook | None:
        """The quantile of work at the lead time, in replicas; None while nothing is forecast."""
        return outlook_of(self.forecasts, capacity, lead_seconds=lead_seconds, level=level)

    def beginning(self) -> "DemandTracker":
        """An empty tracker of the same kind, to read history into."""
        made = DemandTracker(
            self._make_forecaster,
            step_seconds=self._step_seconds,
            step_offset_seconds=self._step_offset_seconds,
            beside=self._beside,
        )
        made._clock_steps = self._clock_steps.copy()
        return made

    def state(self) -> TrackerState:
        return TrackerState(
            step_seconds=self._step_seconds,
            open_step=self._open_step,
            looks=tuple(self._looks),
            demand=self.demand,
            demand_state=self._state,
            has_closed=self._forecasts != {},
            forecasters={series: f.snapshot() for series, f in self._forecasters.items()},
            clock_steps=tuple(self._clock_steps.remembered),
        )

    def resume(self, state: TrackerState) -> None:
        """Continue from `state`, with the same forecasts; for an empty tracker only.

        A series that the state lacks begins without a past; it must not be one that plans use.

        Raises:
            ValueError: the state is of another step or of other series, or a snapshot does not fit;
                the tracker cannot be used then.
        """
        if state.step_seconds != self._step_seconds:
            message = f"its step is {state.step_seconds:g} s, not {self._step_seconds:g} s"
            raise ValueError(message)
        missing = [series for series in PLANNED if series not in state.forecasters]
        if missing:
            raise ValueError(f"it has no forecast of {', '.join(missing)}")
        for series, forecaster in self._forecasters.items():
            if series in state.forecasters:
                forecaster.restore(state.forecasters[series])
        self._open_step, self._looks = state.open_step, list(state.looks)
        self.demand, self._state = state.demand, state.demand_state
        self._forecasts = None if state.has_closed else {}
        self._clock_steps.remembered = list(state.clock_steps)


def _mean(looks: Sequence[Demand], series: DemandSeries) -> float | None:
    measured = [value for look in looks if (value := amount(look, series)) is not None]
    return sum(measured) / len(measured) if measured else None
