"""One name for each GPU model and image, whatever label, driver or annotation it was read from."""

from difflib import get_close_matches
from functools import lru_cache
from typing import Final

from fleet.catalogue import Catalogue, shipped

_NAME_LENGTH_MAX: Final = 128
_SHOWN_MAX: Final = 64
_DOCKER_HUB: Final = "docker.io"


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


@lru_cache(4096)
def image_name(text: str) -> str:
    """An image by its full name, as container runtimes list it; pods may leave out most of it.

    `vllm/vllm-openai` is `docker.io/vllm/vllm-openai:latest`. Beside a digest no tag counts.
    """
    name, _, digest = text.partition("@")
    registry, slash, path = name.partition("/")
    if not slash or not (registry == "localhost" or "." in registry or ":" in registry):
        registry, path = _DOCKER_HUB, name
    elif registry == "index.docker.io":
        registry = _DOCKER_HUB
    if registry == _DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    repository, colon, tag = path.partition(":")
    if digest:
        return f"{registry}/{repository}@{digest}"
    return f"{registry}/{repository}:{tag if colon else 'latest'}"
