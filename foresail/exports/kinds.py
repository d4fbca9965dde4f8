"""What an export is, by its content and not by its name."""

import re
from codecs import getincrementaldecoder
from enum import StrEnum
from pathlib import Path
from stat import S_ISREG
from typing import Final

from foresail.exports.errors import ExportError
from foresail.exports.matrices import ARROW
from foresail.exports.tsdb import is_tsdb
from replay.traces import is_trace

_HEAD_BYTES: Final = 2**16
_PARQUET: Final = b"PAR1"
_GZIP: Final = b"\x1f\x8b"
_JSON: Final = re.compile(r'\[|\{\s*("[^"]*"\s*:|$)')
_DUMP: Final = re.compile(
    r"(\{.*\}|[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})?) \S+ [0-9.eE+-]+|# (TYPE|HELP|EOF).*"
)


class Kind(StrEnum):
    TRACE = "a trace"
    TABLE = "CSV"
    PARQUET = "Parquet"
    DUMP = "promtool tsdb dump"
    MATRIX = "an answer of Prometheus"
    PROMTOOL = "promtool query range"
    TSDB = "a Prometheus' data"
    FOLDER = "a folder of exports"


def kind_of(path: Path) -> Kind:
    """Raises ExportError: it cannot be read, or is of no such kind."""
    try:
        if path.is_dir():
            return Kind.TSDB if is_tsdb(path) else Kind.FOLDER
        if not S_ISREG(path.stat().st_mode):
            raise ExportError(
                f"{path}: no regular file, and a pipe can be read only once: write what comes out"
                " of it to a file, and name that"
            )
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror}") from error
    if head.startswith(_PARQUET):
        return Kind.PARQUET
    if head.startswith(_GZIP):
        raise ExportError(f"{path}: packed by gzip: unpack it first, with gunzip")
    lines = _lines(path, head)
    if not lines:
        raise ExportError(f"{path}: empty")
    if is_trace(lines[0]):
        return Kind.TRACE
    return _of_text(lines)


def _of_text(lines: list[str]) -> Kind:
    first = lines[0]
    if _JSON.match(first):
        return Kind.MATRIX
    if first.endswith(ARROW):
        return Kind.PROMTOOL
    return Kind.DUMP if _DUMP.fullmatch(first) else Kind.TABLE


def _lines(path: Path, head: bytes) -> list[str]:
    cut = head[: head.rfind(b"\n") + 1] if len(head) == _HEAD_BYTES else head
    try:
        # Of a single long line the last character may be cut in two.
        text = getincrementaldecoder("utf-8-sig")().decode(cut or head, final=bool(cut))
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ExportError(
            f"{path}: neither text nor Parquet; there are CSV, Parquet, answers of a Prometheus as"
            " JSON, promtool's output, and a Prometheus' data folder"
        )
    return [line for one in text.splitlines() if (line := one.strip())]
