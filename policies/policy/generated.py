"""What is generated from the schema: the CustomResourceDefinition and the JSON Schema."""

from typing import Any, Final

from policies.policy.cross_rules import PolicyPart
from policies.policy.described import DescribedField, fields_of
from policies.policy.schema import API_VERSION, KIND, CapacityPolicy, PoolRule

PLURAL: Final = "capacitypolicies"
_GROUP, _, _VERSION = API_VERSION.partition("/")
_COLUMNS: Final = (
    ("Mode", "string", ".spec.mode", "advise or act"),
    ("GPU-Minutes", "number", ".spec.delayedMinuteWorth.gpuMinutes", "worth of a delayed minute"),
    ("USD-Hour", "number", ".spec.idleCeiling.usdPerHour", "ceiling for idle capacity"),
    ("USD-Month", "number", ".spec.idleCeiling.usdPerMonth", "ceiling for idle capacity"),
    ("Age", "date", ".metadata.creationTimestamp", "since it was made"),
)


def json_schema() -> dict[str, Any]:
    """For editors: the whole object, closed; JSON Schema cannot state the cross-field rules."""
    made = _group(CapacityPolicy, closed=True)
    metadata = made["properties"]["metadata"]
    # Labels, annotations, and whatever else an object has.
    metadata.pop("additionalProperties")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": KIND, **made}


def custom_resource_definition() -> dict[str, Any]:
    """For the API server: structural, with the cross-field rules in CEL."""
    columns = [
        {"name": name, "type": kind, "jsonPath": path, "description": meaning}
        for name, kind, path, meaning in _COLUMNS
    ]
    schema = _group(CapacityPolicy, closed=False)
    # What the API server knows of every object.
    schema["properties"] |= {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
    }
    schema.pop("required")
    schema["properties"]["spec"]["default"] = {}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{_GROUP}"},
        "spec": {
            "group": _GROUP,
            "scope": "Cluster",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["capol"],
                "categories": ["foresail"],
            },
            "versions": [
                {
                    "name": _VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def _group(model: type[PolicyPart], *, closed: bool, with_defaults: bool = True) -> dict[str, Any]:
    """The schema of a group of keys.

    Args:
        closed: whether unknown keys are refused; CRDs leave that to the API server.
        with_defaults: a rule states what it changes, so that a default in it would be a change.
    """
    fields = fields_of(model)
    with_defaults = with_defaults and model is not PoolRule
    made: dict[str, Any] = {
        "type": "object",
        "properties": {
            field.key: _field(field, closed=closed, with_defaults=with_defaults) for field in fields
        },
    }
    if required := [field.key for field in fields if field.required]:
        made["required"] = required
    if closed:
        made["additionalProperties"] = False
    elif model.cross_rules:
        made["x-kubernetes-validations"] = [
            {"rule": rule.cel, "message": rule.message} for rule in model.cross_rules
        ]
    return made


def _field(field: DescribedField, *, closed: bool, with_defaults: bool) -> dict[str, Any]:
    about: dict[str, Any] = {"description": _sentence(field)}
    if with_defaults and field.default is not None:
        about["default"] = field.default
    if field.group is None:
        return {**about, **field.schema}
    inner = _group(field.group, closed=closed, with_defaults=with_defaults)
    if not field.is_list:
        return {**about, **inner}
    return {**about, **field.schema, "items": inner}


def _sentence(field: DescribedField) -> str:
    return f"{field.meaning} Allowed: {field.allowed}." if field.allowed else field.meaning
