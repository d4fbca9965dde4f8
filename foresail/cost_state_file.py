"""A cost book in a file, which is replaced whole."""

from pathlib import Path

from fleet.account.cost_book import CostBook
from fleet.account.cost_state import STATE_BYTES_MAX, CostStateError, decoded, encoded
from foresail.whole_file import replace_whole
from scaler.errors import ForesailError


def kept(file: Path, cluster: str) -> CostBook:
    """The book in a file; an empty one where there is no file yet.

    Raises:
        ForesailError: it cannot be read, is no cost book, or one of another cluster.
    """
    try:
        with file.open("rb") as opened:
            book = decoded(opened.read(STATE_BYTES_MAX + 1))
    except FileNotFoundError:
        return CostBook()
    except OSError as error:
        raise ForesailError(f"--state {file}: {error.strerror or error}") from error
    except CostStateError as error:
        raise ForesailError(
            f"--state {file}: no cost of `foresail cost`: {error}; name another file to begin anew"
        ) from error
    hours = book.gpu_hours
    others = {one.cluster for one in (*hours.totals, *hours.hourly)} - {cluster}
    if others:
        raise ForesailError(
            f"--state {file}: it has the cost of {min(others)}, not of {cluster}; name a file each"
        )
    return book


def written(file: Path, book: CostBook) -> None:
    """Write the book in place of the one before.

    Raises:
        ForesailError: it cannot be written.
    """
    try:
        replace_whole(file, encoded(book))
    except OSError as error:
        raise ForesailError(f"--state {file}: {error.strerror or error}") from error
