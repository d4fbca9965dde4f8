"""What is made from the schema of policies, as text, and the policies that come with Foresail."""

import json

import yaml

from policies.policy.generated import custom_resource_definition, json_schema
from policies.policy.reference import reference
from policies.policy.shipped_policies import shipped_text

_WIDTH = 100
_HEAD = "# Made by `foresail policy print crd`; the schema is policies/policy/schema.py.\n"


def printed(what: str) -> str:
    """The text of `crd`, `json-schema`, `reference`, or of a ready-made policy by its name."""
    match what:
        case "crd":
            made = custom_resource_definition()
            return _HEAD + yaml.safe_dump(made, sort_keys=False, width=_WIDTH)
        case "json-schema":
            return json.dumps(json_schema(), indent=1) + "\n"
        case "reference":
            return reference()
        case _:
            return shipped_text(what)
