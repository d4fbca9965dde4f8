"""The types of settings' values: durations, addresses, files, counts.

The description of each type says which values are allowed; error messages show it.
"""

import re
from pathlib import Path
from typing import Annotated, Final, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, AnyHttpUrl, BeforeValidator, Field

from scaler.durations import parse_duration
from scaler.faults import crossed

COUNT_MAX: Final = 1_000_000
_ADDRESS: Final = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):(\d{1,5})")
_PORT_MAX: Final = 65_535

Address = TypeVar("Address", str, AnyHttpUrl)


def _listen(text: str) -> str:
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[1]) > _PORT_MAX:
        message = "not host:port"
        raise ValueError(message)
    return text


def _dial(text: str) -> str:
    if int(_listen(text).rpartition(":")[2]) == 0:
        message = "no server listens on port 0"
        raise ValueError(message)
    return text


def _without_credentials(address: Address) -> Address:
    """Refuse credentials in an address, because messages, logs and labels show it."""
    parts = urlsplit(str(address))
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        message = "not an address without credentials"
        raise ValueError(message)
    return address


def _metadata_text(value: object) -> object:
    """The value of a trigger's key: a ScaledObject needs quotes around numbers, settings do not."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise crossed("it takes a text or a number")
    return str(value)


Seconds = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(gt=0, allow_inf_nan=False, description="a duration above 0, such as 15s or 5m"),
]
SecondsFromZero = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(ge=0, allow_inf_nan=False, description="a duration from 0, such as 0s or 7d"),
]
Listen = Annotated[
    str, AfterValidator(_listen), Field(description="host:port, such as 0.0.0.0:6500")
]
Dial = Annotated[
    str,
    AfterValidator(_dial),
    Field(description="host:port, such as foresail.foresail.svc.cluster.local:6500"),
]
Url = Annotated[
    AnyHttpUrl,
    AfterValidator(_without_credentials),
    Field(description="an http or https address without credentials, such as http://server:9090"),
]
AddressPrefix = Annotated[str, AfterValidator(_without_credentials)]
File = Annotated[Path, Field(description="the path of a file")]
Folder = Annotated[Path, Field(description="the path of a folder")]
Port = Annotated[int, Field(ge=1, le=_PORT_MAX, strict=True, description="a port from 1 to 65535")]
Count = Annotated[
    int,
    Field(ge=1, le=COUNT_MAX, strict=True, description=f"a whole number from 1 to {COUNT_MAX}"),
]
Text = Annotated[str, Field(description="a text")]
MetadataText = Annotated[str, BeforeValidator(_metadata_text)]
Labels = Annotated[dict[str, str], Field(description="names, each with a text")]
SeriesLabels = Annotated[
    dict[Annotated[str, Field(pattern=r"^[a-zA-Z][a-zA-Z0-9_]*$")], str],
    Field(description="label names of letters, digits and underscores, each with a text"),
]
