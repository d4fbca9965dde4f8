"""Why a workload has the replicas it has: one JSON-able account.

It copies the readings, forecasts and steps that the decision recorded, and computes nothing again.
A value that was not measured is null with the reason beside it.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from foresail.explain.decision_log import Kept
from scaler.decision.abstention import abstention_of
from scaler.decision.answers import Answer, Refusal, TimedOutcome
from scaler.decision.need import Step
from scaler.decision.series import DemandSeries, amount
from scaler.decision.tracker import PollResult
from scaler.evaluate import WorkloadPlan
from scaler.forecast.record import DemandForecast
from scaler.learning.shadows.account import account_of
from scaler.redaction import without_secrets
from scaler.serving.feeds import WorkloadStatus
from scaler.signals import Observation, Signal, state_of
from scaler.trigger import TriggerSpec

Account = dict[str, Any]

_BEHIND = {
    DemandSeries.PROMPT_TOKENS: (Signal.PROMPT_TOKENS,),
    DemandSeries.GENERATED_TOKENS: (Signal.GENERATED_TOKENS,),
    DemandSeries.REQUESTS: (Signal.REQUESTS,),
    DemandSeries.IN_FLIGHT: (Signal.RUNNING, Signal.WAITING),
}
"""The signals without which a series is not measured."""


def account(status: WorkloadStatus, *, now_seconds: float) -> Account:
    """Everything known about one workload.

    Args:
        now_seconds: on the monotonic clock.
    """
    payload: Account = {
        "workload": str(status.reference),
        "metadata": without_secrets(dict(status.reference.metadata)),
    }
    if status.on_watch_list:
        payload["outcome"] = {"on_watch_list": True}
    else:
        payload["asked_seconds_ago"] = round(now_seconds - status.asked_at_seconds, 1)
        payload["outcome"] = _outcome(status, now_seconds)
    last = status.plan
    if last is not None:
        observation = last.poll.observation
        since_look_seconds = now_seconds - last.looked_at_seconds
        unix_seconds = last.poll.at_seconds + since_look_seconds
        payload["looked_seconds_ago"] = round(since_look_seconds, 1)
        payload["readings"] = _readings(observation, unix_seconds)
        payload["objectives"] = _objectives(status.trigger_spec, observation, unix_seconds)
        payload["remarks"] = list(observation.remarks) if observation else []
        payload["failure"] = str(last.poll.failure) if last.poll.failure else None
        payload["forecasts"] = {
            dimension: _forecast(dimension, forecast, last, unix_seconds)
            for dimension, forecast in last.forecasts.items()
        }
        payload["lead_time"] = _lead(last)
    plan = status.cycle_state.plan
    if plan is not None:
        payload["plan"] = {
            "at": format_time(plan.at_seconds),
            "desired": plan.desired,
            "planned": plan.planned,
            "reactive": plan.reactive,
            "active": plan.active,
            "stands": isinstance(status.cycle_state.timed.current(now_seconds), Answer),
            "steps": [_step(step) for step in plan.steps],
        }
    books = _books(status)
    if books is not None:
        payload["books"] = books
    return payload


def in_force_at(payload: Account, moment_seconds: float, found: Kept) -> Account:
    """A kept account, and how it relates to a moment."""
    until = found.until_seconds
    return {
        "kept": {
            "asked_for": format_time(moment_seconds),
            "at": format_time(found.at_seconds),
            "until": None if until is None else format_time(until),
            "in_force": found.in_force,
            "written_until": format_time(found.written_until_seconds),
        },
        **payload,
    }


def _outcome(status: WorkloadStatus, now_seconds: float) -> Account:
    abstention = abstention_of(status.trigger_spec) if status.trigger_spec is not None else None
    if abstention is not None:
        return {"advised": abstention.text}
    timed: TimedOutcome = status.cycle_state.timed
    match timed.current(now_seconds):
        case Answer(replicas=replicas, active=active):
            return {
                "replicas": replicas,
                "active": active,
                "age_seconds": round(now_seconds - timed.read_at_seconds, 1),
            }
        case Refusal(code=code, message=message):
            return {"refused": code.value, "message": message}


def _step(step: Step) -> Account:
    told: Account = {"rule": step.rule, "text": step.text, "replicas": step.asked}
    return {**told, "figure": True} if step.figure else told


def _lead(last: WorkloadPlan) -> Account | None:
    """What the workload's orders show of its lead time; None while they show nothing."""
    if last.lead is None:
        return None
    return {
        "seconds": last.lead.seconds,
        "fixed": last.parameters.lead_fixed,
        "evidence": last.lead.evidence,
        "tiers": [
            {"median_seconds": tier.median_seconds, "starts": tier.starts}
            for tier in last.lead.tiers
        ],
        "stuck_replicas": last.lead.stuck.replicas if last.lead.stuck is not None else 0,
    }


def _books(status: WorkloadStatus) -> Account | None:
    """What the last days would have cost under each rule; None before a minute is booked."""
    shadows, last = status.cycle_state.shadows, status.plan
    if shadows is None or last is None or not shadows.books.days:
        return None
    return asdict(account_of(shadows, last.given))


def _forecast(
    dimension: DemandSeries, forecast: DemandForecast, last: WorkloadPlan, unix_seconds: float
) -> Account:
    """A forecast and the demand now; a series that was never measured has no quantiles."""
    now = amount(last.demand, dimension)
    why = _why_not(dimension, last.poll, unix_seconds) if now is None else None
    payload: Account = {"now": now, "why": why, **forecast.to_json()}
    if not forecast.measured:
        return {**payload, "quantiles": None, "last_value": None}
    data_at = forecast.made_at_seconds - forecast.data_age_seconds
    return {**payload, "data_seconds_ago": round(unix_seconds - data_at, 1)}


def _why_not(dimension: DemandSeries, poll: PollResult, unix_seconds: float) -> str:
    """Why a series is not measured now."""
    seen = poll.observation
    if seen is None:
        return poll.complaint()
    reasons = [seen.why_not(signal, now_seconds=unix_seconds) for signal in _BEHIND[dimension]]
    return next((why for why in reasons if why is not None), "no forecast step is complete yet")


def _objectives(
    trigger_spec: TriggerSpec | None, seen: Observation | None, unix_seconds: float
) -> dict[str, Account]:
    """Each latency objective, and whether its p95 is within it.

    No verdict on the attainment: the share of late requests is in the books.
    """
    if trigger_spec is None or seen is None:
        return {}
    payload = {}
    for signal, limit in ((Signal.TTFT, trigger_spec.ttft), (Signal.ITL, trigger_spec.itl)):
        value = seen.value(signal)
        payload[signal.value.upper()] = {
            "seconds": value,
            "limit_seconds": limit,
            "met": None if value is None else value <= limit,
            "why": seen.why_not(signal, now_seconds=unix_seconds),
        }
    return payload


def _readings(observation: Observation | None, unix_seconds: float) -> dict[str, Account]:
    if observation is None:
        return {}
    return {
        signal.value: {
            "state": state_of(reading),
            "value": observation.value(signal),
            "why": observation.why_not(signal, now_seconds=unix_seconds),
        }
        for signal, reading in observation.readings.items()
    }


def format_time(seconds: float) -> str:
    """Unix time as explanations show it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
