"""Faults that pydantic found, as places and texts for people, the same for every record."""

from collections.abc import Iterator

from pydantic import ValidationError

from fleet.located import Document

_PREFIX = "Value error, "
"""Before the words of a validator of ours."""


def invalid(error: ValidationError) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Place and text of each fault; no value, for one may be a secret."""
    for fault in error.errors(include_url=False, include_input=False):
        yield fault["loc"], fault["msg"].removeprefix(_PREFIX)


def shown(at: tuple[str | int, ...], *, whole: str) -> str:
    """A place as `pods.0.cpu`; `whole` is what the record itself is called."""
    return ".".join(map(str, at)) or whole


def first_fault(error: ValidationError) -> str:
    """The first fault, with its place where it has one."""
    at, why = next(invalid(error))
    return f"{shown(at, whole='')}: {why}" if at else why


def invalid_lines(error: ValidationError, document: Document) -> list[str]:
    """One line a fault, in the order of the file, each with its line number."""
    found = sorted(
        (document.line_of(at), shown(at, whole="top"), why) for at, why in invalid(error)
    )
    return [f"line {line}: {at}: {why}" for line, at, why in found]
