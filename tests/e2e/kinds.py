"""Kinds of the components beside Kubernetes, told to the API server without their prose.

It works through all of them at each change of one, and descriptions are most of what it works
through: megabytes for every kind that has a pod's template in it.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.e2e.bed import Bed

_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
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
    made = []
    for file in files:
        for definition in filter(None, yaml.load_all(file.read_text(), Loader=_LOADER)):
            bed.send("POST", _PATH, without_descriptions(adapted(definition)))
            made.append(definition)
    for definition in made:
        bed.wait(lambda one=definition: _is_served(bed, one), definition["metadata"]["name"])


def _is_served(bed: Bed, definition: Definition) -> bool:
    spec = definition["spec"]
    versions = [one["name"] for one in spec["versions"] if one["served"]]
    try:
        found = [bed.read(f"/apis/{spec['group']}/{version}") for version in versions]
    except requests.HTTPError:
        return False  # of a group that is new
    plural = spec["names"]["plural"]
    return all(plural in {kind["name"] for kind in one["resources"]} for one in found)


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
