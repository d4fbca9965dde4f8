"""The engine presets that come with Foresail, and the reader of one.

An engine is a YAML file in `presets/`, never code.
"""

from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from pydantic import ValidationError

from fleet.invalid import invalid_lines
from fleet.located import Document, UnreadableYamlError
from scaler.errors import ForesailError
from scaler.sources.preset import Preset

_SUFFIX: Final = ".yaml"
_GATEWAYS: Final = "gateways"
_FMA: Final = "fma"


class PresetError(ForesailError):
    """A preset that is unknown or invalid; the message names it and the place of each fault."""


def shipped() -> tuple[str, ...]:
    """Names of the presets of engines in this package."""
    return _names_in(_presets())


def gateways() -> tuple[str, ...]:
    """Names of the presets that are read beside an engine alone: they know of no queue or token."""
    return _names_in(_presets() / _GATEWAYS)


def _presets() -> Traversable:
    return resources.files("scaler.sources") / "presets"


def _names_in(folder: Traversable) -> tuple[str, ...]:
    return tuple(
        sorted(
            entry.name.removesuffix(_SUFFIX)
            for entry in folder.iterdir()
            if entry.name.endswith(_SUFFIX)
        )
    )


@cache
def load(name: str) -> Preset:
    """The shipped preset of that name.

    Raises:
        PresetError: it is unknown or invalid.
    """
    folders = (_presets(), _presets() / _GATEWAYS, _presets() / _FMA)
    folder = next((one for one in folders if name in _names_in(one)), None)
    if folder is None:
        raise PresetError(f"no engine preset {name!r}; there are: {', '.join(shipped())}")
    path = folder / f"{name}{_SUFFIX}"
    return parse(path.read_text(encoding="utf-8"), name=name)


def parse(text: str, *, name: str) -> Preset:
    """A preset from YAML text; messages call it `name`.

    Raises:
        PresetError: not YAML, or not a preset; every fault with its line and place.
    """
    try:
        document = Document.sound(text)
    except UnreadableYamlError as error:
        raise PresetError(f"engine preset {name!r}: line {error.line}: {error}") from error
    try:
        return Preset.model_validate(document.value)
    except ValidationError as error:
        faults = "; ".join(invalid_lines(error, document))
        raise PresetError(f"engine preset {name!r}: {faults}") from error
