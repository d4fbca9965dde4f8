"""The Helm chart as far as it can be read without helm: its values, their schema, its versions."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "chart" / "foresail"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}


def faults(value: Any, schema: dict[str, Any], at: str = "") -> Iterator[str]:
    """Every value that the schema refuses, and every key that one of the two does not have."""
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is none of {schema['enum']}"
    kind = TYPES.get(schema.get("type", ""), object)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        yield f"{at}: {value!r} is no {schema['type']}"
        return
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{at}: {value!r} does not match {schema['pattern']}"
    if value < schema["minimum"] if "minimum" in schema else False:
        yield f"{at}: {value!r} is below {schema['minimum']}"
    if isinstance(value, dict) and schema.get("additionalProperties") is False:
        properties = schema["properties"]
        yield from (f"{at}.{key}: not in the schema" for key in value.keys() - properties.keys())
        for key in value.keys() & properties.keys():
            yield from faults(value[key], properties[key], f"{at}.{key}")


def missing(value: Any, schema: dict[str, Any], at: str = "") -> Iterator[str]:
    """Keys of the schema without a default in the values."""
    if not isinstance(value, dict):
        return
    for key, part in schema.get("properties", {}).items():
        if key in value:
            yield from missing(value[key], part, f"{at}.{key}")
        else:
            yield f"{at}.{key}"


def test_the_schema_takes_the_values_and_knows_every_key() -> None:
    assert list(faults(VALUES, SCHEMA)) == []


def test_every_key_of_the_schema_has_a_default() -> None:
    # `global` is Helm's own; an issuer is named whole or not at all.
    reference = ".certificates.certManager.issuerRef."
    assert [one for one in missing(VALUES, SCHEMA) if not one.startswith(reference)] == [".global"]


@pytest.mark.parametrize("path", sorted((CHART / "ci").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_schema_takes_every_values_file(path: Path) -> None:
    assert list(faults(yaml.safe_load(path.read_text()), SCHEMA)) == []


def test_a_misspelt_key_is_found() -> None:
    assert list(faults({"serve": {"replica": 3}}, SCHEMA)) == [".serve.replica: not in the schema"]


def test_every_group_of_values_is_explained() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    groups = [at for at, line in enumerate(lines) if re.match(r"[a-z]\w*:", line)]
    bare = {lines[at] for at in groups if not lines[at - 1].startswith("#")}

    assert bare <= {"image:", "imagePullSecrets: []", "keda:", "prometheus:", "certificates:",
                    "networkPolicy:", "monitoring:"}  # fmt: skip


def test_the_chart_has_the_version_of_the_program() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_the_chart_ships_the_definitions_of_deploy_crds() -> None:
    shipped = {path.name: path.read_text() for path in (CHART / "files" / "crds").glob("*")}
    ours = {path.name: path.read_text() for path in (ROOT / "deploy" / "crds").glob("*")}

    assert shipped == ours, "copy deploy/crds/*.yaml to deploy/chart/foresail/files/crds"


def test_no_documented_upgrade_keeps_the_values_of_an_older_chart() -> None:
    """`--reuse-values` takes the old chart's defaults for the new one's: nil pointers."""
    pages = [*(ROOT / "docs").rglob("*.md"), *CHART.rglob("*.yaml"), CHART / "templates/NOTES.txt"]
    commands = [
        (page.name, line.strip())
        for page in pages
        for line in page.read_text().splitlines()
        if "helm upgrade" in line and " --reuse-values" in line
    ]
    assert commands == []
