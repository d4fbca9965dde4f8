"""Rates per second that an export has under names of its own, as traffic to replay."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from foresail.exports.errors import ExportError
from foresail.exports.found import TITLES_SHOWN, FoundSeries
from foresail.exports.moments import MILLISECONDS_FROM
from replay.traces import STEPS_MAX, Lengths, Trace, of_rates

RATES: Final = (
    "requests_per_second",
    "prompt_tokens_per_second",
    "generated_tokens_per_second",
)
AMOUNT_MAX: Final = 1e12


def columns_given(texts: tuple[str, ...]) -> dict[str, str]:
    """Title → rate, of `--column RATE=TITLE`.

    Raises:
        ExportError: it is not of that form.
    """
    found: dict[str, str] = {}
    for text in texts:
        rate, equals, title = text.partition("=")
        if rate not in RATES or not equals or not title:
            raise ExportError(
                f"--column {text!r} is not of the form RATE=TITLE, with a rate of"
                f" {', '.join(RATES)}"
            )
        found[title] = rate
    return found


@dataclass(slots=True, kw_only=True, eq=False)
class _Column:
    title: str
    at_seconds: "array[float]" = field(default_factory=lambda: array("d"))
    values: "array[float]" = field(default_factory=lambda: array("d"))


class Rates:
    """Takes the points of series that are called by a rate, or that `--column` says are one."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._rate_of = {**{rate: rate for rate in RATES}, **columns}
        self._columns: dict[str, _Column] = {}
        self.others: dict[str, None] = {}
        """Titles that say nothing."""

    def __bool__(self) -> bool:
        return bool(self._columns)

    def wants(self, series: FoundSeries) -> bool:
        rate = self._rate(series)
        if rate is None:
            if len(self.others) <= TITLES_SHOWN:
                self.others[series.shown] = None
            return False
        column = self._columns.setdefault(rate, _Column(title=series.shown))
        if column.title != series.shown or column.at_seconds:
            raise ExportError(f"two series are {rate}: {column.title} and {series.shown}")
        return True

    def _rate(self, series: FoundSeries) -> str | None:
        names = (series.title, series.shown, series.name or "")
        found = (self._rate_of.get(name) or self._rate_of.get(name.lower()) for name in names)
        return next((rate for rate in found if rate), None)

    def add(self, series: FoundSeries, at_seconds: float, value: float) -> None:
        if not 0 <= at_seconds < MILLISECONDS_FROM:
            raise ValueError(f"{at_seconds:g} s is no time")
        if not np.isnan(value) and not 0 <= value <= AMOUNT_MAX:
            raise ValueError(f"{value:g} is below 0 or above {AMOUNT_MAX:g}")
        rate = self._rate(series)
        assert rate is not None
        column = self._columns[rate]
        if len(column.values) >= STEPS_MAX:
            raise ValueError(f"more than {STEPS_MAX} rows")
        column.at_seconds.append(at_seconds)
        column.values.append(value)

    def trace(self, path: Path, lengths: Lengths | None) -> Trace:
        """The traffic.

        Raises:
            ForesailError: a rate is missing, or they were not recorded at the same times.
        """
        missing = [rate for rate in RATES if rate not in self._columns]
        if RATES[0] in missing:
            raise ExportError(
                f"{path}: no series is {RATES[0]}, and no replay is possible without requests:"
                f" export the rate of requests too{self._hint()}"
            )
        if missing and lengths is None:
            raise ExportError(
                f"{path}: no series is {' or '.join(missing)}{self._hint()}; or leave tokens out"
                " and say how many a request has on average, such as --prompt-tokens 800"
                " --output-tokens 200"
            )
        if not missing and lengths is not None:
            raise ExportError(
                f"{path} has tokens of its own; leave out --prompt-tokens and --output-tokens"
            )
        read = [self._columns[rate] for rate in (RATES[:1] if missing else RATES)]
        times = np.unique(np.concatenate([np.array(one.at_seconds) for one in read]))
        table = np.full((len(times), len(RATES)), np.nan)
        for place, one in enumerate(read):
            table[np.searchsorted(times, np.array(one.at_seconds)), place] = one.values
        known = np.isfinite(table[:, : len(read)]).all(axis=1)
        if known.sum() < 2:  # noqa: PLR2004 - a step needs two
            raise ExportError(
                f"{path}: {int(known.sum())} times at which {', '.join(one.title for one in read)}"
                " are all known, and at least two are needed: export them with the same start, end"
                " and step"
            )
        table[~known] = np.nan  # of a request without its tokens nothing is known
        first, last = np.flatnonzero(known)[[0, -1]]
        return of_rates(path, times[first : last + 1], table[first : last + 1], lengths)

    def _hint(self) -> str:
        if not self.others:
            return ""
        shown = ", ".join(repr(title) for title in list(self.others)[:TITLES_SHOWN])
        return f"; there are {shown}: say which is which with --column RATE=TITLE"
