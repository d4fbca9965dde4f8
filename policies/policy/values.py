"""The types of a policy's values: money, shares, durations, names, times of day.

The description of each type says which values are allowed; error messages and the reference show
it. What a schema can say, it says, so that the API server refuses what a file would be refused for.
"""

from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from fleet.catalogue import shipped
from scaler.durations import parse_duration
from scaler.faults import crossed
from scaler.spelling import nearest

NODES_MAX: Final = 10_000
GPUS_MAX: Final = 100_000
USD_MAX: Final = 1e9
DAY_SECONDS: Final = 86_400.0
DURATION_PATTERN: Final = r"^([0-9]+([.][0-9]+)?(ms|s|m|h|d))+$"
_SOME_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
_NAME: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
_NAME_OR_GLOB: Final = r"^[a-z0-9*]([-a-z0-9.*]*[a-z0-9*])?$"


def _text_of_duration(value: object) -> object:
    """The seconds of a duration, which is a text with its unit."""
    seconds = parse_duration(value)
    if not isinstance(value, str) or not isinstance(seconds, float):
        raise ValueError("no duration")  # noqa: TRY004 - pydantic reports only this one
    return seconds


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = nearest(name, available_timezones())
        meant = f"; did you mean {near!r}?" if near else ""
        message = f"has the value {name!r}: it takes an IANA time zone such as Europe/Berlin{meant}"
        raise crossed(message) from error
    return name


def _known_generation(name: str) -> str:
    """A generation in the catalogue's own spelling, or a glob that matches some."""
    names = [one.name for one in shipped().generations]
    found = shipped().find(name)
    if found is not None:
        return found.name
    if not any(fnmatchcase(one, name) for one in names):
        near = nearest(name, names)
        meant = f"; did you mean {near!r}?" if near else ""
        raise crossed(
            f"has the value {name!r}: it takes a GPU that `foresail gpus` lists, or h100-*{meant}"
        )
    return name


def _known_cron(text: str) -> str:
    try:
        CronSim(text, _SOME_DAY)
    except CronSimError as error:
        raise crossed(f"has the value {text!r}: it takes five cron fields; {error}") from error
    return text


Duration = Annotated[
    float,
    BeforeValidator(_text_of_duration),
    Field(ge=60, le=7 * DAY_SECONDS, description="a duration from 1m to 7d, such as 15m"),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "maxLength": 32}),
]
Usd = Annotated[
    float,
    Field(ge=0, le=USD_MAX, allow_inf_nan=False, strict=True, description="dollars, from 0"),
]
UsdPerMinute = Annotated[
    float,
    Field(
        ge=0.0001, le=USD_MAX, allow_inf_nan=False, strict=True, description="dollars, from 0.0001"
    ),
]
GpuMinutes = Annotated[
    float,
    Field(
        ge=0.01, le=100_000, allow_inf_nan=False, strict=True, description="a number from 0.01 on"
    ),
]
Share = Annotated[
    float,
    Field(ge=0, le=1, allow_inf_nan=False, strict=True, description="a number from 0 to 1"),
]
Nodes = Annotated[
    int, Field(ge=0, le=NODES_MAX, strict=True, description="a whole number from 0 on")
]
Gpus = Annotated[int, Field(ge=0, le=GPUS_MAX, strict=True, description="a whole number from 0 on")]
Switch = Annotated[bool, Field(strict=True, description="true or false")]
Name = Annotated[
    str,
    Field(max_length=63, pattern=_NAME, description="lower-case letters, digits, dashes and dots"),
]
ObjectName = Annotated[
    str,
    Field(max_length=253, pattern=_NAME, description="lower-case letters, digits, dashes and dots"),
]
NameOrGlob = Annotated[
    str,
    Field(max_length=253, pattern=_NAME_OR_GLOB, description="a name, or a glob such as gpu-*"),
]
GenerationOrGlob = Annotated[
    str,
    Field(max_length=63, description="a GPU that `foresail gpus` lists, or a glob such as h100-*"),
    AfterValidator(_known_generation),
]
LabelText = Annotated[str, Field(max_length=317)]
Labels = Annotated[
    dict[LabelText, LabelText],
    Field(min_length=1, max_length=16, description="labels, each with a text"),
]
TimeZone = Annotated[
    str,
    Field(max_length=64, description="an IANA time zone such as Europe/Berlin"),
    AfterValidator(_known_zone),
]
Cron = Annotated[
    str,
    Field(
        max_length=128,
        pattern=r"^\S+( +\S+){4}$",  # CronSim takes a sixth field, for seconds
        description="five cron fields such as 0 8 * * mon-fri",
    ),
    AfterValidator(_known_cron),
]
TimeOfDay = Annotated[
    str,
    Field(
        max_length=5,
        pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$",
        description="a time of day from 00:00 to 24:00, such as 08:00",
    ),
]
