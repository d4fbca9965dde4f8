"""Prometheus' answers as values to draw."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_LABEL: Final = re.compile(r"\{\{\s*(\w+)\s*}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One series over the steps of the time shown."""

    name: str
    values: tuple[float, ...]
    """NaN = it has no sample there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One series at the end of the time shown."""

    name: str
    labels: Mapping[str, str]
    value: float


def legend_name(legend: str, labels: Mapping[str, str]) -> str:
    """As Grafana fills `{{label}}` in; `__auto` writes all labels."""
    if legend != "__auto":
        return _LABEL.sub(lambda found: labels.get(found[1], ""), legend)
    series = labels.get("__name__", "")
    others = ", ".join(f'{k}="{v}"' for k, v in sorted(labels.items()) if k != "__name__")
    return f"{series}{{{others}}}" if others else series


def lines(answer: Mapping[str, Any], legend: str, steps: Sequence[float]) -> list[Line]:
    """An answer of `query_range`, on all of its steps."""
    found = []
    for one in _result(answer, "matrix"):
        values = {round(at, 3): float(text) for at, text in one["values"]}
        known = tuple(values.get(round(step, 3), math.nan) for step in steps)
        if any(map(math.isfinite, known)):
            found.append(Line(name=legend_name(legend, one["metric"]), values=known))
    return found


def samples(answer: Mapping[str, Any], legend: str) -> list[Sample]:
    """An answer of `query`."""
    return [
        Sample(
            name=legend_name(legend, one["metric"]),
            labels=one["metric"],
            value=float(one["value"][1]),
        )
        for one in _result(answer, "vector")
        if math.isfinite(float(one["value"][1]))
    ]


def data_of(answer: Mapping[str, Any]) -> Any:
    """What was asked for.

    Raises:
        ValueError: Prometheus refused the question.
    """
    if answer["status"] != "success":
        raise ValueError(f"Prometheus refused: {answer.get('error', answer)}")
    return answer["data"]


def _result(answer: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    """The series of an answer.

    Raises:
        ValueError: Prometheus refused the question, or answered another one.
    """
    data = data_of(answer)
    if data["resultType"] != kind:
        raise ValueError(f"Prometheus answered with a {data['resultType']}, and not a {kind}")
    found: list[Mapping[str, Any]] = data["result"]
    return found
