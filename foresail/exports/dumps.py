"""The text of `promtool tsdb dump` and `dump-openmetrics`, line by line.

{__name__="up", job="node"} 1 1700000000123
up{job="node"} 1 1700000000.123
"""

from collections.abc import Iterable
from typing import Final

from foresail.exports.errors import ExportError
from foresail.exports.found import FoundSeries, Points
from foresail.exports.labels import labels_of
from foresail.exports.minutes import SERIES_MAX
from foresail.exports.moments import seconds_of

_HISTOGRAM: Final = "} {count:"


def read_dump(lines: Iterable[str], points: Points, *, place: str) -> int:
    """Hand on the samples; returns the number of lines with a sample.

    Args:
        place: the file, for messages.

    Raises:
        ExportError: a line that is no sample.
    """
    known: dict[str, FoundSeries | None] = {}
    count = 0
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        # A native histogram has its counts in braces; no preset reads one.
        if not text or text.startswith("#") or _HISTOGRAM in text:
            continue
        try:
            named, value, at = text.rsplit(" ", 2)
            if named not in known:
                if len(known) >= SERIES_MAX:
                    known.clear()
                known[named] = _wanted(named, points)
            series = known[named]
            if series is not None:
                points.add(series, seconds_of(float(at)), float(value))
        except ValueError:
            raise ExportError(
                f"{place}: line {number}: {text[:80]!r} is no sample: expected a series, a value"
                " and a time, as `promtool tsdb dump` writes them"
            ) from None
        count += 1
    return count


def _wanted(named: str, points: Points) -> FoundSeries | None:
    """The series; None = its points are of no use."""
    labels = labels_of(named)
    if labels is None:
        raise ValueError(named)
    series = FoundSeries(labels=labels)
    return series if points.wants(series) else None
