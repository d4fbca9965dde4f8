"""The account of a workload as text for people, and what they can do where KEDA gets nothing.

A value that was not measured is `?`, with the reason beside it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from foresail.explain.books import books_text
from foresail.explain.workload import Account
from scaler.decision.answers import RefusalCode
from scaler.durations import format_duration
from scaler.message_text import printable

_LEVELS_SHOWN = (0.5, 0.9, 0.99)
_BAR_WIDTH = 40
_WHOLE_FROM = 100
_UNKNOWN = "?"
_ADVICE: Mapping[str, str] = {
    RefusalCode.INVALID: "correct the trigger's metadata; docs/metadata.md has all keys",
    RefusalCode.MISCONFIGURED: "correct what the source refuses; docs/settings.md has all keys",
}


def text(payload: Mapping[str, Any]) -> str:
    """The account as lines for a terminal or `curl`."""
    lines = [*_kept_text(payload), f"{payload['workload']}: {_outcome_text(payload['outcome'])}"]
    if payload.get("failure"):
        lines.append(f"  source: {payload['failure']}")
    lines += [f"  note: {remark}" for remark in payload.get("remarks", ())]
    plan = payload.get("plan")
    if plan:
        stands = plan["stands"]
        which = "decision" if stands else "the last decision, which stands no longer,"
        lines.append(f"{which} of {plan['at']}, each rule and the replicas after it:")
        lines += [
            f"  {_replicas_after(step):>8}  {step['rule']:<9} {step['text']}"
            for step in plan["steps"]
        ]
        if plan["desired"] is not None:
            lines.append(f"  {plan['desired']:8d}  {'handed' if stands else 'was handed'} to KEDA")
    lead = payload.get("lead_time")
    if lead and lead["fixed"]:
        learned = f"{format_duration(lead['seconds'])}: {lead['evidence']}"
        lines.append(f"lead time fixed by the trigger; its orders show {learned}")
    lines += books_text(payload["books"]) if "books" in payload else []
    if payload.get("objectives"):
        lines.append("objectives, beside what is measured:")
        lines += [
            f"  {name} p95 {_objective_text(one)}" for name, one in payload["objectives"].items()
        ]
    if payload.get("readings"):
        lines += _readings_text(payload["readings"])
    for dimension, forecast in payload.get("forecasts", {}).items():
        lines += ["", *_band(dimension, forecast)]
    # Models, metadata and messages of sources are written by others.
    return "\n".join(map(printable, lines)) + "\n"


def advice(payload: Mapping[str, Any]) -> str | None:
    """The advice where KEDA gets no replicas; None where it gets some."""
    refused = payload["outcome"].get("refused")
    if refused is None:
        return None
    if refused in _ADVICE:
        return _ADVICE[refused]
    if payload.get("failure"):
        return "bring its source back; the next reading makes an answer"
    if not payload.get("readings"):
        return "ask again in a minute: the first reading is under way"
    return "make the trigger's `model`, and its namespace, those of the engine's series"


def kept(payload: Account) -> Account:
    """The account with no more of its forecasts than the text shows, to be kept."""
    if "forecasts" not in payload:
        return payload
    forecasts = {
        dimension: _shown_levels(forecast) for dimension, forecast in payload["forecasts"].items()
    }
    return {**payload, "forecasts": forecasts}


def _shown_levels(forecast: Mapping[str, Any]) -> Account:
    if forecast["quantiles"] is None:
        return dict(forecast)
    levels = forecast["levels"]
    places = sorted({_nearest(levels, level) for level in _LEVELS_SHOWN})
    return {
        **forecast,
        "levels": [levels[place] for place in places],
        "quantiles": [[row[place] for place in places] for row in forecast["quantiles"]],
    }


def _kept_text(payload: Mapping[str, Any]) -> list[str]:
    """One line about a decision that is kept; everything below it is as it was then."""
    found = payload.get("kept")
    if found is None:
        return []
    if not found["in_force"]:
        gap = f"between {found['written_until']} and {found['until'] or 'now'}"
        before = f"the last decision before, of {found['at']}:"
        return [f"at {found['asked_for']}: {_UNKNOWN}, nothing was kept {gap}; {before}"]
    until = f"until {found['until']}" if found["until"] else "and still in force"
    return [f"at {found['asked_for']}: the decision of {found['at']}, {until}; as it was then:"]


def _outcome_text(outcome: Mapping[str, Any]) -> str:
    if "on_watch_list" in outcome:
        return "on the watch list; KEDA does not ask about it"
    if "advised" in outcome:
        return f"mode advise, no replica is changed: {outcome['advised']}"
    if "refused" in outcome:
        return f"no answer ({outcome['refused']}): {outcome['message']}"
    active = "active" if outcome["active"] else "not active"
    return f"{outcome['replicas']} replicas, {active}, read {outcome['age_seconds']:.0f} s ago"


def _replicas_after(step: Mapping[str, Any]) -> str:
    if step.get("figure"):
        return ""
    replicas = step["replicas"]
    return _UNKNOWN if replicas is None else f"{replicas:.2f}"


def _objective_text(objective: Mapping[str, Any]) -> str:
    limit = f"of {objective['limit_seconds']:g} s"
    if objective["seconds"] is None:
        return f"{_UNKNOWN} {limit}"
    return f"{objective['seconds']:.3g} s {limit}, {'within' if objective['met'] else 'above'}"


def _readings_text(readings: Mapping[str, Account]) -> list[str]:
    """A line each; one line where all are missing for one reason."""
    whys = {reading["why"] for reading in readings.values()}
    if len(readings) > 1 and len(whys) == 1 and None not in whys:
        return [f"readings: {_UNKNOWN}, none of {len(readings)} signals: {whys.pop()}"]
    rows = [(name, reading["state"], _reading_text(reading)) for name, reading in readings.items()]
    return ["readings:", *(f"  {name:<18} {state:<6} {text}" for name, state, text in rows)]


def _reading_text(reading: Mapping[str, Any]) -> str:
    value = reading["value"]
    if value is None:
        return f"{_UNKNOWN}, {reading['why']}"
    return f"{value:,.0f}" if abs(value) >= _WHOLE_FROM else f"{value:.3g}"


def _band(dimension: str, forecast: Mapping[str, Any]) -> list[str]:
    """The forecast as a band over the horizons: █ to the median, ▓ to q0.9, ░ to q0.99."""
    if forecast["quantiles"] is None:
        return [f"forecast of {dimension}: {_UNKNOWN}, too few readings yet"]
    levels = forecast["levels"]
    rows = [
        (horizon, [_at_level(levels, row, level) for level in _LEVELS_SHOWN])
        for horizon, row in zip(forecast["horizons_seconds"], forecast["quantiles"], strict=True)
    ]
    skills = {skill["horizon_seconds"]: skill for skill in forecast["skill"]}
    top = max((quantiles[-1] for _, quantiles in rows), default=0.0)
    lines = [f"forecast of {dimension}, now {_now_text(forecast)}:"]
    for horizon, quantiles in rows:
        numbers = "  ".join(
            f"q{level:g} {value:>9,.0f}"
            for level, value in zip(_LEVELS_SHOWN, quantiles, strict=True)
        )
        lines.append(
            f"  in {format_duration(horizon):<6} {_bar(quantiles, top)}  {numbers}  "
            + _earned(skills.get(horizon, {}))
        )
    carried = sorted(forecast["experts"], key=lambda expert: -expert["weight"])[:4]
    if carried:
        named = ", ".join(f"{expert['name']} {expert['weight']:.0%}" for expert in carried)
        lines.append(f"  carried by {named}")
    return lines


def _now_text(forecast: Mapping[str, Any]) -> str:
    if forecast["now"] is not None:
        return f"{forecast['now']:,.0f}"
    return f"{_UNKNOWN}, from data of {format_duration(forecast['data_seconds_ago'])} ago"


def _earned(skill: Mapping[str, float | None]) -> str:
    """The skill over both spans; plans use the better one."""
    known = [
        f"{share:+.0%} this {span}"
        for span in ("day", "week")
        if (share := skill.get(span)) is not None
    ]
    return f"skill {', '.join(known)}" if known else "no evidence yet"


def _at_level(levels: Sequence[float], row: Sequence[float], level: float) -> float:
    """The quantile at the listed level nearest to the one shown."""
    return row[_nearest(levels, level)]


def _nearest(levels: Sequence[float], level: float) -> int:
    return min(range(len(levels)), key=lambda index: abs(levels[index] - level))


def _bar(quantiles: Sequence[float], top: float) -> str:
    ends = [round(_BAR_WIDTH * value / top) if top > 0 else 0 for value in quantiles]
    filled = "".join(
        sign * max(0, end - start)
        for sign, start, end in zip("█▓░", (0, *ends[:-1]), ends, strict=True)
    )
    return f"{filled:<{_BAR_WIDTH}}"
