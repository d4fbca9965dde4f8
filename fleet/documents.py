"""Fields of JSON and YAML from elsewhere: what is missing or of another type is left out."""

from collections.abc import Iterator, Mapping
from typing import TypeGuard

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


def number_of(series: Json) -> float | None:
    """The value of one series in Prometheus's answer; None = it has none, or one below 0."""
    pair = series.get("value")
    try:
        value = float(pair[1]) if isinstance(pair, list) else float("nan")
    except (IndexError, TypeError, ValueError):
        return None
    return value if 0 <= value < float("inf") else None
