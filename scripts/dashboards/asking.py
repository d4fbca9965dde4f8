"""What Grafana asks Prometheus for a panel: variables, `$__range`, `$__rate_interval`, steps."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)")
_VALUES_OF: Final = re.compile(r"label_values\((.+), (\w+)\)")
_WINDOW: Final = re.compile(r"\[(\d+)([smhd])\]")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_NUMERIC: Final = 3
"""Grafana's order of a variable's values: by number, the smallest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """The time that a dashboard shows, as Unix time, and how often Prometheus scrapes."""

    begin_seconds: float
    end_seconds: float
    scrape_seconds: int
    """As the data source in Grafana says."""

    @property
    def seconds(self) -> float:
        return self.end_seconds - self.begin_seconds

    def step_seconds(self, points: int) -> int:
        """Between the values of a line that is `points` wide; no smaller than a scrape."""
        return max(self.scrape_seconds, ceil(self.seconds / points))

    def steps(self, step_seconds: int) -> list[float]:
        """The times of a range query's values."""
        count = int(self.seconds // step_seconds) + 1
        return [self.begin_seconds + n * step_seconds for n in range(count)]

    def built_in(self, points: int) -> dict[str, str]:
        """Grafana's own variables for a panel that is `points` wide."""
        step = self.step_seconds(points)
        rate = max(step + self.scrape_seconds, 4 * self.scrape_seconds)
        return {
            "__range": f"{round(self.seconds)}s",
            "__interval": f"{step}s",
            "__rate_interval": f"{rate}s",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelValues:
    """The question for a variable's values."""

    selector: str
    label: str


def label_values(query: str, values: Mapping[str, str]) -> LabelValues:
    """A variable's question, the variables before it replaced.

    Raises:
        ValueError: it is no `label_values(selector, label)`.
    """
    found = _VALUES_OF.fullmatch(query)
    if found is None:
        raise ValueError(f"{query!r} is no label_values(selector, label)")
    return LabelValues(selector=replaced(found[1], values), label=found[2])


def first_value(variable: Mapping[str, Any], found: Sequence[str]) -> str:
    """The value that Grafana chooses while nobody has: all, or the first in order.

    Raises:
        ValueError: there is none.
    """
    if variable["includeAll"]:
        return str(variable["allValue"])
    if not found:
        raise ValueError(f"variable ${variable['name']}: Prometheus has no value for it")
    return min(found, key=float) if variable["sort"] == _NUMERIC else min(found)


def variables(dashboard: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Those that are filled from labels, each after those that it needs."""
    return (one for one in dashboard["templating"]["list"] if one["type"] == "query")


def replaced(text: str, values: Mapping[str, str]) -> str:
    """The text with the value of each variable.

    Raises:
        ValueError: it has a variable without a value.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in values:
            raise ValueError(f"variable ${name} has no value: {text!r}")
        return values[name]

    return _VARIABLE.sub(value, text)


def windows_beyond(expr: str, seconds: float) -> tuple[str, ...]:
    """The windows of a query that are longer than the time shown."""
    found = {
        number + unit
        for number, unit in _WINDOW.findall(expr)
        if int(number) * _SECONDS[unit] > seconds
    }
    return tuple(sorted(found))
