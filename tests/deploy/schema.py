"""What an API server checks: of custom resources the part of OpenAPI v3 that CRDs use."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubernetes_asyncio.client import models

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def faults(value: Any, schema: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Every place where `value` is not what `schema` takes; unknown fields are faults."""
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, int | str):
            yield f"{at}: neither a number nor a text"
        return
    kind = schema.get("type", "object")
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        yield f"{at}: {value!r} is no {kind}"
        return
    match kind:
        case "array":
            for index, item in enumerate(value):
                yield from faults(item, schema["items"], f"{at}[{index}]")
        case "object":
            yield from _object_faults(value, schema, at)
        case _:
            yield from _bounds_crossed(value, schema, at)


def _bounds_crossed(value: Any, schema: Mapping[str, Any], at: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is none of {schema['enum']}"
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{at}: {value!r} is below {schema['minimum']}"


def _object_faults(value: Mapping[str, Any], schema: Mapping[str, Any], at: str) -> Iterator[str]:
    known = schema.get("properties", {})
    rest = schema.get("additionalProperties")
    yield from (f"{at}.{key}: is missing" for key in schema.get("required", ()) if key not in value)
    for key, inner in value.items():
        if key in known:
            yield from faults(inner, known[key], f"{at}.{key}")
        elif isinstance(rest, dict):
            yield from faults(inner, rest, f"{at}.{key}")
        elif known and not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{at}.{key}: unknown field"


def unknown_fields(value: Any, kind: str, at: str = "") -> Iterator[str]:
    """Fields that the Kubernetes client's model of this kind does not have."""
    at = at or kind
    listed = re.fullmatch(r"list\[(.+)\]", kind)
    model = getattr(models, kind, None)
    if listed:
        for item in value:
            yield from unknown_fields(item, listed[1], at)
    elif model is not None:
        kinds = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
        for key, inner in value.items():
            if key in kinds:
                yield from unknown_fields(inner, kinds[key], f"{at}.{key}")
            else:
                yield f"{at}.{key}"
