"""What `foresail lint` reads from files, folders and standard input.

Everything is bounded, and what is left out is named: other people's folders hold binaries, dumps
of gigabytes, and templates that are no YAML.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Final

from fleet.manifests import Unreadable, manifests_in
from policies.lint.finding import Finding, Severity
from policies.lint.objects import Object, objects_of
from policies.lint.run import comments_in

STDIN: Final = "-"
BYTES_MAX: Final = 16 * 2**20
"""Of one file; the API server takes no object above 1.5 MB."""
FILES_MAX: Final = 20_000
OBJECTS_MAX: Final = 200_000
_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_NOT_ENTERED: Final = frozenset({"node_modules", "vendor", "__pycache__"})
UNREADABLE: Final = "FS001"
TWICE: Final = "FS002"


@dataclass(slots=True)
class Read:
    """Everything that was read."""

    objects: list[Object] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    """Of files themselves."""
    ignored_lines: dict[tuple[str, int], frozenset[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What was left out on purpose."""
    files: int = 0


def read_paths(paths: Sequence[str]) -> Read:
    """The manifests of files, folders and, for `-`, of standard input."""
    read = Read()
    for path in dict.fromkeys(paths):
        if path == STDIN:
            _read_text("stdin", sys.stdin.buffer.read(BYTES_MAX + 1), read)
            continue
        try:
            mode = Path(path).stat().st_mode
        except (OSError, ValueError) as error:
            read.findings.append(_unreadable(path, None, getattr(error, "strerror", "") or "?"))
            continue
        if S_ISDIR(mode):
            _read_folder(Path(path), read)
        else:
            _read_file(path, read, asked_for=True)
    return read


def _read_folder(folder: Path, read: Read) -> None:
    for count, file in enumerate(_files_of(folder, read)):
        if count >= FILES_MAX:
            read.notes.append(f"{folder}: more than {FILES_MAX:,} files; the rest is not read")
            return
        _read_file(str(file), read, asked_for=False)


def _files_of(folder: Path, read: Read) -> Iterator[Path]:
    """Files of manifests below a folder, in order; links are not followed to other folders."""
    for root, folders, files in os.walk(folder):
        here = Path(root)
        if "Chart.yaml" in files and "templates" in folders:
            folders.remove("templates")
            render = f"`helm template {here} | foresail lint -`"
            read.notes.append(f"{here / 'templates'}: templates of a chart are not read: {render}")
        folders[:] = sorted(one for one in folders if one[0] != "." and one not in _NOT_ENTERED)
        yield from (here / one for one in sorted(files) if Path(one).suffix in _SUFFIXES)


def _read_file(path: str, read: Read, *, asked_for: bool) -> None:
    try:
        # A named pipe in a folder would be waited for without end; one that is asked for is meant.
        opener = None if asked_for else _open_at_once
        with open(path, "rb", opener=opener) as file:
            if not asked_for and not S_ISREG(os.fstat(file.fileno()).st_mode):
                return
            content = file.read(BYTES_MAX + 1)
    except OSError as error:
        read.findings.append(_unreadable(path, None, error.strerror or str(error)))
        return
    if not asked_for and b"kind" not in content:
        return  # of a folder: values of a chart, settings of other programs
    _read_text(path, content, read)


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _read_text(file: str, content: bytes, read: Read) -> None:
    read.files += 1
    if len(content) > BYTES_MAX:
        why = f"larger than {BYTES_MAX // 2**20} MiB: split it, or lint the live cluster"
        read.findings.append(_unreadable(file, None, why))
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        why = f"byte {content[error.start]:#04x} is no UTF-8 text"
        read.findings.append(_unreadable(file, line, why))
        return
    read.ignored_lines |= comments_in(text, file)
    for manifest in manifests_in(text):
        if isinstance(manifest, Unreadable):
            read.findings.append(_unreadable(file, manifest.line, manifest.why))
            continue
        found = list(objects_of(manifest.value, file))
        if len(read.objects) + len(found) > OBJECTS_MAX:
            why = f"more than {OBJECTS_MAX:,} objects: lint them in parts"
            read.findings.append(_unreadable(file, manifest.value.line, why))
            return
        read.objects += found
        read.findings += (
            Finding(
                rule=TWICE,
                severity=Severity.ERROR,
                subject=found[0].title,
                field="",
                value="",
                why=why,
                do="delete one of the two",
                file=file,
                line=line,
            )
            for line, why in manifest.faults
            if found
        )


def _unreadable(file: str, line: int | None, why: str) -> Finding:
    return Finding(
        rule=UNREADABLE,
        severity=Severity.ERROR,
        subject="file",
        field="",
        value="",
        why=why,
        do="",
        file=file,
        line=line,
    )
