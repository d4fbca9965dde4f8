"""Rules about fields that do not go together, once for pydantic and once for the API server.

A rule is written as CEL, which the CustomResourceDefinition carries, and as a function of the same
fields, which finds the place to change. A test holds that both refuse the same objects.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic_core import PydanticCustomError
from typing_extensions import override

from fleet.located import Path
from scaler.faults import crossed
from scaler.parts import Faulty, Part


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossRule:
    """One rule about the fields of one group."""

    cel: str
    """What must hold, of `self`."""
    message: str
    fields: tuple[str, ...]
    """That the rule is about; where one is faulty by itself, the rule waits."""
    broken_at: Callable[[Mapping[str, Any]], Path | None]
    """The place to change, from the group on; None = the rule holds."""


class PolicyPart(Part):
    """A group of a policy's fields."""

    cross_rules: ClassVar[tuple[CrossRule, ...]] = ()

    @classmethod
    @override
    def crossings(cls, values: Mapping[str, Any]) -> Iterator[PydanticCustomError]:
        for rule in cls.cross_rules:
            if any(isinstance(values[name], Faulty) for name in rule.fields):
                continue
            place = rule.broken_at(values)
            if place is not None:
                yield crossed(rule.message, *place)


def given(values: Mapping[str, Any], *names: str) -> list[str]:
    """The fields among these that have a value."""
    return [name for name in names if values[name] is not None]
