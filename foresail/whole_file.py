"""Files that are replaced whole."""

import os
from pathlib import Path


def replace_whole(file: Path, content: bytes) -> None:
    """Write a file, so that a crash leaves the old one or the new one.

    Raises:
        OSError: it cannot be written.
    """
    beside = file.with_name(f"{file.name}.tmp")
    with beside.open("wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    beside.replace(file)
