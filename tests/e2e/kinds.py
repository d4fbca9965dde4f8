"""Kinds of the components beside Kubernetes, told to the API server without their prose.

It works through all of them at each change of one, and descriptions are most of what it works
through: megabytes for every kind that has a pod's template in it.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.bed import DEFINITIONS, Bed

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Definition = dict[str, Any]


def serve(
    bed: Bed,
    files: Iterable[Path],
    *,
    adapted: Callable[[Definition], Definition] = lambda definition: definition,
) -> None:
    """Make kinds that the bed does not have yet, and wait until they are served.

    Args:
        bed: whose API server serves them.
        files: with CustomResourceDefinitions.
        adapted: a definition as the bed needs it.
    """
    for file in files:
        for definition in filter(None, yaml.load_all(file.read_text(), Loader=_LOADER)):
            bed.send("POST", DEFINITIONS, without_descriptions(adapted(definition)))
    bed.wait_for_kinds()


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
