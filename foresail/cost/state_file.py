"""A cost book in a file, which is replaced whole."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fleet.account.cost_book import CostBook
from fleet.account.cost_state import STATE_BYTES_MAX, CostStateError, decoded, encoded
from foresail.whole_file import bytes_of, only_writer, replace_file
from scaler.errors import ForesailError


def kept(file: Path, cluster: str) -> CostBook:
    """The book in a file; an empty one where there is no file yet.

    Raises:
        ForesailError: it cannot be read, is no cost book, or one of another cluster.
    """
    try:
        book = decoded(bytes_of(file, STATE_BYTES_MAX))
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
        replace_file(file, encoded(book))
    except OSError as error:
        raise ForesailError(f"--state {file}: {error.strerror or error}") from error


@contextmanager
def owned(file: Path) -> Iterator[None]:
    """Have the file alone: of two that add up into it, one would lose what it counted.

    Raises:
        ForesailError: another process has it, or nothing can be written beside it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(only_writer(file))
        except BlockingIOError as error:
            raise ForesailError(
                f"--state {file}: another `foresail cost` adds up into it; name a file each"
            ) from error
        except OSError as error:
            raise ForesailError(f"--state {file}: {error.strerror or error}") from error
        yield
