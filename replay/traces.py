"""Recorded traffic from a file: bins of requests and tokens, whatever the file's shape.

Four shapes are read, told apart by what they begin with:

* bins: `t_s,requests,prompt_tokens,output_tokens`, each row the sums of one step; the step is the
  difference of the first two rows. A step that is missing, or empty, stays a gap.
* one row a request, binned here: the Azure traces of 2023 and 2024
  (`TIMESTAMP,ContextTokens,GeneratedTokens`), BurstGPT (`Timestamp` in seconds, `Request tokens`,
  `Response tokens`) and Mooncake's JSON lines (`timestamp` in milliseconds, `input_length`,
  `output_length`).

Bins may lack the tokens where the means of a request are given beside the file. `of_rates` makes
the same of rates that were read elsewhere.

A row that cannot be used is counted and named with its line, never dropped in silence.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil
from pathlib import Path

import numpy as np
import numpy.typing as npt

from replay.traffic import DAY_SECONDS, Floats
from scaler.errors import ForesailError

REQUEST_STEP_SECONDS = 10.0
"""Bins made of single requests."""
_BINS = ("t_s", "requests", "prompt_tokens", "output_tokens")
_AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_BURST_GPT = ("Timestamp", "Request tokens", "Response tokens")
_MOONCAKE = ("timestamp", "input_length", "output_length")
_LINES_SHOWN = 5
_UNIX_FROM = 1e8
"""Seconds below are counted from the start of a file: as Unix time they were before 1973."""
STEPS_MAX = 2**23
"""Of a trace: two and a half years of single requests, sixteen of minutes."""
STEP_SECONDS_MIN = 1e-3
AMOUNT_MAX = 1e12
"""Of requests or tokens in one row."""
_COUNTED = {1: "number", 3: "three numbers"}

_Request = tuple[float, float, float]
"""Seconds, prompt tokens, output tokens."""


class TraceError(ForesailError):
    """The file holds no traffic that can be replayed; the message names file, line and remedy."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """Traffic in even steps; arrays of one length, NaN where nothing was recorded."""

    name: str
    step_seconds: float
    requests_per_second: Floats
    prompt_tokens: Floats
    """Per request, mean of the step; NaN in a step without requests, or without tokens."""
    output_tokens: Floats
    bad_lines: tuple[tuple[int, str], ...] = ()
    """(line, what is wrong with it) of every row that was left out."""
    begin_seconds: float | None = None
    """Unix time of the first step; None where the file counts from zero."""

    @property
    def seconds(self) -> float:
        return len(self.requests_per_second) * self.step_seconds

    @property
    def gaps(self) -> int:
        """Steps of which nothing is known."""
        return int(np.isnan(self.requests_per_second).sum())

    def unknown(self) -> list[tuple[float, float]]:
        """From and to, in seconds of the trace, of each stretch of which nothing is known."""
        edges = np.diff(np.isnan(self.requests_per_second), prepend=False, append=False)
        at = (np.flatnonzero(edges) * self.step_seconds).tolist()
        return list(zip(at[::2], at[1::2], strict=True))

    def last(self, days: float) -> "Trace":
        """Its last days; where that is more than one, from the nearest whole day of it on.

        An export of N days often has one step more: both its ends are in it.
        """
        steps = len(self.requests_per_second)
        first = max(0, steps - max(2, round(days * DAY_SECONDS / self.step_seconds)))
        a_day = max(1, round(DAY_SECONDS / self.step_seconds))
        if days > 1:
            first = ceil(first / a_day - 0.5) * a_day
        cut = {
            name: getattr(self, name)[first:]
            for name in ("requests_per_second", "prompt_tokens", "output_tokens")
        }
        begin = self.begin_seconds
        return replace(
            self,
            begin_seconds=None if begin is None else begin + first * self.step_seconds,
            **cut,
        )

    def complaint(self) -> str | None:
        """What was left out, for a person; None where all was used."""
        found = [one for one in (self._left_out(), self._without_tokens()) if one]
        return f"{self.name}: {'; '.join(found)}" if found else None

    def _without_tokens(self) -> str | None:
        lengths = self.prompt_tokens + self.output_tokens
        steps = int(((self.requests_per_second > 0) & np.isnan(lengths)).sum())
        if not steps:
            return None
        return (
            f"{steps} steps have requests, and no prompt or no generated tokens: they count as long"
            " as those beside them"
        )

    def _left_out(self) -> str | None:
        if not self.bad_lines:
            return None
        shown = "; ".join(f"line {line}: {why}" for line, why in self.bad_lines[:_LINES_SHOWN])
        more = "" if len(self.bad_lines) <= _LINES_SHOWN else ", ..."
        return f"{len(self.bad_lines)} rows left out ({shown}{more})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Tokens of a request, on average, for a file that counts requests only."""

    prompt_tokens: float
    output_tokens: float


def read(path: Path, lengths: Lengths | None = None) -> Trace:
    """Read a trace.

    Args:
        lengths: for a file that knows no tokens.

    Raises:
        TraceError: unreadable, of another shape, with fewer than two usable rows, or with tokens
            from nowhere or from both the file and `lengths`.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            if path.suffix in {".jsonl", ".json"}:
                _no_lengths(path, lengths)
                return _of_requests(path, _json_lines(file))
            rows = csv.reader(file)
            header = [column.strip() for column in next(rows, [])]
            if set(_BINS[:2]) <= set(header):
                places = _places(path, _BINS, header, lengths)
                return _binned(path, places, rows, lengths=lengths)
            for columns, when in ((_AZURE, _unix), (_BURST_GPT, float)):
                if set(columns) <= set(header):
                    _no_lengths(path, lengths)
                    places = [header.index(name) for name in columns]
                    return _of_requests(path, _csv_requests(rows, places, when))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path}: cannot be read: {error}") from error
    raise TraceError(
        f"{path}: line 1: columns {', '.join(header[:6]) or '(none)'}; expected "
        f"{', '.join(_BINS)}, or one row a request: "
        f"{', '.join(_AZURE)}, or {', '.join(_BURST_GPT)}"
    )


def is_trace(first_line: str) -> bool:
    """Whether a file that begins with this line is of one of the shapes."""
    with suppress(ValueError, RecursionError):
        row = json.loads(first_line)
        return isinstance(row, dict) and set(_MOONCAKE) <= set(row)
    with suppress(csv.Error, StopIteration):
        header = {column.strip() for column in next(csv.reader([first_line]))}
        return any(set(shape) <= header for shape in (_BINS[:2], _AZURE, _BURST_GPT))
    return False


def _places(
    path: Path, names: Sequence[str], header: Sequence[str], lengths: Lengths | None
) -> list[int]:
    """Of time, requests and tokens; of the first two where the tokens are given beside the file."""
    missing = [name for name in names if name not in header]
    if not missing:
        _no_lengths(path, lengths)
    elif lengths is None:
        raise TraceError(
            f"{path}: line 1: no column {' and no '.join(missing)}; say how many tokens a request"
            " has on average, such as --prompt-tokens 800 --output-tokens 200"
        )
    return [header.index(name) for name in (names[:2] if missing else names)]


def _no_lengths(path: Path, lengths: Lengths | None) -> None:
    if lengths is not None:
        raise TraceError(
            f"{path} has tokens of its own; leave out --prompt-tokens and --output-tokens"
        )


def _csv_requests(
    rows: Iterator[list[str]], places: Sequence[int], when: Callable[[str], float]
) -> Iterator[tuple[int, _Request | str]]:
    for line, row in enumerate(rows, start=2):
        try:
            at, prompt, output = (row[place].strip() for place in places)
            yield line, (when(at), float(prompt), float(output))
        except (ValueError, IndexError):
            yield line, f"no time and two numbers in {','.join(row)[:60]!r}"


def _json_lines(lines: Iterable[str]) -> Iterator[tuple[int, _Request | str]]:
    for line, text in enumerate(lines, start=1):
        try:
            row = json.loads(text)
            at, prompt, output = (float(row[name]) for name in _MOONCAKE)
            yield line, (at / 1000, prompt, output)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            yield line, f"no {', '.join(_MOONCAKE)} in {text.strip()[:60]!r}"


def _binned(
    path: Path,
    columns: Sequence[int],
    rows: Iterator[list[str]],
    *,
    lengths: Lengths | None,
) -> Trace:
    good: list[tuple[float, ...]] = []
    bad: list[tuple[int, str]] = []
    blank: list[float] = []
    for line, row in enumerate(rows, start=2):
        if len(row) > max(columns) and not any(row[column].strip() for column in columns[1:]):
            with suppress(ValueError):
                blank.append(float(row[columns[0]]))
            continue  # nothing was recorded then
        try:
            numbers = tuple(float(row[column]) for column in columns)
        except (ValueError, IndexError):
            bad.append(
                (line, f"no time and {_COUNTED[len(columns) - 1]} in {','.join(row)[:60]!r}")
            )
            continue
        why = _fault(numbers)
        if why is not None:
            bad.append((line, why))
        elif good and numbers[0] <= good[-1][0]:
            bad.append((line, f"time {numbers[0]:g} is not after {good[-1][0]:g}"))
        else:
            good.append(numbers)
    if len(good) < 2:  # noqa: PLR2004 - a step needs two
        raise TraceError(f"{path}: {len(good)} usable rows, at least two are needed: {bad[:1]}")
    table = np.array(good)
    step, places = _grid(path, table[:, 0], blank)
    sums = np.full((places[-1] + 1, 3), np.nan)
    sums[places, : table.shape[1] - 1] = table[:, 1:]
    _fill_tokens(sums, lengths)
    return _trace(path, step, sums, bad, float(table[0, 0]))


def of_rates(path: Path, at_seconds: Floats, rates: Floats, lengths: Lengths | None) -> Trace:
    """Traffic from rates of requests, prompt and generated tokens per second.

    Args:
        path: where they are from.
        at_seconds: ascending.
        rates: a row a time; NaN = not known.
        lengths: where only requests are known.

    Raises:
        TraceError: uneven times, or nothing in them.
    """
    step, places = _grid(path, at_seconds, ())
    sums = np.full((places[-1] + 1, 3), np.nan)
    sums[places] = rates * step
    _fill_tokens(sums, lengths)
    return _trace(path, step, sums, (), float(at_seconds[0]))


def tokens_each(tokens: Floats, requests: Floats) -> Floats:
    """Tokens of a request, in each step; NaN where there are no requests or no tokens.

    A gateway counts requests also while the engines behind it are away: no request has no length.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((requests > 0) & (tokens > 0), tokens / requests, np.nan)


def _fill_tokens(sums: Floats, lengths: Lengths | None) -> None:
    if lengths is not None:
        sums[:, 1] = sums[:, 0] * lengths.prompt_tokens
        sums[:, 2] = sums[:, 0] * lengths.output_tokens


def _fault(numbers: Sequence[float]) -> str | None:
    """Why a row's time and amounts cannot be used; None = they can."""
    at, *amounts = numbers
    if not np.isfinite(at):
        return "a time that is no number"
    if not all(0 <= amount <= AMOUNT_MAX for amount in amounts):
        return f"a number below 0 or above {AMOUNT_MAX:g}, or none"
    return None


def _grid(
    path: Path, at_seconds: Floats, blank: Sequence[float]
) -> tuple[float, npt.NDArray[np.intp]]:
    """The usual distance of rows, and each row's place on that grid.

    The usual one, not the first: a row that is left out near the start would double it.

    Args:
        blank: times of rows that say nothing but that there is a step.
    """
    told = np.concatenate((at_seconds, np.array(blank)))
    times = np.unique(told[np.isfinite(told)])
    distances, counts = np.unique(np.diff(times), return_counts=True)
    step = float(distances[counts.argmax()])
    if step < STEP_SECONDS_MIN:
        raise TraceError(f"{path}: rows are {step:g} s apart; the least is {STEP_SECONDS_MIN:g} s")
    _check_span(path, at_seconds, step)
    places = np.round((at_seconds - at_seconds[0]) / step).astype(np.intp)
    if len(np.unique(places)) < len(places):
        raise TraceError(f"{path}: rows lie closer together than the usual step of {step:g} s")
    return step, places


def _check_span(path: Path, at_seconds: Floats, step: float) -> None:
    """Refuse a span that one wrong time makes: a bin is kept for every step of it.

    Raises:
        TraceError: it is too long.
    """
    first, last = float(at_seconds[0]), float(at_seconds[-1])
    if not (last - first) / step < STEPS_MAX:
        raise TraceError(
            f"{path}: from {first:g} s to {last:g} s are more than {STEPS_MAX} steps of {step:g} s:"
            " correct or take out the row whose time is wrong"
        )


def _of_requests(path: Path, requests: Iterable[tuple[int, _Request | str]]) -> Trace:
    good: list[_Request] = []
    bad: list[tuple[int, str]] = []
    for line, request in requests:
        if isinstance(request, str):
            bad.append((line, request))
        else:
            why = _fault(request)
            if why is None:
                good.append(request)
            else:
                bad.append((line, why))
    if len(good) < 2:  # noqa: PLR2004
        raise TraceError(f"{path}: {len(good)} usable rows, at least two are needed: {bad[:1]}")
    table = np.array(sorted(good))
    _check_span(path, table[:, 0], REQUEST_STEP_SECONDS)
    places = ((table[:, 0] - table[0, 0]) // REQUEST_STEP_SECONDS).astype(np.intp)
    # The last bin is cut short by the end of the recording.
    count = max(1, int(places[-1]))
    whole = places < count
    sums = np.stack(
        [
            np.bincount(places[whole], weights=weight, minlength=count).astype(np.float64)
            for weight in (np.ones(int(whole.sum())), table[whole, 1], table[whole, 2])
        ],
        axis=1,
    )
    return _trace(path, REQUEST_STEP_SECONDS, sums, bad, float(table[0, 0]))


def _trace(
    path: Path, step: float, sums: Floats, bad: Sequence[tuple[int, str]], begin: float
) -> Trace:
    for place, what in enumerate(("requests", "prompt tokens", "generated tokens")):
        if not np.nansum(sums[:, place]) > 0:
            raise TraceError(f"{path}: no {what} in the whole file: there is nothing to replay")
    return Trace(
        name=path.stem,
        step_seconds=step,
        requests_per_second=sums[:, 0] / step,
        prompt_tokens=tokens_each(sums[:, 1], sums[:, 0]),
        output_tokens=tokens_each(sums[:, 2], sums[:, 0]),
        bad_lines=tuple(bad),
        begin_seconds=begin if begin >= _UNIX_FROM else None,
    )


def _unix(text: str) -> float:
    """Seconds of an ISO time, in UTC where it names no zone; seven digits of a second are cut."""
    whole, _, fraction = text.partition(".")
    zone = fraction.lstrip("0123456789")
    digits = fraction[: len(fraction) - len(zone)]
    moment = datetime.fromisoformat(f"{whole}{zone}")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp() + float(f"0.{digits or 0}")
