"""Finished runs in a file, one line of JSON each, under a digest of all that a run depends on.

The code and its data are part of that digest: a rule that was changed is not the one that ran
before, and neither is one under other prices. Interrupted work reads the file and runs only what is
missing.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import Final, TypeVar

from pydantic import TypeAdapter

from scaler.errors import ForesailError

_BEGINNING: Final = b'{"key": "'
"""Of every file of finished runs, as `json.dumps` writes them."""

Piece = TypeVar("Piece")
Outcome = TypeVar("Outcome")
_COUNTED: Final = frozenset({".py", ".yaml", ".npz"})
"""Ends of files that a run depends on: code, what it knows, and priors."""


def resumed(
    keys: Mapping[Piece, str],
    run: Callable[[Sequence[Piece]], Iterator[tuple[Piece, Outcome]]],
    *,
    kept: Path | None,
    adapter: TypeAdapter[Outcome],
    progress: Callable[[], None],
) -> dict[Piece, Outcome]:
    """Outcomes of all pieces, in their order.

    Args:
        keys: a digest for each piece.
        run: does those that the file lacks.
        progress: called for each that is finished or found.

    Raises:
        ForesailError: the file is there, and is none of finished runs.
    """
    _check_ours(kept)
    finished = _read(kept, adapter)
    outcomes = {piece: finished[key] for piece, key in keys.items() if key in finished}
    for _ in outcomes:
        progress()
    _end_line(kept)
    for piece, outcome in run([piece for piece in keys if piece not in outcomes]):
        outcomes[piece] = outcome
        if kept is not None:
            line = json.dumps({"key": keys[piece], "result": adapter.dump_python(outcome)})
            with kept.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        progress()
    return {piece: outcomes[piece] for piece in keys}


def _check_ours(kept: Path | None) -> None:
    """Lines are added to it, so that it must not be a trace or another file of the user's."""
    if kept is None or not kept.exists():
        return
    if not S_ISREG(kept.stat().st_mode):
        raise ForesailError(f"{kept}: no regular file: name one that finished runs can be kept in")
    with kept.open("rb") as file:
        head = file.read(2 * len(_BEGINNING)).lstrip()[: len(_BEGINNING)]
    if not _BEGINNING.startswith(head):
        raise ForesailError(
            f"{kept}: not a file of finished runs, which would be added to it: name another one,"
            " or one that does not exist yet"
        )


def _end_line(kept: Path | None) -> None:
    """What a kill cut off shall not spoil the next line."""
    if kept is not None and kept.exists() and not kept.read_bytes().endswith(b"\n"):
        with kept.open("a", encoding="utf-8") as file:
            file.write("\n")


def key_of(*parts: object) -> str:
    return sha256(" ".join(map(str, parts)).encode()).hexdigest()


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Of the code that runs, and of the data files beside it."""
    return digest_of(rooms())


def rooms() -> tuple[Path, ...]:
    """The folders of this room and of all that it imports."""
    here = Path(__file__).parent
    return (here, *(here.parent / name for name in ("policies", "scaler", "fleet")))


def digest_of(folders: Iterable[Path]) -> str:
    """Of the code and the data in folders."""
    files = (path for folder in folders for path in folder.rglob("*") if path.suffix in _COUNTED)
    return sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()


def _read(kept: Path | None, adapter: TypeAdapter[Outcome]) -> dict[str, Outcome]:
    if kept is None or not kept.exists():
        return {}
    found = {}
    for line in kept.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
            found[str(record["key"])] = adapter.validate_python(record["result"])
        except (ValueError, KeyError, TypeError):
            continue  # the last line of a run that was cut off, or another kind's or version's
    return found
