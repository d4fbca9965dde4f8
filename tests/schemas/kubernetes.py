"""The schemas of Kubernetes 1.34 to 1.37 for the kinds that we write."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.deploy.schema import faults

VERSIONS = ("1.34.2", "1.35.0", "1.36.0", "1.37.0")
_SCHEMAS = json.loads((Path(__file__).parent / "kubernetes.json").read_text())


def unfit(value: Mapping[str, Any], kind: str, version: str) -> list[str]:
    """Every place where `value` is not what this version's schema of the kind takes."""
    (schema,) = [one["schema"] for one in _SCHEMAS[kind] if version in one["versions"]]
    return list(faults(value, schema))
