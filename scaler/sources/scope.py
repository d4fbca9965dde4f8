"""Which part of a source's series is one workload's, and how PromQL is told so.

Model names, namespaces and label values come from tenants, so they are quoted here, in one place:
an unescaped quote in a model name would otherwise be a query for everybody's metrics.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from typing_extensions import override

from scaler.errors import SourceMisconfiguredError
from scaler.sources.catalogue import Preset

_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One workload, as its metrics know it."""

    model: str | None = None
    """The served model's name in the metrics; None where the scraped address is enough."""
    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    """Further labels, all of which must be equal."""

    @override
    def __str__(self) -> str:
        parts = {"model": self.model, "namespace": self.namespace, **self.labels}
        given = [f"{key} {value!r}" for key, value in parts.items() if value is not None]
        return ", ".join(given) or "any model"


def matchers(
    preset: Preset, scope: Scope, *, namespace_label: str | None, labels: Mapping[str, str]
) -> dict[str, str]:
    """Label → value that every series of the workload has; `labels` are the operator's own.

    The model is left out where some of the preset's series do not carry it (a pool's), and for the
    reader to sort out.
    """
    found = {}
    if scope.model is not None and preset.all_by_model:
        found[preset.model_label] = scope.model
    if scope.namespace is not None and namespace_label is not None:
        found[namespace_label] = scope.namespace
    for label, value in scope.labels.items():
        if not _LABEL_NAME.fullmatch(label):
            raise SourceMisconfiguredError(f"{label!r} is no label name")
        # A tenant's label narrows the scope and never replaces what the operator or we set.
        if found.get(label, value) != value or labels.get(label, value) != value:
            raise SourceMisconfiguredError(
                f"label {label!r} is set by the source, not by a trigger"
            )
        found[label] = value
    return {**found, **labels}


def selector(names: Mapping[str, str], equal: Mapping[str, str]) -> str:
    """PromQL for the series of these names whose labels have these values."""
    # Plain alternatives, no character classes: Prometheus looks those up in its index as a set.
    parts = [f'__name__=~"{"|".join(names)}"']
    parts += [f'{label}="{_escaped(value)}"' for label, value in sorted(equal.items())]
    return "{" + ",".join(parts) + "}"


def duration(seconds: float) -> str:
    """A PromQL duration, to the millisecond."""
    return f"{round(seconds * 1000)}ms"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
