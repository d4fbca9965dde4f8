"""Prometheus series about each workload, made when they are scraped."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from scaler.clock import Clock
from scaler.decision.abstention import abstention_of
from scaler.decision.answers import Answer
from scaler.decision.tracker import amount
from scaler.evaluate import WorkloadPlan
from scaler.forecast.record import DemandForecast
from scaler.learning.shadows.account import GIVEN_RULE, account_of
from scaler.learning.shadows.settings import PEOPLES
from scaler.serving.cycle import PlanningCycle
from scaler.serving.feeds import WorkloadStatus
from scaler.signals import Signal, Value, state_of

_WORKLOAD = ("namespace", "scaled_object")
_LEVELS = (0.5, 0.9, 0.99)


class WorkloadCollector(Collector):
    """One set of series for each known workload; none for a forgotten one."""

    def __init__(self, loop: PlanningCycle, *, clock: Clock) -> None:
        """Export the cycle's workloads.

        Args:
            clock: the monotonic one.
        """
        self._loop = loop
        self._clock = clock

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from self.snapshot().collect()

    def snapshot(self) -> "WorkloadSnapshot":
        """The workloads as they are now, to be collected in a thread."""
        return WorkloadSnapshot(self._loop.statuses(), self._clock())


class WorkloadSnapshot(Collector):
    """The series of workloads at one moment."""

    def __init__(self, statuses: Sequence[WorkloadStatus], now_seconds: float) -> None:
        self._statuses = statuses
        self._now_seconds = now_seconds

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        families, statuses, now = _families(), self._statuses, self._now_seconds
        asked_about = sum(not status.on_watch_list for status in statuses)
        families["objects"].add_metric((), asked_about)
        seen = set()
        for status in statuses:
            labels = (status.reference.namespace, status.reference.name)
            if labels in seen:
                continue  # a trigger before its edit, or a second one: the last asked one counts
            seen.add(labels)
            _outcome(families, labels, status, now)
            if status.plan is not None:
                _signals(families, labels, status.plan)
                _demand(families, labels, status.plan)
                _lead(families, labels, status.plan)
                _books(families, labels, status, status.plan)
        yield from families.values()


def _families() -> dict[str, GaugeMetricFamily]:
    described = {
        "objects": ("foresail_objects", "Triggers that KEDA has asked about.", ()),
        "desired": (
            "foresail_desired_replicas",
            "Replicas handed to KEDA; no sample in mode advise.",
            _WORKLOAD,
        ),
        "planned": (
            "foresail_planned_replicas",
            "Replicas that the full plan wants; no sample once the plan is too old.",
            _WORKLOAD,
        ),
        "reactive": (
            "foresail_reactive_replicas",
            "Replicas that the present demand needs, without the forecast.",
            _WORKLOAD,
        ),
        "answering": (
            "foresail_answering",
            "1 while KEDA gets the mode's answer, 0 while it gets an error.",
            _WORKLOAD,
        ),
        "age": (
            "foresail_reading_age_seconds",
            "Age of the reading behind the answer; in mode advise, behind the plan.",
            _WORKLOAD,
        ),
        "asked": (
            "foresail_asked_age_seconds",
            "Time since KEDA last asked; it grows while a ScaledObject is paused.",
            _WORKLOAD,
        ),
        "lead": (
            "foresail_learned_lead_seconds",
            "Lead time learned from the workload's own orders; no sample before the first.",
            _WORKLOAD,
        ),
        "tier": (
            "foresail_start_tier_seconds",
            "Median start-up time of each tier, the fastest first; one where starts differ little.",
            (*_WORKLOAD, "tier"),
        ),
        "stuck": (
            "foresail_stuck_replicas",
            "Replicas that were ordered half an hour ago or more and never became ready.",
            _WORKLOAD,
        ),
        "signal": (
            "foresail_signal_state",
            "1 for the state that a signal is in: value, zero, stale or absent.",
            (*_WORKLOAD, "signal", "state"),
        ),
        "reading": (
            "foresail_reading",
            "The engines' measurement, in the signal's unit; no sample where nothing was measured.",
            (*_WORKLOAD, "signal"),
        ),
        "objective": (
            "foresail_objective_seconds",
            "The latency objective of the trigger.",
            (*_WORKLOAD, "signal"),
        ),
        "demand": (
            "foresail_demand",
            "Demand now, by dimension; no sample while it cannot be read.",
            (*_WORKLOAD, "dimension"),
        ),
        "forecast": (
            "foresail_forecast_demand",
            "Forecast demand by dimension, horizon and quantile; none of what was never measured.",
            (*_WORKLOAD, "dimension", "horizon_seconds", "quantile"),
        ),
        "skill": (
            "foresail_forecast_skill_ratio",
            "Skill of the last day: 1 - loss / loss of 'the same as now'; below 0 it is worse.",
            (*_WORKLOAD, "dimension", "horizon_seconds"),
        ),
    }
    described |= {
        "books_hours": (
            "foresail_books_replica_hours",
            "Replica-hours of the last days by rule: actual is what ran, the others are a model's.",
            (*_WORKLOAD, "rule"),
        ),
        "books_late": (
            "foresail_books_late_ratio",
            "Share of the last days' work that was late, by rule; actual is measured.",
            (*_WORKLOAD, "rule"),
        ),
        "model_holds": (
            "foresail_shadows_model_holds",
            (
                "1 while the model behind the books agrees with the real fleet; 0 while it does "
                "not, and no setting is chosen; no sample while that is not known."
            ),
            _WORKLOAD,
        ),
    }
    return {
        key: GaugeMetricFamily(name, text, labels=labels)
        for key, (name, text, labels) in described.items()
    }


_Families = dict[str, GaugeMetricFamily]
_Labels = tuple[str, ...]


def _outcome(families: _Families, labels: _Labels, status: WorkloadStatus, now: float) -> None:
    if status.trigger_spec is not None:
        families["objective"].add_metric((*labels, Signal.TTFT), status.trigger_spec.ttft)
        families["objective"].add_metric((*labels, Signal.ITL), status.trigger_spec.itl)
    timed, plan = status.cycle_state.timed, status.cycle_state.plan
    answer = timed.current(now)
    if plan is not None and isinstance(answer, Answer):
        families["planned"].add_metric(labels, plan.planned)
        families["reactive"].add_metric(labels, plan.reactive)
    if status.on_watch_list:
        _plan_age(families, labels, status, now)
        return
    families["asked"].add_metric(labels, now - status.asked_at_seconds)
    if status.trigger_spec is not None and abstention_of(status.trigger_spec) is not None:
        families["answering"].add_metric(labels, 1.0)
        _plan_age(families, labels, status, now)
        return
    families["answering"].add_metric(labels, float(isinstance(answer, Answer)))
    if isinstance(answer, Answer):
        families["desired"].add_metric(labels, answer.replicas)
        families["age"].add_metric(labels, now - timed.read_at_seconds)


def _plan_age(families: _Families, labels: _Labels, status: WorkloadStatus, now: float) -> None:
    """The age of the reading behind the plan, where KEDA gets no replicas."""
    if status.cycle_state.read_at_seconds is not None:
        families["age"].add_metric(labels, now - status.cycle_state.read_at_seconds)


def _signals(families: _Families, labels: _Labels, plan: WorkloadPlan) -> None:
    observation = plan.poll.observation
    for signal, reading in observation.readings.items() if observation else ():
        families["signal"].add_metric((*labels, signal, state_of(reading)), 1.0)
        if isinstance(reading, Value):
            families["reading"].add_metric((*labels, signal), reading.value)


def _lead(families: _Families, labels: _Labels, plan: WorkloadPlan) -> None:
    if plan.lead is None:
        return
    families["lead"].add_metric(labels, plan.lead.seconds)
    stuck = plan.lead.stuck
    families["stuck"].add_metric(labels, 0 if stuck is None else stuck.replicas)
    for number, tier in enumerate(plan.lead.tiers, start=1):
        families["tier"].add_metric((*labels, str(number)), tier.median_seconds)


def _demand(families: _Families, labels: _Labels, plan: WorkloadPlan) -> None:
    for dimension, forecast in plan.forecasts.items():
        now = amount(plan.demand, dimension)
        if now is not None:
            families["demand"].add_metric((*labels, dimension), now)
        if forecast.measured:
            _forecast(families, (*labels, dimension), forecast)


def _books(
    families: _Families, labels: _Labels, status: WorkloadStatus, plan: WorkloadPlan
) -> None:
    """The rules that people use, the trigger's own setting, the one in force, and what was real."""
    shadows = status.cycle_state.shadows
    if shadows is None or not shadows.books.days:
        return
    account = account_of(shadows, plan.given)
    rows = [("actual", account.gpu_hours, account.late)]
    rows += [("in-force", one.gpu_hours, one.late) for one in account.rules if one.in_force]
    rows += [
        (one.rule, one.gpu_hours, one.late)
        for one in account.rules
        if one.rule == GIVEN_RULE or one.rule in PEOPLES
    ]
    for rule, hours, late in rows:
        if hours is not None:
            families["books_hours"].add_metric((*labels, rule), hours)
        if late is not None:
            families["books_late"].add_metric((*labels, rule), late)
    holds = shadows.choice.model_holds
    if holds is not None:
        families["model_holds"].add_metric(labels, float(holds))


def _forecast(families: _Families, labels: _Labels, forecast: DemandForecast) -> None:
    for horizon in forecast.horizons_seconds:
        for level in _LEVELS:
            value = forecast.at(horizon_seconds=horizon, level=level)
            families["forecast"].add_metric((*labels, f"{horizon:g}", f"{level:g}"), value)
    for skill in forecast.skill:
        if skill.day is not None:
            families["skill"].add_metric((*labels, f"{skill.horizon_seconds:g}"), skill.day)
