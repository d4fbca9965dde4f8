"""Kinds of the components beside Kubernetes, told to the API server without their prose.

It works through all of them at each change of one, and descriptions are most of what it works
through: megabytes for every kind that has a pod's template in it.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
import yaml

from foresail.clock import steady_clock
from tests.e2e.bed import DEFINITIONS, DELETED_SECONDS, Bed

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TOUCHED_EACH_SECONDS = 1.0
Definition = dict[str, Any]


def serve(
    bed: Bed,
    files: Iterable[Path],
    *,
    adapted: Callable[[Definition], Definition] = lambda definition: definition,
) -> None:
    """Make kinds what files have, and wait until they are served.

    Args:
        bed: whose API server serves them.
        files: with CustomResourceDefinitions.
        adapted: a definition as the bed needs it.
    """
    for definition in definitions(files):
        bed.apply(without_descriptions(adapted(definition)))
    bed.wait_for_kinds()


def definitions(files: Iterable[Path]) -> list[Definition]:
    """The CustomResourceDefinitions of files."""
    return [
        definition
        for file in files
        for definition in yaml.load_all(file.read_text(), Loader=_LOADER)
        if definition
    ]


def remove(bed: Bed, kinds: Iterable[Definition]) -> None:
    """Delete kinds, those that are there, and wait until they are gone.

    Kubernetes 1.37 forgets a kind for five minutes whose storage was not ready when it went to
    delete its objects: it tries again with what it had read before it wrote that down, gets a
    conflict, and waits for a change of more than that. So each that stays is changed once a second.
    """
    left = [f"{DEFINITIONS}/{one['metadata']['name']}" for one in kinds]
    for path in left:
        bed.request_deletion(path)
    touched = steady_clock()

    def gone() -> bool:
        nonlocal left, touched
        left = [path for path in left if bed.is_there(path)]
        if left and steady_clock() - touched > _TOUCHED_EACH_SECONDS:
            touched = steady_clock()
            for path in left:
                with suppress(requests.HTTPError):  # it is gone by now
                    bed.send("PATCH", path, {"metadata": {"annotations": {"at": str(touched)}}})
        return not left

    bed.wait(gone, "kinds to be gone", seconds=DELETED_SECONDS)


def without_descriptions(value: Any) -> Any:
    """The same schema without prose; a property that is called `description` stays."""
    if isinstance(value, dict):
        return {
            key: without_descriptions(one)
            for key, one in value.items()
            if key != "description" or not isinstance(one, str)
        }
    if isinstance(value, list):
        return [without_descriptions(one) for one in value]
    return value
