"""Reads a YAML file as settings, and reports all its faults with their line numbers."""

from pathlib import Path
from typing import Final, TypeVar

from pydantic import ValidationError

from fleet.located import Document, UnreadableYamlError
from foresail.faults import faults_of
from foresail.parts import Part
from scaler.errors import ForesailError

_BYTES_MAX: Final = 2**20

Model = TypeVar("Model", bound=Part)


class SettingsError(ForesailError):
    """Settings that cannot be used; one line a fault, each with its line number."""


def validated(path: Path, model: type[Model]) -> Model:
    """A YAML file as a model of settings.

    Raises:
        SettingsError: the file cannot be read, or has faults; the message names all of them.
    """
    text = _text_of(path)
    try:
        document = Document(text)
    except UnreadableYamlError as error:
        message = f"{path}:{error.line}: {error}"
        raise SettingsError(message) from error
    faults, made = document.faults, None
    try:
        made = model.model_validate(document.value)
    except ValidationError as error:
        faults = [*faults, *faults_of(error, model, document)]
    if made is None or faults:
        raise SettingsError("\n".join(f"{path}:{line}: {text}" for line, text in sorted(faults)))
    return made


def _text_of(path: Path) -> str:
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
