"""The part of a source's series that belongs to one workload."""

from dataclasses import dataclass

from typing_extensions import override

from scaler.errors import SourceMisconfiguredError


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The labels of one workload in its metrics.

    The three parts are kept apart: a tenant writes `labels` and never the namespace, so a label
    must not replace the namespace in a query or in a comparison of two scopes.
    """

    namespace: str | None = None
    """Of the ScaledObject. None reads all namespaces; only the operator can ask for that."""
    model: str | None = None
    """The served model's name in the metrics; None where the scraped address is enough."""
    labels: tuple[tuple[str, str], ...] = ()
    """The trigger's further labels, all of which must be equal."""

    def __post_init__(self) -> None:
        # In PromQL an empty value matches all series that lack the label.
        if self.namespace == "" or self.model == "":
            raise SourceMisconfiguredError("an empty namespace or model name selects nothing")

    @override
    def __str__(self) -> str:
        parts = [("model", self.model), ("namespace", self.namespace), *self.labels]
        return ", ".join(f"{key} {value!r}" for key, value in parts if value) or "any model"
