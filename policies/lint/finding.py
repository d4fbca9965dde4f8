"""A finding: one rule's objection to one field of one object."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fleet.located import shortened

DOCS: Final = "docs/lint.md"


class Severity(StrEnum):
    """How sure it is that somebody has to act, the gravest first."""

    ERROR = "error"
    """It does not work, or does what nobody wants."""
    WARNING = "warning"
    """It works until the case that the rule names."""
    INFO = "info"
    """To know, or a habit that costs."""


Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a rule objects to in an object."""

    at: Path
    """Of the field in the object; it need not be there."""
    why: str
    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A fault with its rule, its object and its place."""

    rule: str
    severity: Severity
    subject: str
    """Kind, namespace and name of the object."""
    field: str
    value: str
    """As the field has it; `not set` where it is not there."""
    why: str
    do: str
    file: str
    line: int | None
    """None = not of a text."""

    @property
    def message(self) -> str:
        state = self.value if self.value == NOT_SET else f"is {self.value}"
        return f"{self.subject}: {self.field} {state}: {self.why}; {self.do}"


NOT_SET: Final = "is not set"


def field_name(path: Sequence[str | int]) -> str:
    """`spec.triggers[0].metadata.leadTime`; what a terminal would obey is escaped."""
    made = ""
    for part in path:
        if isinstance(part, int):
            made += f"[{part}]"
        else:
            plain = part.replace("-", "").replace("_", "").isalnum()
            name = part if plain else repr(shortened(part))
            made += f"['{part}']" if not plain and part.isprintable() else f".{name}"
    return made.removeprefix(".")


def shown(value: object) -> str:
    """A value for a message: cut where it is long."""
    match value:
        case bool():
            return str(value).lower()
        case None:
            return "null"
        case str() | int() | float():
            return shortened(repr(value) if isinstance(value, str) else str(value))
        case dict():
            return "an object" if value else "{}"
        case list():
            return f"a list of {len(value)}"
        case _:
            return type(value).__name__
