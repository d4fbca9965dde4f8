"""The schema's classes as a tree of fields, each with its meaning, for whatever is generated."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from inspect import getmro, getsource
from textwrap import dedent
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from policies.policy.cross_rules import PolicyPart
from policies.policy.values import DURATION_PATTERN
from scaler.durations import format_duration
from scaler.faults import described, groups_in


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedField:
    """One key of a policy."""

    key: str
    meaning: str
    allowed: str
    """Empty where it is a group of keys."""
    default: Any
    """As it is written in a file; None = there is none."""
    schema: Mapping[str, Any]
    """JSON Schema of a value, or of a list of groups without the groups' own keys."""
    required: bool
    group: type[PolicyPart] | None
    """Of the keys inside it; None = it is a value."""
    is_list: bool


def fields_of(model: type[PolicyPart]) -> list[DescribedField]:
    """The keys of a group, in their order."""
    whole = model.model_json_schema(by_alias=True)
    meanings = _meanings(model)
    made = []
    for name, field in model.model_fields.items():
        key = field.alias or name
        schema = _plain(whole["properties"][key], whole.get("$defs", {}))
        group = next((one for one in groups_in(field) if issubclass(one, PolicyPart)), None)
        is_list = schema.get("type") == "array"
        made.append(
            DescribedField(
                key=key,
                meaning=meanings[name],
                allowed="" if group and not is_list else next(described(field), ""),
                default=_default(model, name, group),
                schema=schema,
                required=field.is_required(),
                group=group,
                is_list=is_list,
            )
        )
    return made


def _default(model: type[PolicyPart], name: str, group: type[PolicyPart] | None) -> Any:
    """The default of a value; of a group only what its own keys do not say already."""
    default = model.model_fields[name].get_default(call_default_factory=True)
    if group is not None and isinstance(default, group):
        apart = {
            one.alias or inner: _written(getattr(default, inner))
            for inner, one in group.model_fields.items()
            if getattr(default, inner) != one.get_default(call_default_factory=True)
        }
        return apart or None
    if default is PydanticUndefined or default == ():
        return None
    # Only durations are texts in a file and numbers in a record.
    written = model.model_json_schema()["properties"][model.model_fields[name].alias or name]
    if written.get("pattern") == DURATION_PATTERN:
        return format_duration(default)
    return _written(default)


def _written(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _plain(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> dict[str, Any]:
    """A schema without references, titles, texts and defaults, and without null."""
    made: dict[str, Any] = {}
    for name, value in schema.items():
        match name:
            case "title" | "description" | "default":
                pass
            case "$ref":
                referred = defs[value.rpartition("/")[2]]
                made |= _plain(referred, defs) if "properties" not in referred else {}
            case "anyOf":
                (choice,) = (one for one in value if one.get("type") != "null")
                made |= _plain(choice, defs)
            case "const":
                made["enum"] = [value]
            case "items" | "additionalProperties":
                made[name] = _plain(value, defs) if isinstance(value, Mapping) else value
            case "propertyNames":
                pass  # CRDs know no such thing
            case _:
                made[name] = value
    return made


@lru_cache
def _meanings(model: type[BaseModel]) -> Mapping[str, str]:
    """The text under each field, in one line; a class has those of the classes it is made from."""
    found: dict[str, str] = {}
    for one in reversed(getmro(model)):
        if issubclass(one, BaseModel) and one is not BaseModel:
            body = ast.parse(dedent(getsource(one))).body[0]
            assert isinstance(body, ast.ClassDef)
            found |= _under_names(body)
    return found


def _under_names(body: ast.ClassDef) -> dict[str, str]:
    found = {}
    for statement, below in zip(body.body, body.body[1:], strict=False):
        match statement, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
            case _:
                pass
    return found
