"""Why a workload has the replicas it has: one JSON-able account, and its text for people.

The account is copied from what the decision left behind (readings, forecasts, steps). Nothing in it
is computed again, so what is shown is what happened.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from scaler.board import Answer, Entry, Outcome, Refusal
from scaler.durations import written
from scaler.loop import Watched
from scaler.signals import Absent, Observation, Reading, Stale, Value, state_of
from scaler.track import amount

Account = dict[str, Any]


def account(entry: Entry, watched: Watched | None, *, now_seconds: float) -> Account:
    """Everything known about one entry of the board."""
    told: Account = {
        "workload": str(entry.reference),
        "metadata": dict(entry.reference.metadata),
        "asked_seconds_ago": round(now_seconds - entry.asked_at_seconds, 1),
        "outcome": _outcome(entry.outcome, now_seconds),
    }
    if watched is None:
        return told
    sight, track = watched.sight, watched.track
    standing = watched.workloads[entry.reference].standing
    if sight is not None:
        told["looked_seconds_ago"] = round(now_seconds - sight.at_seconds, 1)
        told["readings"] = _readings(sight.observation, now_seconds)
        told["remarks"] = list(sight.observation.remarks) if sight.observation else []
        told["failure"] = str(sight.failure) if sight.failure else None
    told["forecasts"] = {
        dimension: {"now": amount(track.demand, dimension), **forecast.to_json()}
        for dimension, forecast in track.forecasts.items()
    }
    if standing.plan is not None:
        plan = standing.plan
        told["plan"] = {
            "at": _time(plan.at_seconds),
            "desired": plan.desired,
            "planned": plan.planned,
            "reactive": plan.reactive,
            "active": plan.active,
            "steps": [asdict(step) for step in plan.steps],
        }
    return told


def text(told: Mapping[str, Any]) -> str:
    """The account as lines for a terminal or `curl`."""
    lines = [f"{told['workload']}: {_outcome_text(told['outcome'])}"]
    if told.get("failure"):
        lines.append(f"  source: {told['failure']}")
    lines += [f"  note: {remark}" for remark in told.get("remarks", ())]
    plan = told.get("plan")
    if plan:
        lines.append(f"decision of {plan['at']}, each rule and the replicas after it:")
        lines += [
            f"  {step['replicas']:8.2f}  {step['rule']:<9} {step['text']}" for step in plan["steps"]
        ]
        lines.append(f"  {plan['desired']:8d}  handed to KEDA")
    if told.get("readings"):
        lines.append("readings:")
        lines += [f"  {name:<18} {shown}" for name, shown in told["readings"].items()]
    for dimension, forecast in told.get("forecasts", {}).items():
        lines += ["", *_band(dimension, forecast)]
    return "\n".join(lines) + "\n"


def _outcome(outcome: Outcome, now_seconds: float) -> Account:
    match outcome:
        case Answer():
            return {
                "replicas": outcome.replicas,
                "active": outcome.active,
                "age_seconds": round(now_seconds - outcome.made_at_seconds, 1),
            }
        case Refusal():
            return {"refused": outcome.code.value, "message": outcome.message}


def _outcome_text(outcome: Mapping[str, Any]) -> str:
    if "refused" in outcome:
        return f"no answer ({outcome['refused']}): {outcome['message']}"
    active = "active" if outcome["active"] else "not active"
    return f"{outcome['replicas']} replicas, {active}, read {outcome['age_seconds']:.0f} s ago"


def _readings(observation: Observation | None, now_seconds: float) -> dict[str, str]:
    if observation is None:
        return {}
    return {
        signal.value: f"{state_of(reading):<6} {_shown(reading, now_seconds)}"
        for signal, reading in observation.readings.items()
    }


def _shown(reading: Reading, now_seconds: float) -> str:
    match reading:
        case Value(value=value):
            return f"{value:,.4g}"
        case Stale(at_seconds=at):
            return f"newest sample {written(now_seconds - at)} ago"
        case Absent(why=why):
            return why


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
