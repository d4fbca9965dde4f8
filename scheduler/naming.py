"""One name for each GPU model, whatever label, driver or annotation it was read from."""

from functools import lru_cache

from fleet.catalogue import shipped

_NAME_LENGTH_MAX = 128


@lru_cache(4096)
def model_name(text: str) -> str:
    """The catalogue's name of a GPU that `text` calls somehow; unknown ones as they are."""
    generation = shipped().find(text) if len(text) <= _NAME_LENGTH_MAX else None
    return text if generation is None else generation.name
