"""Files in which NCCL's runs tell their bandwidth: of nccl-tests, and of NCCL's inspector.

Jobs write them, so all of it is bounded: files, their size, and their age.
"""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from stat import S_ISREG
from typing import Final

from foresail.clock import wall_clock
from scheduler.agent.nccl import BusBandwidth, best_of

FILES_MAX: Final = 64
"""That are read, the newest."""
ENTRIES_MAX: Final = 4096
"""Of a folder that are looked at."""
BYTES_MAX: Final = 2**20
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
AGE_MAX_SECONDS: Final = 86_400.0
"""After which a run says nothing of the node as it is."""


def best_bandwidth(path: Path) -> BusBandwidth | None:
    """The best of the newest files of a folder, or of one file; None = none tells."""
    return best_of(_texts(path))


def _texts(path: Path) -> Iterator[str]:
    found = []
    try:
        files = _listed(path) if path.is_dir() else [path]
    except OSError:
        return  # not there yet: no run tells
    for file in files:
        try:
            state = file.lstat()
        except OSError:
            continue
        age = wall_clock() - state.st_mtime
        if S_ISREG(state.st_mode) and abs(age) <= AGE_MAX_SECONDS:
            found.append((age, file))
    for _, file in sorted(found)[:FILES_MAX]:
        try:
            with os.fdopen(os.open(file, _FLAGS), "rb") as opened:
                yield opened.read(BYTES_MAX).decode("utf-8", "replace")
        except OSError:
            continue


def _listed(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [Path(one.path) for one in islice(entries, ENTRIES_MAX)]
