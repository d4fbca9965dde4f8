"""The CustomResourceDefinition is the schema's own, and one that an API server takes."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from foresail.cli import main
from policies.policy.shipped_policies import NAMES, shipped_text
from tests.deploy.examples import FOLDER, documents_of
from tests.deploy.schema import faults, unknown_fields

FILE = Path(__file__).parents[2] / "deploy" / "crds" / "capacitypolicies.yaml"
DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = "capacitypolicy.yaml"
CRD = yaml.safe_load(FILE.read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def printed(what: str) -> str:
    return CliRunner().invoke(main, ["policy", "print", what]).output


def schemas(schema: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield at, schema
    for name, inner in schema.get("properties", {}).items():
        yield from schemas(inner, f"{at}.{name}")
    if "items" in schema:
        yield from schemas(schema["items"], f"{at}[]")


def test_the_committed_definition_is_what_the_schema_makes() -> None:
    assert FILE.read_text() == printed("crd"), "foresail policy print crd > " + str(FILE)


def test_it_is_a_definition_as_the_kubernetes_client_knows_it() -> None:
    assert list(unknown_fields(CRD, "V1CustomResourceDefinition")) == []


def test_every_part_is_structural() -> None:
    # https://kubernetes.io/docs: a type everywhere, no $ref, one of properties and
    # additionalProperties, and no keyword that the API server refuses.
    refused = {"$ref", "definitions", "uniqueItems", "anyOf", "title", "const", "propertyNames"}
    for at, schema in schemas(SCHEMA):
        assert "type" in schema, at
        assert not refused & set(schema), at
        assert not {"properties", "additionalProperties"} <= set(schema), at


def test_whatever_a_rule_in_cel_loops_over_has_a_limit() -> None:
    unbounded = [
        at
        for at, schema in schemas(SCHEMA)
        if schema["type"] == "array" and "maxItems" not in schema
    ]
    assert unbounded == []


def test_a_rule_that_states_nothing_changes_nothing() -> None:
    # The API server writes defaults into objects; in a rule they would be changes.
    rules = SCHEMA["properties"]["spec"]["properties"]["rules"]

    assert [at for at, schema in schemas(rules["items"]) if "default" in schema] == []


def test_every_key_says_what_it_means() -> None:
    spec = SCHEMA["properties"]["spec"]
    keys = [(at, schema) for at, schema in schemas(spec, "spec") if not at.endswith("[]")]

    assert [at for at, schema in keys if not schema.get("description")] == []


@pytest.mark.parametrize("name", NAMES)
def test_ready_made_policies_fit_the_definition_and_the_json_schema(name: str) -> None:
    given = yaml.safe_load(shipped_text(name))

    assert list(faults(given["spec"], SCHEMA["properties"]["spec"])) == []
    assert list(faults(given, json.loads(printed("json-schema")))) == []


def test_the_example_fits_the_definition_and_the_json_schema_and_changes_nothing() -> None:
    (given,) = documents_of(EXAMPLE)

    assert list(faults(given["spec"], SCHEMA["properties"]["spec"])) == []
    assert list(faults(given, json.loads(printed("json-schema")))) == []
    assert given["spec"]["mode"] == "advise"
    assert "idleCeiling" in given["spec"]  # mode act needs it


def test_the_command_in_the_example_shows_what_holds_for_a_pool() -> None:
    text = (FOLDER / EXAMPLE).read_text()
    (line,) = (one for one in text.splitlines() if one.startswith("#   foresail policy show"))
    command = line.removeprefix("#   foresail ").split()
    command[command.index(EXAMPLE)] = str(FOLDER / EXAMPLE)

    result = CliRunner().invoke(main, command)

    assert result.exit_code == 0, result.output
    # $55.04 an hour for 8 GPUs are $0.115 a GPU-minute.
    assert "worth 17.44 GPU-minutes (ρ)" in result.output


def test_documents_lead_to_the_example_and_to_each_ready_made_policy() -> None:
    nodes = (DOCS / "nodes.md").read_text()
    linked = {(DOCS / one).resolve() for one in re.findall(r"\]\(([^)#]+\.yaml)\)", nodes)}

    assert {path.name for path in linked} >= {EXAMPLE, *(f"{name}.yaml" for name in NAMES)}
    assert [path for path in linked if not path.is_file()] == []
    assert f"`{EXAMPLE}`" in (FOLDER / "README.md").read_text()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"mode": "advice"}, id="word"),
        pytest.param({"forecasttrust": 1}, id="key"),
        pytest.param({"levers": {"nodeHold": "yes"}}, id="type"),
        pytest.param({"holdLease": 900}, id="duration"),
    ],
)
def test_what_a_file_is_refused_for_the_schemas_refuse_too(change: dict[str, Any]) -> None:
    given = yaml.safe_load(shipped_text("balanced"))
    given["spec"] |= change

    assert list(faults(given["spec"], SCHEMA["properties"]["spec"])) != []
    assert list(faults(given, json.loads(printed("json-schema")))) != []
