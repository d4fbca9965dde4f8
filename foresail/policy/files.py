"""Policies from files and folders, read again when they change.

A folder may be a mounted ConfigMap, whose files are links that the kubelet swaps all at once. While
what is there cannot be used, the last policies stay in force, and `problem` says why.
"""

from collections.abc import Sequence
from pathlib import Path

from policies.policy.documents import PolicyError, policies_in
from policies.policy.schema import CapacityPolicy
from scaler.reloaded import Reloaded
from scaler.yaml_file import text_of

_SUFFIXES = frozenset({".yaml", ".yml"})


class PolicyFiles:
    """The policies of files and folders, as they are now."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Read them for the first time.

        Raises:
            ForesailError: a file cannot be read or has faults, or there is no policy.
            OSError: a folder cannot be read.
        """
        self._paths = tuple(paths)
        self._reloaded = Reloaded(lambda: files_at(self._paths), lambda: read(self._paths))

    def current(self) -> tuple[CapacityPolicy, ...]:
        return self._reloaded.current()

    @property
    def problem(self) -> str | None:
        """Why what is there now is not in force; None = it is."""
        return self._reloaded.problem


def read(paths: Sequence[Path]) -> tuple[CapacityPolicy, ...]:
    """The policies of files, and of the YAML files in folders.

    Raises:
        ForesailError: a file cannot be read or has faults, or there is no policy.
    """
    found = policies_in({str(file): text_of(file) for file in files_at(paths)})
    if not found:
        raise PolicyError(f"{', '.join(map(str, paths))}: no policy is there")
    return found


def files_at(paths: Sequence[Path]) -> list[Path]:
    """The files, and the YAML files in the folders, in order.

    Raises:
        PolicyError: a path is not there, or a folder cannot be read.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += _inside(path)
        elif path.exists():
            files.append(path)
        else:
            raise PolicyError(f"{path}: no such file or folder")
    return files


def _inside(folder: Path) -> list[Path]:
    try:
        # Of a ConfigMap also `..data` and a folder with a date are there.
        seen = sorted(one for one in folder.iterdir() if not one.name.startswith("."))
    except OSError as error:
        raise PolicyError(f"{folder}: cannot be read: {error.strerror}") from error
    return [one for one in seen if one.suffix in _SUFFIXES and one.is_file()]
