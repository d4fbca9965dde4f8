"""A group of settings that reports all its faults at once.

Pydantic looks at how values go together only where each is in order by itself, so that a second
fault would wait until the first is mended. Here both are found in one reading.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

Made = TypeVar("Made", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Faulty:
    """A value with faults of its own."""

    given: object
    """As it stands in the file; None where it is missing."""


class Part(BaseModel):
    """A group of settings: frozen, camel case, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

    @classmethod
    def crossings(cls, values: Mapping[str, Any]) -> Iterator[PydanticCustomError]:
        """Faults of values that do not go together, made by `faults.crossed`.

        Args:
            values: of all fields by name, with their defaults; some may be `Faulty`.
        """
        del values
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            made = handler(given)
        except ValidationError as error:
            found = error.errors(include_url=False)
            if not isinstance(given, dict) or not all(one["loc"] for one in found):
                raise
            faults = [*map(_again, found), *cls._crossed(given, cls._values(given, found))]
            raise ValidationError.from_exception_data(cls.__name__, faults) from error
        values = {name: getattr(made, name) for name in cls.model_fields}
        if faults := cls._crossed(given, values):
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return made

    @classmethod
    def _crossed(cls, given: object, values: Mapping[str, Any]) -> list[InitErrorDetails]:
        return [InitErrorDetails(type=one, input=given) for one in cls.crossings(values)]

    @classmethod
    def _values(cls, given: Mapping[str, Any], found: list[ErrorDetails]) -> dict[str, Any]:
        faulty = {fault["loc"][0] for fault in found}
        values = {}
        for name, field in cls.model_fields.items():
            key = field.alias or name
            if key in faulty:
                values[name] = Faulty(given.get(key))
            elif key in given:
                values[name] = TypeAdapter(field.rebuild_annotation()).validate_python(given[key])
            else:
                values[name] = field.get_default(call_default_factory=True)
        return values


def sound_items(values: object, model: type[Made]) -> Iterator[tuple[int, Made]]:
    """Index and value of the items of a list that are in order by themselves."""
    given = values.given if isinstance(values, Faulty) else values
    for index, one in enumerate(given if isinstance(given, list | tuple) else ()):
        try:
            yield index, model.model_validate(one)
        except ValidationError:
            continue


def key_of(group: object, name: str) -> object:
    """A field of a group of settings, as it is given where the group is faulty."""
    if not isinstance(group, Faulty):
        return getattr(group, name)
    return group.given.get(to_camel(name)) if isinstance(group.given, dict) else None


def _again(fault: ErrorDetails) -> InitErrorDetails:
    """A fault that was found, to be raised with others."""
    context = {**fault.get("ctx", {}), "message": fault["msg"]}
    kind = PydanticCustomError(fault["type"], "{message}", context)
    return InitErrorDetails(type=kind, loc=fault["loc"], input=fault["input"])
