"""A workload's status as a message of the Plans API. Copies what the cycle recorded.

What was not measured is left out: a field without a value is absent, never 0.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final

from scaler.decision.abstention import abstention_of
from scaler.decision.answers import Answer, Reference, Refusal
from scaler.decision.capacity import Origin, Together, Work
from scaler.decision.parameters import PlanParameters
from scaler.decision.plan import ReplicaPlan
from scaler.decision.replica_forecast import replica_forecast
from scaler.decision.running_maximum import running_maximum
from scaler.decision.series import DemandSeries
from scaler.evaluate import WorkloadPlan
from scaler.forecast.record import DemandForecast
from scaler.forecast.running_maximum import MaximumForecast
from scaler.learning.shadows.account import account_of
from scaler.message_text import limited
from scaler.redaction import without_secrets
from scaler.rpc.foresail.v1 import plans_pb2 as pb
from scaler.serving.feeds import WorkloadStatus
from scaler.signals import Absent, Observation, Signal, Stale, Value, state_of
from scaler.trigger import Mode

_MODE: Final = {
    Mode.ADVISE: pb.MODE_ADVISE,
    Mode.REACTIVE: pb.MODE_REACTIVE,
    Mode.ACT: pb.MODE_ACT,
}
_STATE: Final = {
    "value": pb.DATA_STATE_VALUE,
    "zero": pb.DATA_STATE_ZERO,
    "stale": pb.DATA_STATE_STALE,
    "absent": pb.DATA_STATE_ABSENT,
}
_TOGETHER: Final = {Together.SUM: pb.TOGETHER_SUM, Together.LARGER: pb.TOGETHER_LARGER}
_SOURCE: Final = {
    Origin.METADATA: pb.CAPACITY_SOURCE_METADATA,
    Origin.PRIOR: pb.CAPACITY_SOURCE_PRESET,
    Origin.LEARNED: pb.CAPACITY_SOURCE_LEARNED,
}


def workload_message(reference: Reference) -> pb.Workload:
    return pb.Workload(
        namespace=reference.namespace,
        name=reference.name,
        metadata=without_secrets(dict(reference.metadata)),
    )


def plan_message(status: WorkloadStatus, *, now_seconds: float) -> pb.WorkloadPlan:
    """Everything known of one workload.

    Args:
        now_seconds: on the monotonic clock.
    """
    message = pb.WorkloadPlan(
        workload=workload_message(status.reference), on_watch_list=status.on_watch_list
    )
    if status.trigger_spec is not None:
        message.model = status.trigger_spec.model
        message.mode = _MODE[status.trigger_spec.mode]
    if not status.on_watch_list:
        message.asked_seconds_ago = now_seconds - status.asked_at_seconds
    if status.plan is not None:
        _add_cycle(message, status.plan, now_seconds)
    _add_plan(message, status, now_seconds)
    _add_books(message, status)
    return message


def _add_cycle(message: pb.WorkloadPlan, last: WorkloadPlan, now_seconds: float) -> None:
    """The last look, what was measured in it, and what was forecast with it."""
    message.looked_at_seconds = last.poll.at_seconds
    message.looked_seconds_ago = now_seconds - last.looked_at_seconds
    if last.poll.failure is not None:
        message.failure = _text(str(last.poll.failure))
    if last.poll.observation is not None:
        now_unix = last.poll.at_seconds + now_seconds - last.looked_at_seconds
        message.signals.extend(_signals(last.poll.observation, now_unix))
    if last.demand is not None:
        message.demand.CopyFrom(
            pb.DemandRates(
                prompt_tokens=last.demand.prompt_tokens,
                generated_tokens=last.demand.generated_tokens,
                requests=last.demand.requests,
                in_flight=last.demand.in_flight,
            )
        )
    message.forecasts.extend(_forecasts(last.forecasts))
    in_replicas = replica_forecast(last.forecasts, last.parameters.capacity.work)
    if in_replicas is not None:
        message.replica_forecast.CopyFrom(
            pb.ReplicaForecast(
                horizons_seconds=in_replicas.horizons_seconds,
                levels=in_replicas.levels,
                quantiles=_rows(in_replicas.quantiles),
            )
        )
    largest = running_maximum(last.forecasts, last.parameters)
    if largest is not None:
        message.running_maximum.CopyFrom(_running_maximum(largest))
    message.settings.CopyFrom(_settings(last.parameters))
    message.capacity.CopyFrom(_capacity(last.parameters))
    objective = last.parameters.objective
    message.objective.CopyFrom(
        pb.Objective(
            ttft_seconds=objective.ttft_seconds,
            itl_seconds=objective.itl_seconds,
            attainment=objective.attainment,
        )
    )
    if last.lead is not None:
        stuck = last.lead.stuck
        message.learned_lead.CopyFrom(
            pb.LearnedLead(
                seconds=last.lead.seconds,
                evidence=_text(last.lead.evidence),
                fixed=last.parameters.lead_fixed,
                stuck_replicas=0 if stuck is None else stuck.replicas,
            )
        )


def _add_plan(message: pb.WorkloadPlan, status: WorkloadStatus, now_seconds: float) -> None:
    """The last replica plan, its age, and whether it stands."""
    cycle = status.cycle_state
    if cycle.plan is not None:
        message.plan.CopyFrom(_plan(cycle.plan))
        if cycle.read_at_seconds is not None:
            message.age_seconds = now_seconds - cycle.read_at_seconds
    match cycle.timed.current(now_seconds):
        case Answer():
            left = cycle.timed.valid_until_seconds - now_seconds
            if cycle.plan is not None and math.isfinite(left):
                message.valid_for_seconds = left
        case Refusal(code=code, message=why):
            spec = status.trigger_spec
            if spec is None or abstention_of(spec) is None:
                message.refused.CopyFrom(pb.Refused(code=code.value, message=_text(why)))


def _add_books(message: pb.WorkloadPlan, status: WorkloadStatus) -> None:
    shadows, last = status.cycle_state.shadows, status.plan
    if shadows is None or last is None or not shadows.books.days:
        return
    books = account_of(shadows, last.given)
    message.books.CopyFrom(
        pb.Books(
            days=books.days,
            rules=[
                pb.BookedRule(
                    rule=one.rule,
                    text=_text(one.text),
                    in_force=one.in_force,
                    gpu_hours=one.gpu_hours,
                    late=one.late,
                )
                for one in books.rules
            ],
            gpu_hours=books.gpu_hours,
            late=books.late,
            modelled_late=books.modelled_late,
            chooses=books.chooses,
            why=_text(books.why),
        )
    )


def _signals(observation: Observation, now_unix: float) -> Iterable[pb.SignalReading]:
    for signal, reading in observation.readings.items():
        yield pb.SignalReading(
            signal=signal.value,
            state=_STATE[state_of(reading)],
            value=observation.value(signal),
            at_seconds=_sampled_at(reading),
            why=_why_not(observation, signal, now_unix),
        )


def _why_not(observation: Observation, signal: Signal, now_unix: float) -> str | None:
    why = observation.why_not(signal, now_seconds=now_unix)
    return None if why is None else _text(why)


def _sampled_at(reading: Value | Stale | Absent) -> float | None:
    return None if isinstance(reading, Absent) else reading.at_seconds


def _forecasts(
    forecasts: Mapping[DemandSeries, DemandForecast],
) -> Iterable[pb.SeriesForecast]:
    for series, forecast in forecasts.items():
        if not forecast.measured:
            continue
        yield pb.SeriesForecast(
            series=series.value,
            made_at_seconds=forecast.made_at_seconds,
            data_age_seconds=forecast.data_age_seconds,
            last_value=forecast.last_value,
            horizons_seconds=forecast.horizons_seconds,
            levels=forecast.levels,
            quantiles=_rows(forecast.quantiles),
            skill=[
                pb.SeriesSkill(
                    horizon_seconds=skill.horizon_seconds,
                    day=skill.day,
                    week=skill.week,
                    judged=skill.judged,
                )
                for skill in forecast.skill
            ],
        )


def _running_maximum(forecast: MaximumForecast) -> pb.RunningMaximum:
    return pb.RunningMaximum(
        made_at_seconds=forecast.made_at_seconds,
        last_value=forecast.last_value,
        windows_seconds=forecast.windows_seconds,
        levels=forecast.levels,
        quantiles=_rows(forecast.quantiles),
        reach_values=forecast.reach_values,
        reach_probabilities=_rows(forecast.reach_probabilities),
    )


def _settings(parameters: PlanParameters) -> pb.PlanSettings:
    return pb.PlanSettings(
        lead_seconds=parameters.lead_seconds,
        hold_seconds=parameters.hold_seconds,
        level=parameters.level,
        utilization=parameters.utilization,
        replicas_min=parameters.replicas_min,
        replicas_max=parameters.replicas_max,
    )


def _capacity(parameters: PlanParameters) -> pb.ReplicaCapacity:
    work: Work = parameters.capacity.work
    return pb.ReplicaCapacity(
        seconds_per_prompt_token=work.prompt or None,
        seconds_per_generated_token=work.generated or None,
        together=_TOGETHER[work.together],
        source=_SOURCE[work.origin],
        requests=parameters.capacity.requests,
    )


def _plan(plan: ReplicaPlan) -> pb.ReplicaPlan:
    return pb.ReplicaPlan(
        at_seconds=plan.at_seconds,
        desired=plan.desired,
        planned=plan.planned,
        reactive=plan.reactive,
        active=plan.active,
        partly_measured=plan.partly_measured,
        steps=[
            pb.PlanStep(
                rule=step.rule,
                text=_text(step.text),
                replicas=step.asked,
                figure=step.figure,
            )
            for step in plan.steps
        ],
    )


def _rows(rows: Iterable[tuple[float, ...]]) -> list[pb.Row]:
    return [pb.Row(values=row) for row in rows]


def _text(text: str) -> str:
    """Text that a message can hold, of at most 1 KiB.

    A source's error may have half a surrogate pair, which JSON can write and UTF-8 cannot; one such
    text, or a message above the 4 MiB that gRPC's clients take, would end the lists and watches of
    all readers.
    """
    return limited(text)
