"""Reading API objects that anybody may have written.

What is not there, or not as it should be, is nothing; a reader who needs it says so itself.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TypeGuard

from fleet.quantities import quantity

Json = Mapping[str, object]


def is_object(value: object) -> TypeGuard[Json]:
    # Of what JSON and YAML are read into; the general test for mappings is five times slower.
    return isinstance(value, dict)


def part(of: Json, *names: str) -> Json:
    """The object at a path, empty where there is none."""
    for name in names:
        value = of.get(name)
        of = value if is_object(value) else {}
    return of


def listed(of: Json, name: str) -> Iterator[Json]:
    """The objects of a list, none where there is none."""
    value = of.get(name)
    yield from (one for one in value if is_object(one)) if isinstance(value, list) else ()


def text(of: Json, name: str) -> str | None:
    """A text that is not empty."""
    value = of.get(name)
    return value if isinstance(value, str) and value else None


def amount(of: Json, name: str) -> float | None:
    """A quantity, None where there is none that can be read, or one below zero."""
    try:
        found = float(quantity(of.get(name)))
    except (OverflowError, ValueError):
        return None
    return found if found >= 0 else None


def named(document: Json) -> str:
    return text(part(document, "metadata"), "name") or ""


def namespaced(document: Json) -> str:
    return f"{text(part(document, 'metadata'), 'namespace') or 'default'}/{named(document)}"


def seconds(of: Json, name: str) -> float | None:
    """A time stamp, in seconds since 1970."""
    told = text(of, name)
    try:
        return datetime.fromisoformat(told).timestamp() if told else None
    except (OverflowError, ValueError):
        return None
