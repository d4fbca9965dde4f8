"""The series in an answer of Prometheus to a query of a range."""

from collections.abc import Iterator
from typing import Final, NotRequired

from pydantic import FiniteFloat, TypeAdapter
from typing_extensions import TypedDict

from scaler.limits import Limit, exceeded
from scaler.sources.prometheus_response import SERIES_MAX, NoAnswerError
from scaler.sources.series import SampledSeries


class _Series(TypedDict):
    metric: dict[str, str]
    # A native histogram has `histograms` instead of `values`; no preset reads one.
    values: NotRequired[list[tuple[FiniteFloat, float]]]


_SERIES: Final = TypeAdapter(_Series)


def series_of_answer(result: object) -> Iterator[SampledSeries]:
    """The series of an answer, each checked by itself: a check of all blocks too long."""
    if not isinstance(result, list):
        raise TypeError("no list of series")
    if len(result) > SERIES_MAX:
        exceeded(Limit.ANSWER_SERIES)
        raise NoAnswerError(f"an answer of over {SERIES_MAX} series")
    result.reverse()
    while result:
        # Off the end, so that what was given of a series is gone: both take much memory.
        given = result.pop()
        series = _SERIES.validate_python(given)
        labels = series["metric"]
        name = labels.pop("__name__")
        yield SampledSeries(name=name, labels=labels, points=series.get("values", ()))
