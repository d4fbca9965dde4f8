"""One name for each GPU model, whatever label, driver or annotation it was read from."""

from difflib import get_close_matches
from functools import lru_cache
from typing import Final

from fleet.catalogue import Catalogue, shipped

_NAME_LENGTH_MAX: Final = 128
_SHOWN_MAX: Final = 64


@lru_cache(4096)
def model_name(text: str) -> str:
    """The catalogue's name of a GPU that `text` calls somehow; unknown ones as they are."""
    generation = shipped().find(text) if len(text) <= _NAME_LENGTH_MAX else None
    return text if generation is None else generation.name


def models_named(text: str) -> tuple[str, ...]:
    """The names in an annotation or option that takes GPU models joined by `|`, as written.

    Raises:
        ValueError: there is none.
    """
    names = tuple(filter(None, (part.strip() for part in text.split("|"))))
    if not names:
        raise ValueError("names no model")
    return names


def near_models(name: str, catalogue: Catalogue) -> str:
    """What may have been meant by a name that no GPU model has."""
    names = [one.name for one in catalogue.generations]
    near = get_close_matches(name[:_SHOWN_MAX].lower(), names, 3, cutoff=0.5)
    return f"did you mean {', '.join(near)}?" if near else "`foresail gpus` lists them"
