"""What stands on the board, as Prometheus series made when they are scraped."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from scaler.board import Answer, Board, Entry
from scaler.clock import Clock
from scaler.forecast.record import DemandForecast
from scaler.loop import ScalerLoop
from scaler.signals import Signal, Value, state_of
from scaler.track import amount
from scaler.watched import Watched

_WORKLOAD = ("namespace", "scaled_object")
_LEVELS = (0.5, 0.9, 0.99)
_STATES = ("value", "zero", "stale", "absent")


class WorkloadCollector(Collector):
    """One set of series for each workload that is known; gone when it is forgotten."""

    def __init__(self, board: Board, loop: ScalerLoop, *, clock: Clock) -> None:
        self._board = board
        self._loop = loop
        self._clock = clock

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        families = _families()
        families["objects"].add_metric((), len(self._board))
        now = self._clock()
        told = set()
        for entry in sorted(self._board, key=lambda entry: -entry.asked_at_seconds):
            labels = (entry.reference.namespace, entry.reference.name)
            if labels in told:
                continue  # a trigger before its edit, or a second one: the last asked is shown
            told.add(labels)
            _outcome(families, labels, entry, now)
            watched = self._loop.watched.get(entry.reference)
            if watched is not None:
                _feed(families, labels, watched)
                if isinstance(entry.current(), Answer):
                    _plan(families, labels, entry, watched)
        yield from families.values()


def _families() -> dict[str, GaugeMetricFamily]:
    described = {
        "objects": ("foresail_objects", "Triggers that KEDA has asked about.", ()),
        "desired": ("foresail_desired_replicas", "Replicas handed to KEDA.", _WORKLOAD),
        "planned": (
            "foresail_planned_replicas",
            "Replicas the full plan wants; none once it stands no longer.",
            _WORKLOAD,
        ),
        "reactive": (
            "foresail_reactive_replicas",
            "Replicas that the present alone needs.",
            _WORKLOAD,
        ),
        "answering": (
            "foresail_answering",
            "1 while KEDA gets a number, 0 while it gets an error.",
            _WORKLOAD,
        ),
        "age": (
            "foresail_reading_age_seconds",
            "Age of the reading behind the answer.",
            _WORKLOAD,
        ),
        "asked": (
            "foresail_asked_age_seconds",
            "Time since KEDA last asked; a paused object is silent.",
            _WORKLOAD,
        ),
        "signal": (
            "foresail_signal_state",
            "1 for the state each signal is in.",
            (*_WORKLOAD, "signal", "state"),
        ),
        "reading": (
            "foresail_reading",
            "What the engines report, in the signal's unit; none where nothing was measured.",
            (*_WORKLOAD, "signal"),
        ),
        "objective": (
            "foresail_objective_seconds",
            "The latency that the trigger asks for.",
            (*_WORKLOAD, "signal"),
        ),
        "demand": (
            "foresail_demand",
            "Demand now, by dimension; none while it is not read.",
            (*_WORKLOAD, "dimension"),
        ),
        "forecast": (
            "foresail_forecast_demand",
            "Forecast demand by dimension, horizon and quantile; none of what was never measured.",
            (*_WORKLOAD, "dimension", "horizon_seconds", "quantile"),
        ),
        "skill": (
            "foresail_forecast_skill_ratio",
            "1 - loss / loss of the last value, over the last day.",
            (*_WORKLOAD, "dimension", "horizon_seconds"),
        ),
    }
    return {
        key: GaugeMetricFamily(name, text, labels=labels)
        for key, (name, text, labels) in described.items()
    }


_Families = dict[str, GaugeMetricFamily]
_Labels = tuple[str, ...]


def _outcome(families: _Families, labels: _Labels, entry: Entry, now: float) -> None:
    if entry.wishes is not None:
        families["objective"].add_metric((*labels, Signal.TTFT), entry.wishes.ttft)
        families["objective"].add_metric((*labels, Signal.ITL), entry.wishes.itl)
    families["asked"].add_metric(labels, now - entry.asked_at_seconds)
    answer = entry.current()
    families["answering"].add_metric(labels, float(isinstance(answer, Answer)))
    if isinstance(answer, Answer):
        families["desired"].add_metric(labels, answer.replicas)
        families["age"].add_metric(labels, now - answer.made_at_seconds)


def _plan(families: _Families, labels: _Labels, entry: Entry, watched: Watched) -> None:
    plan = watched.workloads[entry.reference].standing.plan
    if plan is not None:
        families["planned"].add_metric(labels, plan.planned)
        families["reactive"].add_metric(labels, plan.reactive)


def _feed(families: _Families, labels: _Labels, watched: Watched) -> None:
    observation = watched.sight.observation if watched.sight is not None else None
    for signal, reading in observation.readings.items() if observation else ():
        is_in = state_of(reading)
        for state in _STATES:
            families["signal"].add_metric((*labels, signal, state), float(state == is_in))
        if isinstance(reading, Value):
            families["reading"].add_metric((*labels, signal), reading.value)
    for dimension, forecast in watched.track.forecasts.items():
        now = amount(watched.demand, dimension)
        if now is not None:
            families["demand"].add_metric((*labels, dimension), now)
        if forecast.measured:
            _forecast(families, (*labels, dimension), forecast)


def _forecast(families: _Families, labels: _Labels, forecast: DemandForecast) -> None:
    for horizon in forecast.horizons_seconds:
        for level in _LEVELS:
            value = forecast.at(horizon_seconds=horizon, level=level)
            families["forecast"].add_metric((*labels, f"{horizon:g}", f"{level:g}"), value)
    for skill in forecast.skill:
        if skill.day is not None:
            families["skill"].add_metric((*labels, f"{skill.horizon_seconds:g}"), skill.day)
