"""Results on stdout as JSON or YAML: one document, its names in camel case."""

import json
from typing import Any

import click
import yaml

FORMS = ("json", "yaml")


def print_document(document: Any, form: str) -> None:
    """Print one document.

    Args:
        form: json or yaml.
    """
    if form == "yaml":
        # Read back from JSON, so that enumerations and tuples are plain values.
        plain = json.loads(json.dumps(document))
        click.echo(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), nl=False)
    else:
        click.echo(json.dumps(document, indent=1))
