"""Attributes of OTLP as labels, named as Prometheus names them.

Presets have Prometheus' names, so that one preset reads a scrape, a Prometheus and OTLP. GenAI
attributes of the conventions up to 1.36 get their present names here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from scaler.sources.otlp_point import Identity
from scaler.sources.series import LABEL_CHARACTERS_MAX

ATTRIBUTES_MAX: Final = 128
"""Of a resource or of a point."""
ATTRIBUTES_CHARACTERS_MAX: Final = 2**13
"""Of all names and values of a resource or of a point: each of 20,000 series keeps both."""
TEXT_CHARACTERS_MAX: Final = LABEL_CHARACTERS_MAX
"""Of a name or value, which is cut there: a process reports its whole command line."""
TOO_MANY: Final = (
    f"over {ATTRIBUTES_MAX} attributes, or over {ATTRIBUTES_CHARACTERS_MAX} characters of them"
)
"""Why a resource or a point is not taken."""
_UNITS: Final = {"s": "_seconds", "ms": "_milliseconds", "By": "_bytes"}
_RENAMED: Final = {"gen_ai_system": "gen_ai_provider_name"}
_OF_PROCESS: Final = {
    "k8s.cluster.name": "cluster",
    "k8s.namespace.name": "namespace",
    "k8s.pod.name": "pod",
    "service.name": "service_name",
    "service.namespace": "service_namespace",
    "service.version": "service_version",
    "deployment.environment.name": "deployment_environment_name",
}
"""Attribute of a process → the label that a scrape of it would have."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that reports."""

    resource: Identity
    labels: Mapping[str, str]
    """Those that a scrape of it would have."""


def process_of(resource: Resource) -> Process | None:
    """None with too many attributes."""
    identity = identity_of(resource.attributes)
    if identity is None:
        return None
    given = dict(identity)
    labels = {label: given[key] for key, label in _OF_PROCESS.items() if given.get(key)}
    names = [given.get("service.namespace"), given.get("service.name")]
    labels["job"] = "/".join(filter(None, names)) or "unnamed"
    instance = given.get("service.instance.id") or _machine(given)
    return Process(identity, {**labels, "instance": instance} if instance else labels)


def _machine(given: dict[str, str]) -> str:
    names = [given.get("host.name"), given.get("process.pid")]
    return ":".join(filter(None, names))


def identity_of(attributes: Sequence[KeyValue]) -> Identity | None:
    """All attributes in order; None with too many, or too long ones."""
    if len(attributes) > ATTRIBUTES_MAX:
        return None
    cut = slice(TEXT_CHARACTERS_MAX)
    found = sorted((one.key[cut], _text(one.value)[cut]) for one in attributes)
    characters = sum(len(name) + len(value) for name, value in found)
    return None if characters > ATTRIBUTES_CHARACTERS_MAX else tuple(found)


def _text(value: AnyValue) -> str:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "int_value":
            return str(value.int_value)
        case "double_value":
            return str(value.double_value)
        case "bool_value":
            return str(value.bool_value).lower()
        case "array_value":
            return ",".join(_elements(value))
        case _:
            return ""


def _elements(value: AnyValue) -> Iterator[str]:
    for one in value.array_value.values[:ATTRIBUTES_MAX]:
        # One level: a sender may nest lists without end.
        yield "" if one.WhichOneof("value") == "array_value" else _text(one)


@lru_cache(maxsize=1024)
def prometheus_names(name: str, unit: str) -> tuple[str, ...]:
    """The names that Prometheus may give a metric, with its unit first."""
    plain = label_name(name)
    suffix = _UNITS.get(unit, "")
    return (plain + suffix, plain) if suffix and not plain.endswith(suffix) else (plain,)


@lru_cache(maxsize=1024)
def label_name(name: str) -> str:
    plain = re.sub(r"[^a-zA-Z0-9_:]", "_", name)
    return _RENAMED.get(plain, plain)


def genai_labels(labels: dict[str, str]) -> dict[str, str]:
    """The labels with the requested model, which some instrumentations leave out."""
    answered = labels.get("gen_ai_response_model")
    if answered and not labels.get("gen_ai_request_model"):
        return {**labels, "gen_ai_request_model": answered}
    return labels
