"""`--from FILE_OR_FOLDER`: an export, by whatever it is, as rates or as series of engines."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Final, TextIO

from foresail.exports.dumps import read_dump
from foresail.exports.errors import ExportError
from foresail.exports.found import FoundSeries
from foresail.exports.kinds import Kind, kind_of
from foresail.exports.matrices import read_json, read_promtool
from foresail.exports.minutes import STEP_SECONDS, Minutes, usual_step
from foresail.exports.moments import Moments
from foresail.exports.parquet import parquet_rows
from foresail.exports.rates import Rates
from foresail.exports.recorded import RecordedInExport
from foresail.exports.tables import csv_rows, read_table
from foresail.exports.tsdb import dumped
from replay.traces import Lengths, Trace, read

FILES_MAX: Final = 200
"""Of a folder."""
LINE_MAX: Final = 2**22
"""Characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the options say of an export."""

    model: str | None = None
    zone: tzinfo | None = None
    """Of times that name none."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Title → rate."""
    lengths: Lengths | None = None
    """Of a request, where only requests are counted."""


class _Taken:
    """Series of engines and pods go one way, rates another."""

    def __init__(self, asked: Asked) -> None:
        self.minutes = Minutes(asked.model)
        self.rates = Rates(asked.columns)

    def wants(self, series: FoundSeries) -> bool:
        if series.name in self.minutes.names:
            return self.minutes.wants(series)
        return self.rates.wants(series)

    def add(self, series: FoundSeries, at_seconds: float, value: float) -> None:
        if series.name in self.minutes.names:
            self.minutes.add(series, at_seconds, value)
        else:
            self.rates.add(series, at_seconds, value)


def read_export(path: Path, asked: Asked) -> Trace | RecordedInExport:
    """Traffic where the export has rates or is a trace, else what engines and pods reported.

    Raises:
        ForesailError: it cannot be used.
    """
    kind = kind_of(path)
    if kind is Kind.TRACE:
        return read(path, asked.lengths)
    taken = _Taken(asked)
    for file in _files(path) if kind is Kind.FOLDER else [path]:
        _read_one(file, taken, asked)
    if taken.rates:
        return taken.rates.trace(path, asked.lengths)
    series = taken.minutes.kept()
    models = taken.minutes.models
    if not series or not models or (asked.model is not None and asked.model not in models):
        raise ExportError(_nothing(path, taken, asked))
    step = usual_step(series)
    if step > STEP_SECONDS:
        raise ExportError(
            f"{path}: samples of engines are {step:g} s apart, and their counters are read by the"
            f" minute: export them with a step of {STEP_SECONDS:g} s, or rates under the names"
            " of --column"
        )
    if asked.lengths is not None:
        raise ExportError(
            f"{path} has tokens of its own; leave out --prompt-tokens and --output-tokens"
        )
    return RecordedInExport(series, place=str(path))


def _read_one(path: Path, taken: _Taken, asked: Asked) -> None:
    match kind_of(path):
        case Kind.TABLE:
            with _opened(path) as lines:
                rows = csv_rows(lines, path=path)
                read_table(rows, taken, path=path, moments=Moments(asked.zone))
        case Kind.PARQUET:
            read_table(parquet_rows(path), taken, path=path, moments=Moments(asked.zone))
        case Kind.DUMP:
            with _opened(path) as lines:
                read_dump(lines, taken, place=str(path))
        case Kind.MATRIX:
            read_json(path, taken)
        case Kind.PROMTOOL:
            with _opened(path) as lines:
                read_promtool(lines, taken, path=path)
        case Kind.TSDB:
            with dumped(path, taken.minutes.names) as lines:
                read_dump(lines, taken, place=f"promtool tsdb dump {path}")
        case Kind.TRACE | Kind.FOLDER as kind:
            raise ExportError(f"{path}: {kind} inside a folder of exports: name it by itself")


def _files(folder: Path) -> list[Path]:
    found = sorted(one for one in folder.iterdir() if not one.name.startswith("."))
    if not found:
        raise ExportError(f"{folder}: an empty folder")
    if len(found) > FILES_MAX:
        raise ExportError(f"{folder}: {len(found)} files; at most {FILES_MAX} are read")
    return found


@contextmanager
def _opened(path: Path) -> Iterator[Iterator[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield _lines(file, path)
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"{path}: cannot be read: {error}") from error


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    while line := file.readline(LINE_MAX):
        if len(line) == LINE_MAX:
            raise ExportError(f"{path}: a line of {LINE_MAX} characters or more")
        yield line


def _nothing(path: Path, taken: _Taken, asked: Asked) -> str:
    if asked.model in taken.minutes.models:
        return f"{path}: series of the model {asked.model!r} without one sample in them"
    if taken.minutes.models:
        models = ", ".join(sorted(taken.minutes.models)[:5])
        return f"{path}: no series of the model {asked.model!r}; models seen there: {models}"
    titles = ", ".join(repr(title) for title in taken.rates.others)
    return (
        f"{path}: no series of an engine, and none that is a rate"
        + (f"; there are {titles}: say which is which with" if titles else ": name them with")
        + ' --column requests_per_second="TITLE"'
    )
