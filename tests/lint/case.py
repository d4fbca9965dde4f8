"""A case of a rule: manifests that it objects to, where, and the same ones mended."""

from dataclasses import dataclass

from tests.lint.manifests import (
    METADATA,
    SCALED,
    TRIGGER,
    Manifest,
    edited,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """One rule's."""

    rule: str
    found: tuple[Manifest, ...]
    at: str
    """The field that the finding names."""
    clean: tuple[Manifest, ...]
    says: str = ""
    """Words of the message."""
    live: bool = False
    node_lead_seconds: float | None = None


def case(
    rule: str,
    at: str,
    found: Manifest | tuple[Manifest, ...],
    clean: Manifest | tuple[Manifest, ...],
    **more: object,
) -> Case:
    pairs = (one if isinstance(one, tuple) else (one,) for one in (found, clean))
    bad, good = pairs
    return Case(rule=rule, at=at, found=bad, clean=good, **more)  # type: ignore[arg-type]


def scaled(**changes: object) -> Manifest:
    """A ScaledObject with other fields of its spec."""
    return edited(SCALED, {f"spec {name}": value for name, value in changes.items()})


def trigger(**changes: object) -> Manifest:
    return edited(SCALED, {f"{TRIGGER} {name}": value for name, value in changes.items()})


def metadata(**changes: object) -> Manifest:
    return edited(SCALED, {f"{METADATA} {name}": value for name, value in changes.items()})
