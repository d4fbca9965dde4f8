"""Turns pydantic's errors into lines with the place, the value and the allowed values.

The allowed values are the description of the setting's type, so message and type cannot differ.
Messages quote values, except where a user may have written a secret in place of its file.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final, TypeVar, get_args

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
Model = TypeVar("Model", bound=BaseModel)


def crossed(message: str, *at: str | int) -> PydanticCustomError:
    """Values that exclude each other; `at` leads from their group to the one to change."""
    return PydanticCustomError(_CROSSED, "{message}", {"message": message, "at": at})


def checked(document: Document, model: type[Model]) -> tuple[Model | None, list[tuple[int, str]]]:
    """A document as a model, None where it has faults; and line and text of each, by line."""
    faults, made = document.faults, None
    try:
        made = model.model_validate(document.value)
    except ValidationError as error:
        faults = [*faults, *faults_of(error, model, document)]
    return (None if faults else made), sorted(faults)


def faults_of(
    error: ValidationError, model: type[BaseModel], document: Document
) -> list[tuple[int, str]]:
    """Line and text of every fault; the document reports its own faults itself."""
    return [
        (document.line_of(at), text)
        for at, text, unknown in _faults(error, model)
        if unknown or not document.has_no_value(at)
    ]


def texts_of(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Every fault of a value that has no lines, such as an API object."""
    return [text for _, text in places_of(error, model)]


def places_of(error: ValidationError, model: type[BaseModel]) -> list[tuple[Location, str]]:
    """Place and text of every fault."""
    return [(at, text) for at, text, _ in _faults(error, model)]


def _faults(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[Location, str, bool]]:
    """Place and text of every fault, and whether it is a key that is not known."""
    for fault in _worth_telling(error.errors(include_url=False)):
        at: Location = (*fault["loc"], *fault.get("ctx", {}).get("at", ()))
        # pydantic's word for a fault of a key, where the path already ends with it
        name, text = (
            name_of([part for part in at if part != "[key]"]),
            _text(fault, *_setting_at(model, at)),
        )
        yield at, f"{name}: {text}" if name else text, fault["type"] == "extra_forbidden"


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
        near = nearest(shortened(given), _choices(setting)) if isinstance(given, str) else None
        meant = f"; did you mean {near!r}?" if near else ""
        return f"has the value {quoted(given)}: {takes}{meant}"
    return takes


def _choices(part: Any) -> Iterator[str]:
    """The words that a field's type takes, where it takes only some."""
    if isinstance(part, FieldInfo):
        yield from _choices(part.annotation)
    elif isinstance(part, type) and issubclass(part, StrEnum):
        yield from (choice.value for choice in part)
    elif isinstance(part, str):  # of a Literal; an enum's member is one too
        yield str(part)
    for inner in get_args(part):
        yield from _choices(inner)


def _unknown(key: str, group: type[BaseModel]) -> str:
    keys = _keys(group)
    near = nearest(shortened(key), keys)
    return "unknown key; " + (f"did you mean {near!r}?" if near else f"known: {', '.join(keys)}")


def _takes(group: type[BaseModel], setting: FieldInfo | None) -> str:
    for description in described(setting):
        return description
    return f"a mapping with the keys {', '.join(_keys(group))}"


def described(part: Any) -> Iterator[str]:
    """Descriptions in a field and in the types it is made of: `A`, `A | None`, `tuple[A, ...]`."""
    if isinstance(part, FieldInfo):
        if part.description:
            yield part.description
        yield from described(part.annotation)
    for inner in get_args(part):
        yield from described(inner)


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
