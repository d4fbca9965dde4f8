"""A Prometheus' data folder or snapshot, read by the user's own promtool.

promtool opens finished blocks for reading only. Where there is a write-ahead log it may write while
it reads it, so it gets a copy: hard links to blocks, which nobody changes, and copies of the rest.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
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
    """The folder itself where it has finished blocks only, else a copy."""
    if not any((folder / name).exists() for name in _LOG):
        return folder
    try:
        return _copy(folder, temporary)
    except OSError as error:  # and shutil.Error, which is one
        raise ExportError(
            f"{folder}: it changed while it was copied, as that of a running Prometheus may, or"
            " the copy has no room: take a snapshot with POST /api/v1/admin/tsdb/snapshot and name"
            f" that ({limited(str(error))})"
        ) from error


def _copy(folder: Path, temporary: Path) -> Path:
    blocks = list(_blocks(folder))
    logs = [folder / name for name in _LOG if (folder / name).is_dir()]
    for one in (inside for part in (*blocks, *logs) for inside in part.rglob("*")):
        # A copy would follow links, perhaps into all of the disk, and wait for pipes.
        if not (S_ISREG(mode := one.lstat().st_mode) or S_ISDIR(mode)):
            raise ExportError(f"{one}: neither a file nor a folder, and so not Prometheus' own")
    size = sum(one.stat().st_size for log in logs for one in log.rglob("*") if one.is_file())
    if size > _COPIED_BYTES_MAX:
        raise ExportError(
            f"{folder}: its write-ahead log has {size / 2**30:.0f} GiB, and at most"
            f" {_COPIED_BYTES_MAX // 2**30} are copied: take a snapshot with"
            " POST /api/v1/admin/tsdb/snapshot and name that"
        )
    copy = temporary / "data"
    for block in blocks:
        shutil.copytree(block, copy / block.name, copy_function=_linked)
    for log in logs:
        shutil.copytree(log, copy / log.name)
    return copy


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
