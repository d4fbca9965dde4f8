"""Reads a YAML file as records, and reports all its faults with their line numbers."""

from pathlib import Path
from typing import Final, TypeVar

from fleet.located import Document, UnreadableYamlError
from scaler.errors import ForesailError
from scaler.faults import checked
from scaler.parts import Part

_BYTES_MAX: Final = 2**20

Model = TypeVar("Model", bound=Part)


class SettingsError(ForesailError):
    """Settings that cannot be used; one line a fault, each with its line number."""


def validated(path: Path, model: type[Model]) -> Model:
    """A YAML file as a model of settings.

    Raises:
        SettingsError: the file cannot be read, or has faults; the message names all of them.
    """
    text = text_of(path)
    try:
        document = Document(text)
    except UnreadableYamlError as error:
        message = f"{path}:{error.line}: {error}"
        raise SettingsError(message) from error
    made, faults = checked(document, model)
    if made is None:
        raise SettingsError("\n".join(f"{path}:{line}: {text}" for line, text in faults))
    return made


def text_of(path: Path) -> str:
    """The text of a file.

    Raises:
        SettingsError: it cannot be read, is too large, or is no text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES_MAX + 1)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > _BYTES_MAX:
        raise SettingsError(f"{path}: cannot be read: larger than {_BYTES_MAX:,} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}:{line}: cannot be read: not UTF-8 text") from error
