"""CronJobs that call a model, as events for the trigger of that model.

A CronJob names the models by the annotation `foresail.io/calls-model: NAMESPACE/NAME`, several
separated by commas; the name is that of the model's ScaledObject. Its runs are as long as
`foresail.io/call-length` says, else as its last one was, and multiply the model's demand by
`foresail.io/call-factor`. Both are where the forecast starts: how far an event is believed
follows from what came of it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fleet.cluster.fields import seconds
from fleet.documents import Json, part, text
from policies.lint.objects import Object
from scaler import events
from scaler.durations import format_duration, parse_duration
from scaler.events import DAY_SECONDS

CALLS: Final = "foresail.io/calls-model"
LENGTH: Final = "foresail.io/call-length"
FACTOR: Final = "foresail.io/call-factor"
_LENGTH_DEFAULT: Final = 1800.0
_FACTOR_DEFAULT: Final = "2"
_WRITTEN: Final[Mapping[str, str]] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CronEvent:
    """What one CronJob announces to one model."""

    cron_job: str
    model: str
    """Namespace and name of its ScaledObject."""
    text: str
    """As `events` of a trigger has it."""
    remarks: tuple[str, ...]
    """Values that nothing states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CronEvents:
    """What all CronJobs announce."""

    by_model: Mapping[str, tuple[CronEvent, ...]]
    left_out: tuple[str, ...]
    """CronJobs that announce nothing, with the reason."""


def cron_events(objects: Iterable[Object]) -> CronEvents:
    """The events of CronJobs that name a model; other objects are passed over."""
    found: dict[str, list[CronEvent]] = defaultdict(list)
    left_out = []
    for one in objects:
        if one.kind != "CronJob" or CALLS not in one.annotations:
            continue
        try:
            for event in _events_of(one):
                found[event.model].append(event)
        except ValueError as error:
            left_out.append(f"{one.title}: {error}")
    return CronEvents(
        by_model={model: tuple(each) for model, each in sorted(found.items())},
        left_out=tuple(left_out),
    )


def _events_of(one: Object) -> list[CronEvent]:
    """Its events, one a model.

    Raises:
        ValueError: it runs at no times that an event can state.
    """
    if one.spec.get("suspend") is True:
        raise ValueError("suspended: it announces nothing until it is resumed")
    schedule = text(one.spec, "schedule") or ""
    when = _WRITTEN.get(schedule.lower(), schedule)
    if when.startswith("@"):
        raise ValueError(f"schedule {schedule!r} has no time of day: write it in five fields")
    length, remarks = _length(one)
    zone = text(one.spec, "timeZone")
    if zone is None:
        remarks = [*remarks, "no timeZone: UTC, as kube-controller-manager has it by default"]
    factor = text(one.annotations, FACTOR)
    if factor is None:
        remarks = [*remarks, f"no {FACTOR}: twice the usual demand"]
    written = (
        f"{when} in {zone or 'UTC'} for {format_duration(length)} x{factor or _FACTOR_DEFAULT}"
    )
    events.parse(written)
    return [
        CronEvent(cron_job=one.title, model=model, text=written, remarks=tuple(remarks))
        for model in _models(one)
    ]


def _models(one: Object) -> list[str]:
    names = [name.strip() for name in (text(one.annotations, CALLS) or "").split(",")]
    if not all(names) or any(name.count("/") > 1 for name in names):
        raise ValueError(f"{CALLS} is not of the form NAMESPACE/NAME, with commas between several")
    return [name if "/" in name else f"{one.namespace or 'default'}/{name}" for name in names]


def _length(one: Object) -> tuple[float, list[str]]:
    """How long its runs take, and a remark where that is a guess."""
    stated = text(one.annotations, LENGTH)
    if stated is not None:
        found = parse_duration(stated)
        if not isinstance(found, float):
            raise ValueError(f"{LENGTH} {stated[:64]!r} is no length such as 30m")
        return found, []
    took = _last_run_seconds(part(one.value, "status"))
    if took is not None:
        return took, [f"no {LENGTH}: {format_duration(took)}, as its last run took"]
    limit = part(one.spec, "jobTemplate", "spec").get("activeDeadlineSeconds")
    if isinstance(limit, int) and 0 < limit <= DAY_SECONDS:
        return float(limit), [f"no {LENGTH}: activeDeadlineSeconds"]
    return _LENGTH_DEFAULT, [f"no {LENGTH}, and no run that has ended: 30m"]


def _last_run_seconds(status: Json) -> float | None:
    """To the minute, at least one."""
    begun, ended = seconds(status, "lastScheduleTime"), seconds(status, "lastSuccessfulTime")
    if begun is None or ended is None or not 0 < ended - begun <= DAY_SECONDS:
        return None
    return max(60.0, 60.0 * round((ended - begun) / 60))
