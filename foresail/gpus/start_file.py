"""The file that keeps the starts of clusters from one run to the next."""

from collections.abc import Mapping
from pathlib import Path

from fleet.account.start_bytes import BYTES_MAX, StartsRefusedError, decode_starts, encode_starts
from fleet.account.startups import StartUps
from foresail.whole_file import bytes_of, replace_file
from scaler.errors import ForesailError


def read_starts(file: Path) -> tuple[Mapping[str, StartUps], str | None]:
    """The starts by cluster, and why there are none where the file is not used.

    A file that is not used is set aside, so that the next write does not destroy it: it may be of
    a newer Foresail.

    Raises:
        ForesailError: it is there and cannot be read, or not be set aside.
    """
    try:
        return decode_starts(bytes_of(file, BYTES_MAX)), None
    except FileNotFoundError:
        return {}, None
    except StartsRefusedError as error:
        aside = file.with_name(f"{file.name}.refused")
        why = f"--starts-file {file} is not used, and is now {aside.name}: {error}"
    except OSError as error:
        raise ForesailError(f"--starts-file {file}: {error.strerror or error}") from error
    try:
        file.replace(aside)
    except OSError as error:
        raise ForesailError(f"{why}; it cannot be renamed: {error.strerror or error}") from error
    return {}, why


def write_starts(file: Path, clusters: Mapping[str, StartUps]) -> None:
    """Replace the file as a whole.

    Raises:
        ForesailError: it cannot be written.
    """
    try:
        replace_file(file, encode_starts(clusters))
    except OSError as error:
        raise ForesailError(f"--starts-file {file}: {error.strerror or error}") from error
