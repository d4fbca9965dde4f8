"""The manifests in deploy/examples, as an API server would be given them."""

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "examples"
SETTINGS = FOLDER / "foresail.yaml"
SCHEDULER = FOLDER / "scheduler.yaml"
AGENT = FOLDER / "agent.yaml"
MANIFESTS = tuple(
    FOLDER / name
    for name in (
        "certificates.yaml",
        "deployment.yaml",
        "scaledobject.yaml",
        "triggerauthentication.yaml",
        "triggerauthentication-namespaced.yaml",
    )
)
"""Of `foresail serve`; each other process has files of its own."""

Manifest = dict[str, Any]


def documents() -> list[Manifest]:
    return [one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text())]


def documents_of(name: str) -> list[Manifest]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


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
