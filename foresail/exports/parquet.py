"""Rows of a Parquet file, by duckdb: the extra `exports`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from foresail.exports.errors import ExportError

_ROWS: Final = 10_000
_SETTINGS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": "512MB",
    "threads": "1",
}
"""Nothing is fetched from a network, and a hostile file takes no more memory than this."""


def parquet_rows(path: Path) -> Iterator[tuple[int, tuple[object, ...]]]:
    """Rows with their numbers, the names of the columns first.

    Raises:
        ExportError: duckdb is not installed, or the file is no Parquet.
    """
    try:
        import duckdb  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise ExportError(
            f"{path}: Parquet is read by duckdb, which is not installed: pip install"
            " 'foresail[exports]'"
        ) from error
    try:
        with duckdb.connect(config=_SETTINGS) as database:
            answer = database.execute("SELECT * FROM read_parquet(?)", [[str(path)]])
            yield 1, tuple(column[0] for column in answer.description or ())
            number = 1
            while rows := answer.fetchmany(_ROWS):
                for row in rows:
                    number += 1
                    yield number, row
    except duckdb.Error as error:
        message = str(error).splitlines()[0][:200]
        raise ExportError(f"{path}: no Parquet that can be read: {message}") from error
