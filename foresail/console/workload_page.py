"""A plan and its past as the page of one workload."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from foresail.console.history import History
from foresail.console.records import (
    Ahead,
    AheadPoint,
    Fact,
    Score,
    WorkloadPage,
    WorkloadRow,
)
from foresail.console.workload_row import measured
from foresail.figures import UNKNOWN
from foresail.plans_api.plan import Plan
from scaler.decision.capacity import Origin
from scaler.decision.parameters import PlanParameters
from scaler.decision.series import PLANNED
from scaler.durations import format_duration
from scaler.forecast.record import DemandForecast
from scaler.message_text import printable
from scaler.signals import Signal
from scaler.trigger import Mode

_MEDIAN: Final = 0.5
_ORIGINS: Final = {
    Origin.METADATA: "from the trigger's metadata",
    Origin.PRIOR: "from the engine's preset; nothing was learned yet",
    Origin.LEARNED: "learned from the engine's own metrics",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """What a workload cost since its source began to count; None = not known."""

    gpu_hours: float | None = None
    usd: float | None = None
    usd_per_gpu_hour: float | None = None


def page_of(  # noqa: PLR0913 - the parts of one page
    plan: Plan,
    row: WorkloadRow,
    history: History,
    *,
    source: str,
    paid: Paid,
    scores: tuple[Score, ...] = (),
    scores_meaning: str | None = None,
) -> WorkloadPage:
    """The page of a workload."""
    decided = plan.plan
    return WorkloadPage(
        row=row,
        source=source,
        at_seconds=plan.looked_at_seconds,
        outcome=outcome_of(plan),
        decided_at_seconds=None if decided is None else decided.at_seconds,
        stands=plan.valid_for_seconds is not None,
        steps=() if decided is None else decided.steps,
        past=history.series,
        ahead=ahead_of(plan),
        decisions=history.decisions,
        facts=tuple(facts_of(plan)),
        learned_lead=plan.learned_lead,
        books=plan.books,
        remarks=() if plan.failure is None else (f"source: {printable(plan.failure)}",),
        paid_gpu_hours=paid.gpu_hours,
        paid_usd=paid.usd,
        usd_per_gpu_hour=paid.usd_per_gpu_hour,
        scores=scores,
        scores_meaning=scores_meaning,
    )


def outcome_of(plan: Plan) -> str:
    """What KEDA gets, in the words of `foresail explain`."""
    if plan.on_watch_list:
        return "on the watch list; KEDA does not ask about it"
    if plan.refused is not None:
        return printable(f"no answer ({plan.refused.code}): {plan.refused.message}")
    if plan.mode is Mode.ADVISE:
        return "mode advise, no replica is changed"
    if plan.plan is None or plan.plan.desired is None:
        return UNKNOWN
    active = "active" if plan.plan.active else "not active"
    age = UNKNOWN if plan.age_seconds is None else f"{plan.age_seconds:.0f} s"
    return f"{plan.plan.desired} replicas, {active}, read {age} ago"


def ahead_of(plan: Plan) -> Ahead | None:
    """The forecast of both kinds of token together; None where one of them has none.

    Quantiles of the two are added as if they moved together, as the plan does.
    """
    parameters = plan.parameters
    forecasts = [plan.forecasts.get(series.value) for series in PLANNED]
    known = [one for one in forecasts if one is not None]
    if parameters is None or len(known) < len(forecasts):
        return None
    return Ahead(
        level=parameters.level,
        lead_seconds=parameters.lead_seconds,
        points=tuple(_points(known, parameters.level)),
    )


def _points(forecasts: list[DemandForecast], level: float) -> Iterator[AheadPoint]:
    made_at = max(one.made_at_seconds for one in forecasts)
    now = sum(one.last_value for one in forecasts)
    yield AheadPoint(at_seconds=made_at, median=now, high=now)
    for horizon in forecasts[0].horizons_seconds:
        median, high = (
            sum(one.at(horizon_seconds=horizon, level=each) for one in forecasts)
            for each in (_MEDIAN, level)
        )
        yield AheadPoint(at_seconds=made_at + horizon, median=median, high=high)


def facts_of(plan: Plan) -> Iterator[Fact]:
    """The figures that the plan rests on, each with its basis."""
    if plan.parameters is None:
        yield Fact(name="one replica serves", value=UNKNOWN, basis="no look was made yet")
        return
    yield _capacity(plan, plan.parameters)
    yield _lead(plan, plan.parameters)
    yield _skill(plan, plan.parameters)
    yield from _objectives(plan)


def _said(plan: Plan, rule: str) -> str | None:
    """The text of a rule's step."""
    steps = plan.plan.steps if plan.plan is not None else ()
    return next((step.text for step in steps if step.rule == rule), None)


def _capacity(plan: Plan, parameters: PlanParameters) -> Fact:
    work = parameters.capacity.work
    parts = [
        f"{1 / each:,.0f} {kind}"
        for each, kind in ((work.prompt, "prompt"), (work.generated, "generated"))
        if each
    ]
    basis = _said(plan, "capacity") or _ORIGINS[work.origin]
    value = f"{' or '.join(parts)} tokens/s" if parts else UNKNOWN
    return Fact(name="one replica serves", value=value, basis=printable(basis))


def _lead(plan: Plan, parameters: PlanParameters) -> Fact:
    learned = plan.learned_lead
    if learned is None:
        basis = "from the trigger's metadata; no order was seen to become ready yet"
    elif learned.fixed:
        shown = format_duration(round(learned.seconds))
        basis = f"fixed by the trigger; its orders show {shown}: {learned.evidence}"
    else:
        basis = learned.evidence
    return Fact(
        name="lead time",
        value=format_duration(round(parameters.lead_seconds)),
        basis=printable(basis),
    )


def _skill(plan: Plan, parameters: PlanParameters) -> Fact:
    """Of the planned series with the lowest skill, at the lead time."""
    found: list[tuple[float, int]] = []
    for series in PLANNED:
        forecast = plan.forecasts.get(series.value)
        if forecast is None:
            continue
        skill = forecast.skill_at(horizon_seconds=parameters.lead_seconds)
        if skill is not None and skill.better is not None:
            found.append((skill.better, skill.judged))
    if not found:
        return Fact(name="forecast's skill", value=UNKNOWN, basis="no evidence yet")
    lowest, judged = min(found)
    basis = f"share of the last value's loss that it saved, over {judged:,} judged forecasts"
    return Fact(name="forecast's skill", value=f"{lowest:+.0%}", basis=basis)


def _objectives(plan: Plan) -> Iterator[Fact]:
    if plan.objective is None:
        return
    for signal, limit in (
        (Signal.TTFT, plan.objective.ttft_seconds),
        (Signal.ITL, plan.objective.itl_seconds),
    ):
        value = measured(plan, signal)
        name = f"{signal.value.upper()} p95"
        if value is None:
            basis = f"limit {limit:g} s; not measured now"
            yield Fact(name=name, value=UNKNOWN, basis=basis)
        else:
            met = "met" if value <= limit else "missed"
            yield Fact(name=name, value=f"{value:.3g} s", basis=f"limit {limit:g} s: {met}")
