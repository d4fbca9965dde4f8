"""Turns pydantic's errors into lines with the place, the value and the allowed values.

The allowed values are the description of the setting's type, so message and type cannot differ.
Messages quote values, except where a user may have written a secret in place of its file.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from fleet.located import Document, name_of, shortened
from scaler.spelling import nearest

_CROSSED: Final = "crossed"
_MAYBE_SECRET: Final = frozenset({"headers", "basic", "bearerTokenFile", "passwordFile"})
_USER_INFO: Final = re.compile(r"//[^/]*@")
_SHOWN_BITS_MAX: Final = 256
"""Python refuses to write numbers of more than 4,300 digits in full."""

Location = tuple[str | int, ...]


def crossed(message: str, *at: str | int) -> PydanticCustomError:
    """Values that exclude each other; `at` leads from their group to the one to change."""
    return PydanticCustomError(_CROSSED, "{message}", {"message": message, "at": at})


def faults_of(
    error: ValidationError, model: type[BaseModel], document: Document
) -> list[tuple[int, str]]:
    """Line and text of every fault; the document reports its own faults itself."""
    found = []
    for fault in _worth_telling(error.errors(include_url=False)):
        at: Location = (*fault["loc"], *fault.get("ctx", {}).get("at", ()))
        if document.has_no_value(at) and fault["type"] != "extra_forbidden":
            continue
        # pydantic's word for a fault of a key, where the path already ends with it
        name, text = (
            name_of([part for part in at if part != "[key]"]),
            _text(fault, *_setting_at(model, at)),
        )
        found.append((document.line_of(at), f"{name}: {text}" if name else text))
    return found


def quoted(given: object) -> str:
    """A value for a message: without user info, and cut."""
    if isinstance(given, int) and given.bit_length() > _SHOWN_BITS_MAX:
        return shortened(hex(given))
    text = _USER_INFO.sub("//…@", str(given))
    return repr(given if text == str(given) == shortened(text) else shortened(text))


def _worth_telling(found: list[ErrorDetails]) -> Iterator[ErrorDetails]:
    """All but those that only say that faulty items made their list too short."""
    for fault in found:
        at = fault["loc"]
        short = fault["type"] == "too_short"
        if not short or sum(one["loc"][: len(at)] == at for one in found) == 1:
            yield fault


def _text(fault: ErrorDetails, group: type[BaseModel], setting: FieldInfo | None) -> str:
    if fault["type"] == "extra_forbidden":
        return _unknown(str(fault["loc"][-1]), group)
    takes = f"it takes {_takes(group, setting)}"
    if fault["type"] == "missing":
        return f"is missing: {takes}"
    if fault["type"] == _CROSSED:
        return fault["msg"]
    given = fault["input"]
    if isinstance(given, str | int | float) and not _MAYBE_SECRET & set(fault["loc"]):
        return f"has the value {quoted(given)}: {takes}"
    return takes


def _unknown(key: str, group: type[BaseModel]) -> str:
    keys = _keys(group)
    near = nearest(shortened(key), keys)
    return "unknown key; " + (f"did you mean {near!r}?" if near else f"known: {', '.join(keys)}")


def _takes(group: type[BaseModel], setting: FieldInfo | None) -> str:
    for described in _described(setting):
        return described
    return f"a mapping with the keys {', '.join(_keys(group))}"


def _described(part: Any) -> Iterator[str]:
    """Descriptions in a field and in the types it is made of: `A`, `A | None`, `tuple[A, ...]`."""
    if isinstance(part, FieldInfo):
        if part.description:
            yield part.description
        yield from _described(part.annotation)
    for inner in get_args(part):
        yield from _described(inner)


def _setting_at(
    model: type[BaseModel], location: Location
) -> tuple[type[BaseModel], FieldInfo | None]:
    """The group of settings at this place, and the setting it is the value of."""
    group, setting = model, None
    for part in location:
        if isinstance(part, int):
            setting = setting if group is BaseModel else None
        elif part in _keys(group):
            setting = _keys(group)[part]
            group = next(groups_in(setting), BaseModel)
    return group, setting


def _keys(group: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in group.model_fields.items()}


def groups_in(part: Any) -> Iterator[type[BaseModel]]:
    """The groups of settings that a field's type mentions."""
    if isinstance(part, FieldInfo):
        yield from groups_in(part.annotation)
    elif isinstance(part, type) and issubclass(part, BaseModel):
        yield part
    for inner in get_args(part):
        yield from groups_in(inner)
