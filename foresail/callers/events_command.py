"""`foresail events`: what to paste into triggers, so that CronJobs' bursts are foreseen."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from foresail.callers.cron_events import CronEvent, CronEvents
from scaler.events import DAY_SECONDS, parse, starts_of_day
from scaler.message_text import printable

_SHOWN: Final = 4
_DAYS: Final = 370
"""In which a schedule of once a year begins."""


def next_starts(event: CronEvent, now_seconds: float) -> list[float]:
    """The moments at which it begins next."""
    (parsed,) = parse(event.text)
    found: list[float] = []
    today = int(now_seconds // DAY_SECONDS)
    for day in range(today, today + _DAYS):
        found += [one for one in starts_of_day(parsed, "UTC", day) if one > now_seconds]
        if len(found) >= _SHOWN:
            break
    return found[:_SHOWN]


def text(found: CronEvents, now_seconds: float) -> str:
    """For people: the line to paste for each model, and what to know of it."""
    lines = []
    for model, of in found.by_model.items():
        lines.append(f"# {model}: in the metadata of its ScaledObject's trigger")
        lines.append(f'events: "{_joined(of)}"')
        for one in of:
            lines.append(f"# {one.cron_job}: next {_moments(one, now_seconds)}")
            lines += [f"# {one.cron_job}: {remark}" for remark in one.remarks]
    if not found.by_model:
        lines.append("# no CronJob here names a model: see the annotation foresail.io/calls-model")
    lines += [f"# left out: {one}" for one in found.left_out]
    # Names come from annotations that tenants write: a line end in one would be a line to paste.
    return "".join(f"{printable(line)}\n" for line in lines)


def payload(found: CronEvents, now_seconds: float) -> dict[str, object]:
    """The same as JSON."""
    return {
        "models": [
            {
                "model": model,
                "events": _joined(of),
                "cron_jobs": [
                    {
                        "cron_job": one.cron_job,
                        "event": one.text,
                        "next": [
                            datetime.fromtimestamp(at, UTC).isoformat()
                            for at in next_starts(one, now_seconds)
                        ],
                        "remarks": list(one.remarks),
                    }
                    for one in of
                ],
            }
            for model, of in found.by_model.items()
        ],
        "left_out": list(found.left_out),
    }


def _joined(of: Sequence[CronEvent]) -> str:
    return "; ".join(dict.fromkeys(one.text for one in of))


def _moments(one: CronEvent, now_seconds: float) -> str:
    (event,) = parse(one.text)
    zone = ZoneInfo(event.timezone or "UTC")
    moments = [datetime.fromtimestamp(at, zone) for at in next_starts(one, now_seconds)]
    return ", ".join(f"{at:%F %H:%M%z}" for at in moments) or "never"
