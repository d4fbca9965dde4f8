"""A Prometheus' data folder or snapshot, read by the user's own promtool.

promtool may write while it reads a write-ahead log, and wants one even where a snapshot has none.
So it gets a copy: hard links to blocks, which nobody changes, and copies of the rest.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from threading import Timer
from typing import Final

from foresail.exports.errors import ExportError
from scaler.message_text import limited

SECONDS_MAX: Final = 1800.0
_LOG: Final = ("wal", "chunks_head")
_COPIED_BYTES_MAX: Final = 8 * 2**30


def is_tsdb(folder: Path) -> bool:
    """Whether it has blocks or a log of a Prometheus."""
    return (folder / "wal").is_dir() or any(_blocks(folder))


def _blocks(folder: Path) -> Iterator[Path]:
    return (one.parent for one in folder.glob("*/meta.json") if (one.parent / "index").is_file())


@contextmanager
def dumped(folder: Path, names: Iterable[str]) -> Iterator[Iterator[str]]:
    """Lines of `promtool tsdb dump` for series of these names.

    Raises:
        ExportError: there is no promtool, it fails, or it takes too long.
    """
    promtool = shutil.which("promtool")
    if promtool is None:
        raise ExportError(
            f"{folder}: the data of a Prometheus are read by promtool, and there is none on the"
            " PATH: install Prometheus' tools, or run `promtool tsdb dump FOLDER > dump.txt` where"
            " there are some and name dump.txt"
        )
    match = "|".join(map(re.escape, sorted(names)))
    # In a string of PromQL a backslash is two.
    selector = '{__name__=~"' + match.replace("\\", r"\\") + '"}'
    with tempfile.TemporaryDirectory(prefix="foresail-tsdb-") as temporary:
        readable = _readable(folder, Path(temporary))
        command = [promtool, "tsdb", "dump", f"--match={selector}", str(readable)]
        with (
            Path(temporary, "stderr").open("w+", encoding="utf-8") as errors,
            subprocess.Popen(  # noqa: S603 - the user's own program, and no shell
                command, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8"
            ) as process,
        ):
            assert process.stdout is not None
            late = Timer(SECONDS_MAX, process.kill)
            late.start()
            try:
                yield iter(process.stdout)
                if process.wait() != 0:
                    errors.seek(0)
                    raise ExportError(_failure(folder, process.returncode, errors.read()))
            finally:
                late.cancel()
                process.kill()


def _failure(folder: Path, code: int, errors: str) -> str:
    said = errors.strip().splitlines()
    why = said[-1][:300] if said else f"it ended with {code}"
    return f"{folder}: promtool tsdb dump: {why}"


def _readable(folder: Path, temporary: Path) -> Path:
    """A copy of the folder that promtool may write to; without a log promtool reads nothing.

    Raises:
        ExportError: too much of it would have to be copied, or it cannot be.
    """
    try:
        return _copied(folder, temporary)
    except OSError as error:
        raise ExportError(
            f"{folder}: it changed while it was copied, as that of a running Prometheus may, or"
            " the copy has no room: take a snapshot with POST /api/v1/admin/tsdb/snapshot and name"
            f" that ({limited(str(error))})"
        ) from error


def _copied(folder: Path, temporary: Path) -> Path:
    blocks = list(_blocks(folder))
    logs = [folder / name for name in _LOG if (folder / name).is_dir()]
    for one in (inside for part in (*blocks, *logs) for inside in part.rglob("*")):
        # A copy would follow links, perhaps into all of the disk, and wait for pipes.
        if not (S_ISREG(mode := one.lstat().st_mode) or S_ISDIR(mode)):
            raise ExportError(f"{one}: neither a file nor a folder, and so not Prometheus' own")
    linked = bool(blocks) and _links(blocks[0] / "meta.json", temporary / "meta.json")
    size = sum(_bytes_of(one) for one in (*logs, *(() if linked else blocks)))
    if size > _COPIED_BYTES_MAX:
        raise ExportError(
            f"{folder}: {size / 2**30:.0f} GiB would be copied, and at most"
            f" {_COPIED_BYTES_MAX // 2**30} are: set TMPDIR to a folder on its file system, where"
            " blocks are linked; of a large write-ahead log take a snapshot, with"
            " POST /api/v1/admin/tsdb/snapshot"
        )
    copy = temporary / "data"
    (copy / "wal").mkdir(parents=True)
    for block in blocks:
        _copy(block, copy / block.name, os.link if linked else shutil.copyfile)
    for log in logs:
        _copy(log, copy / log.name, shutil.copyfile)
    return copy


def _copy(source: Path, target: Path, one: Callable[[Path, Path], object]) -> None:
    """Into folders of our own mode: one that may not be written could not be removed again."""
    for file in source.rglob("*"):
        if file.is_file():
            place = target / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            one(file, place)


def _links(source: Path, target: Path) -> bool:
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or another owner's files
        return False
    return True


def _bytes_of(folder: Path) -> int:
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())
