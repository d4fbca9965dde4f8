"""The manifests in deploy/examples, as an API server would be given them."""

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "examples"
SETTINGS = FOLDER / "foresail.yaml"
SCHEDULER = FOLDER / "scheduler.yaml"
"""Of `foresail scheduler`; nothing of the others refers to it."""
MANIFESTS = tuple(
    sorted(path for path in FOLDER.glob("*.yaml") if path not in {SETTINGS, SCHEDULER})
)

Manifest = dict[str, Any]


def documents() -> list[Manifest]:
    return [one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text())]


def only(kind: str) -> Manifest:
    """The one manifest of a kind."""
    (found,) = [one for one in documents() if one["kind"] == kind]
    return found


def container() -> Manifest:
    (found,) = only("Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


def trigger() -> Manifest:
    (found,) = only("ScaledObject")["spec"]["triggers"]
    return dict(found)
