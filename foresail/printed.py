"""Results on stdout as JSON or YAML: one document, its names in camel case."""

import json
from typing import Any, Final

import yaml

FORMS: Final = ("json", "yaml")
"""Forms for a machine; all others are for people."""
WIDE: Final = 240
"""Columns of the form `wide`: nothing is cut to fit the terminal."""


def print_document(document: Any, form: str, *, indent: int | None = 1) -> None:
    """Print one document, and flush it: a watch prints one after another.

    Args:
        form: json or yaml.
        indent: None puts JSON on one line.
    """
    if form == "yaml":
        # Read back from JSON, so that enumerations and tuples are plain values.
        plain = json.loads(json.dumps(document))
        text = "---\n" + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).rstrip()
    else:
        text = json.dumps(document, indent=indent)
    print(text, flush=True)  # noqa: T201 - the output
