"""Takes from Kubernetes' OpenAPI documents what the tests hold our objects against.

    python -m tests.schemas.extract 1.34.2 1.35.0 1.36.0 1.37.0 > tests/schemas/kubernetes.json

Needs the go command, whose module proxy has the documents (k8s.io/kubernetes, Apache-2.0). Kept are
types, enums and required fields of a few kinds, references resolved; prose is left out.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

KINDS = {
    "ResourceClaimTemplate": ("apis__resource.k8s.io__v1", "io.k8s.api.resource.v1"),
    "MutatingWebhookConfiguration": (
        "apis__admissionregistration.k8s.io__v1",
        "io.k8s.api.admissionregistration.v1",
    ),
    "Affinity": ("api__v1", "io.k8s.api.core.v1"),
    "PodResourceClaim": ("api__v1", "io.k8s.api.core.v1"),
    "ResourceRequirements": ("api__v1", "io.k8s.api.core.v1"),
}
_KEPT = ("type", "enum", "required", "items", "properties", "additionalProperties", "format")
_FREE = {"io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1"}


def resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """A schema without references, descriptions and defaults."""
    if "oneOf" in schema:  # a quantity: a text or a number
        return {"x-kubernetes-int-or-string": True}
    for part in (schema, *schema.get("allOf", ())):
        if "$ref" in part:
            name = part["$ref"].rsplit("/", 1)[1]
            return {"type": "object"} if name in _FREE else resolved(schemas[name], schemas)
    found: dict[str, Any] = {key: schema[key] for key in _KEPT if key in schema}
    if "items" in found:
        found["items"] = resolved(found["items"], schemas)
    if isinstance(found.get("additionalProperties"), dict):
        found["additionalProperties"] = resolved(found["additionalProperties"], schemas)
    if "properties" in found:
        found["properties"] = {
            key: resolved(one, schemas) for key, one in found["properties"].items()
        }
    return found


def main(*versions: str) -> None:
    kinds: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for version in versions:
        command = ["go", "mod", "download", "-json", f"k8s.io/kubernetes@v{version}"]
        asked = subprocess.run(command, check=True, capture_output=True, cwd="/", text=True)
        folder = Path(json.loads(asked.stdout)["Dir"]) / "api" / "openapi-spec" / "v3"
        for kind, (file, package) in KINDS.items():
            document = json.loads((folder / f"{file}_openapi.json").read_text())
            schemas = document["components"]["schemas"]
            schema = resolved(schemas[f"{package}.{kind}"], schemas)
            known = next((one for one in kinds[kind] if one["schema"] == schema), None)
            if known is None:
                kinds[kind].append({"versions": [version], "schema": schema})
            else:
                known["versions"].append(version)
    found = {"source": "k8s.io/kubernetes, api/openapi-spec/v3; Apache-2.0", **kinds}
    lines = (
        f"{json.dumps(key)}:{json.dumps(one, separators=(',', ':'))}" for key, one in found.items()
    )
    print("{" + ",\n".join(lines) + "}")  # noqa: T201 - the output


if __name__ == "__main__":
    main(*sys.argv[1:])
