"""Why a workload has the replicas it has: one JSON-able account, and its text for people.

The account is copied from what the decision left behind (readings, forecasts, steps). Nothing in it
is computed again, so what is shown is what happened.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from scaler.board import Answer, Posted, Refusal
from scaler.durations import written
from scaler.metadata import TriggerMetadata
from scaler.signals import Absent, Observation, Reading, Signal, Stale, Value, state_of
from scaler.track import amount
from scaler.watched import WorkloadStatus

Account = dict[str, Any]

_SHOWN_LEVELS = (0.5, 0.9, 0.99)
_BAR_WIDTH = 40
_WHOLE_FROM = 100


def account(status: WorkloadStatus, *, now_seconds: float) -> Account:
    """Everything known about one workload.

    Args:
        now_seconds: on the monotonic clock.
    """
    told: Account = {
        "workload": str(status.reference),
        "metadata": dict(status.reference.metadata),
        "asked_seconds_ago": round(now_seconds - status.asked_at_seconds, 1),
        "outcome": _outcome(status.standing.posted, now_seconds),
    }
    last = status.plan
    if last is not None:
        sight, since_look_seconds = last.sight, now_seconds - last.looked_at_seconds
        told["looked_seconds_ago"] = round(since_look_seconds, 1)
        told["readings"] = _readings(sight.observation, sight.at_seconds + since_look_seconds)
        told["objectives"] = _objectives(status.wishes, sight.observation)
        told["remarks"] = list(sight.observation.remarks) if sight.observation else []
        told["failure"] = str(sight.failure) if sight.failure else None
        told["forecasts"] = {
            dimension: {"now": amount(last.demand, dimension), **forecast.to_json()}
            for dimension, forecast in last.forecasts.items()
        }
    plan = status.standing.plan
    if plan is not None:
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
        stands = "refused" not in told["outcome"]
        which = "decision" if stands else "the last decision, which stands no longer,"
        lines.append(f"{which} of {plan['at']}, each rule and the replicas after it:")
        lines += [
            f"  {step['replicas']:8.2f}  {step['rule']:<9} {step['text']}" for step in plan["steps"]
        ]
        lines.append(f"  {plan['desired']:8d}  {'handed' if stands else 'was handed'} to KEDA")
    lines += [
        f"objective: {name} p95 {shown}" for name, shown in told.get("objectives", {}).items()
    ]
    if told.get("readings"):
        lines.append("readings:")
        lines += [f"  {name:<18} {shown}" for name, shown in told["readings"].items()]
    for dimension, forecast in told.get("forecasts", {}).items():
        lines += ["", *_band(dimension, forecast)]
    return "\n".join(lines) + "\n"


def _band(dimension: str, forecast: Mapping[str, Any]) -> list[str]:
    """The forecast as a band over the horizons: █ to the median, ▓ to q0.9, ░ to q0.99."""
    levels = forecast["levels"]
    rows = [
        (horizon, [_at_level(levels, row, level) for level in _SHOWN_LEVELS])
        for horizon, row in zip(forecast["horizons_seconds"], forecast["quantiles"], strict=True)
    ]
    skills = {skill["horizon_seconds"]: skill for skill in forecast["skill"]}
    top = max((quantiles[-1] for _, quantiles in rows), default=0.0)
    now = forecast["now"]
    lines = [f"forecast of {dimension}, now {'not measured' if now is None else f'{now:,.0f}'}:"]
    for horizon, quantiles in rows:
        numbers = "  ".join(
            f"q{level:g} {value:>9,.0f}"
            for level, value in zip(_SHOWN_LEVELS, quantiles, strict=True)
        )
        lines.append(
            f"  in {written(horizon):<6} {_bar(quantiles, top)}  {numbers}  "
            + _earned(skills.get(horizon, {}))
        )
    carried = sorted(forecast["experts"], key=lambda expert: -expert["weight"])[:4]
    if carried:
        named = ", ".join(f"{expert['name']} {expert['weight']:.0%}" for expert in carried)
        lines.append(f"  carried by {named}")
    return lines


def _earned(skill: Mapping[str, float | None]) -> str:
    """Both spans: a plan goes by the better one."""
    known = [
        f"{share:+.0%} this {span}"
        for span in ("day", "week")
        if (share := skill.get(span)) is not None
    ]
    return f"skill {', '.join(known)}" if known else "no evidence yet"


def _at_level(levels: Sequence[float], row: Sequence[float], level: float) -> float:
    """The quantile at the listed level nearest to the one shown."""
    nearest = min(range(len(levels)), key=lambda index: abs(levels[index] - level))
    return row[nearest]


def _bar(quantiles: Sequence[float], top: float) -> str:
    ends = [round(_BAR_WIDTH * value / top) if top > 0 else 0 for value in quantiles]
    filled = "".join(
        sign * max(0, end - start)
        for sign, start, end in zip("█▓░", (0, *ends[:-1]), ends, strict=True)
    )
    return f"{filled:<{_BAR_WIDTH}}"


def _outcome(posted: Posted, now_seconds: float) -> Account:
    match posted.current(now_seconds):
        case Answer(replicas=replicas, active=active):
            return {
                "replicas": replicas,
                "active": active,
                "age_seconds": round(now_seconds - posted.read_at_seconds, 1),
            }
        case Refusal(code=code, message=message):
            return {"refused": code.value, "message": message}


def _outcome_text(outcome: Mapping[str, Any]) -> str:
    if "refused" in outcome:
        return f"no answer ({outcome['refused']}): {outcome['message']}"
    active = "active" if outcome["active"] else "not active"
    return f"{outcome['replicas']} replicas, {active}, read {outcome['age_seconds']:.0f} s ago"


def _objectives(wishes: TriggerMetadata | None, seen: Observation | None) -> dict[str, str]:
    """Each latency objective, and whether the engine's own histogram says it is met."""
    if wishes is None or seen is None:
        return {}
    told = {}
    for signal, limit in ((Signal.TTFT, wishes.ttft), (Signal.ITL, wishes.itl)):
        value = seen.value(signal)
        shown = "not measured" if value is None else f"{value:.3g} s"
        met = "" if value is None else ", met" if value <= limit else ", missed"
        told[signal.value.upper()] = f"{shown} of {limit:g} s{met}"
    return told


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
            return f"{value:,.0f}" if abs(value) >= _WHOLE_FROM else f"{value:.3g}"
        case Stale(at_seconds=at):
            return f"newest sample {written(now_seconds - at)} ago"
        case Absent(why=why):
            return why


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
