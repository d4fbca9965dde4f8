"""Rows of a Parquet file, by duckdb: the extra `exports`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from foresail.exports.errors import ExportError

CELL_BYTES_MAX: Final = 16 * 2**10
_CELLS: Final = 10_000
"""That are objects of Python at once."""
_SETTINGS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": "512MB",
    "threads": "1",
}
"""Nothing is fetched from a network, and a hostile file takes no more memory than this."""

_SMALL: Final = frozenset(
    {
        *("BOOLEAN", "FLOAT", "DOUBLE", "DATE", "TIME", "UUID"),
        *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
        *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
    }
)


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
            file = [[str(path)]]
            head = database.execute("SELECT * FROM read_parquet(?) LIMIT 0", file)
            columns = [(str(name), str(kind)) for name, kind, *_ in head.description or ()]
            yield 1, tuple(name for name, _ in columns)
            cells = ", ".join(_bounded(*column) for column in columns)
            # The names are quoted.
            answer = database.execute(f"SELECT {cells} FROM read_parquet(?)", file)  # noqa: S608
            number = 1
            while rows := answer.fetchmany(max(1, _CELLS // len(columns))):
                for row in rows:
                    number += 1
                    yield number, row
    except duckdb.Error as error:
        message = str(error).splitlines()[0][:200]
        raise ExportError(f"{path}: no Parquet that can be read: {message}") from error


def _bounded(name: str, kind: str) -> str:
    """The column, which fails at a value that is too large.

    A text or a list that repeats takes no room in the file, nor in duckdb: it does as an object.
    """
    quoted = '"' + name.replace('"', '""') + '"'
    if kind in _SMALL or kind.startswith(("DECIMAL", "TIMESTAMP")):
        return quoted
    text = quoted if kind == "VARCHAR" else f"CAST({quoted} AS VARCHAR)"
    fault = f"error('a value of over {CELL_BYTES_MAX} bytes in a row')"
    return f"CASE WHEN strlen({text}) > {CELL_BYTES_MAX} THEN {fault} ELSE {quoted} END"
