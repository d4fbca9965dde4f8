"""Prometheus series about each workload, made when they are scraped."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from foresail.serve.gauges import Group, Sample, families_of, text_of
from foresail.serve.workload_gauges import (
    AGE,
    ANSWERING,
    ASKED,
    BOOKS_HOURS,
    BOOKS_LATE,
    DEMAND,
    DESIRED,
    FORECAST,
    GAUGES,
    LEAD,
    MODEL_HOLDS,
    OBJECTIVE,
    OBJECTS,
    PLANNED,
    REACTIVE,
    READING,
    SIGNAL,
    SKILL,
    STUCK,
    TIER,
)
from scaler.clock import Clock
from scaler.decision.abstention import abstention_of
from scaler.decision.answers import Answer
from scaler.decision.series import amount
from scaler.evaluate import WorkloadPlan
from scaler.forecast.record import DemandForecast
from scaler.learning.shadows.account import GIVEN_RULE, RULES, figures_of
from scaler.learning.shadows.settings import PEOPLES
from scaler.serving.cycle import PlanningCycle
from scaler.serving.feeds import WorkloadStatus
from scaler.signals import Signal, Value, state_of

_LEVELS = {"0.5": 0.5, "0.9": 0.9, "0.99": 0.99}
_SHOWN = [(rule, RULES.index(rule)) for rule in (GIVEN_RULE, *PEOPLES)]
"""Rules of the books that are exported, with their places in them."""


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
        """The workloads as they are now, to be exported in a thread."""
        return WorkloadSnapshot(self._loop.statuses(), self._clock())


class WorkloadSnapshot(Collector):
    """The series of workloads at one moment."""

    def __init__(self, statuses: Sequence[WorkloadStatus], now_seconds: float) -> None:
        self._statuses = statuses
        self._now_seconds = now_seconds

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        return families_of(GAUGES, self._groups())

    def text(self) -> Iterator[bytes]:
        """The same as parts of the text that Prometheus scrapes."""
        return text_of(GAUGES, self._groups())

    def _groups(self) -> Iterator[Group]:
        asked_about = sum(not status.on_watch_list for status in self._statuses)
        yield None, [(OBJECTS, (), asked_about)]
        seen = set()
        for status in self._statuses:
            workload = (status.reference.namespace, status.reference.name)
            if workload in seen:
                continue  # a trigger before its edit, or a second one: the last asked one counts
            seen.add(workload)
            yield workload, _samples(status, self._now_seconds)


def _samples(status: WorkloadStatus, now: float) -> Iterator[Sample]:
    yield from _outcome(status, now)
    if status.plan is not None:
        yield from _signals(status.plan)
        yield from _demand(status.plan)
        yield from _lead(status.plan)
        yield from _books(status, status.plan)


def _outcome(status: WorkloadStatus, now: float) -> Iterator[Sample]:
    if status.trigger_spec is not None:
        yield OBJECTIVE, (Signal.TTFT,), status.trigger_spec.ttft
        yield OBJECTIVE, (Signal.ITL,), status.trigger_spec.itl
    timed, plan = status.cycle_state.timed, status.cycle_state.plan
    answer = timed.current(now)
    if plan is not None and isinstance(answer, Answer):
        yield PLANNED, (), plan.planned
        yield REACTIVE, (), plan.reactive
    if status.on_watch_list:
        yield from _plan_age(status, now)
        return
    yield ASKED, (), now - status.asked_at_seconds
    if status.trigger_spec is not None and abstention_of(status.trigger_spec) is not None:
        yield ANSWERING, (), 1.0
        yield from _plan_age(status, now)
        return
    yield ANSWERING, (), float(isinstance(answer, Answer))
    if isinstance(answer, Answer):
        yield DESIRED, (), answer.replicas
        yield AGE, (), now - timed.read_at_seconds


def _plan_age(status: WorkloadStatus, now: float) -> Iterator[Sample]:
    """The age of the reading behind the plan, where KEDA gets no replicas."""
    if status.cycle_state.read_at_seconds is not None:
        yield AGE, (), now - status.cycle_state.read_at_seconds


def _signals(plan: WorkloadPlan) -> Iterator[Sample]:
    observation = plan.poll.observation
    for signal, reading in observation.readings.items() if observation else ():
        yield SIGNAL, (signal, state_of(reading)), 1.0
        if isinstance(reading, Value):
            yield READING, (signal,), reading.value


def _lead(plan: WorkloadPlan) -> Iterator[Sample]:
    if plan.lead is None:
        return
    yield LEAD, (), plan.lead.seconds
    stuck = plan.lead.stuck
    yield STUCK, (), 0 if stuck is None else stuck.replicas
    for number, tier in enumerate(plan.lead.tiers, start=1):
        yield TIER, (str(number),), tier.median_seconds


def _demand(plan: WorkloadPlan) -> Iterator[Sample]:
    for dimension, forecast in plan.forecasts.items():
        now = amount(plan.demand, dimension)
        if now is not None:
            yield DEMAND, (dimension,), now
        if forecast.measured:
            yield from _forecast(dimension, forecast)


def _books(status: WorkloadStatus, plan: WorkloadPlan) -> Iterator[Sample]:
    """The rules that people use, the trigger's own setting, the one in force, and what was real."""
    shadows = status.cycle_state.shadows
    if shadows is None or not shadows.books.days:
        return
    books = figures_of(shadows, plan.given)
    rows = [("actual", books.real_gpu_hours, books.measured_late)]
    rows += [
        (rule, books.gpu_hours[place], books.late[place])
        for rule, place in (("in-force", books.in_force), *_SHOWN)
    ]
    for rule, hours, late in rows:
        if hours is not None:
            yield BOOKS_HOURS, (rule,), hours
        if late is not None:
            yield BOOKS_LATE, (rule,), late
    holds = shadows.choice.model_holds
    if holds is not None:
        yield MODEL_HOLDS, (), float(holds)


def _forecast(dimension: str, forecast: DemandForecast) -> Iterator[Sample]:
    ahead = [f"{horizon:g}" for horizon in forecast.horizons_seconds]
    for name, level in _LEVELS.items():
        for horizon, value in zip(ahead, forecast.by_horizon(level), strict=True):
            yield FORECAST, (dimension, horizon, name), value
    for skill in forecast.skill:
        if skill.day is not None:
            yield SKILL, (dimension, f"{skill.horizon_seconds:g}"), skill.day
