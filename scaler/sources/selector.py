"""The PromQL selector of a workload's series.

Model names, namespaces and label values come from tenants and are quoted in this module only. An
unescaped quote in a model name could select the metrics of all tenants.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from scaler.errors import SourceMisconfiguredError
from scaler.scope import Scope
from scaler.sources.preset import Preset

_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_INTERNAL: Final = "__"
"""Prefix of the label names that Prometheus reserves; `__name__` is one."""


def matchers(
    preset: Preset, scope: Scope, *, namespace_label: str | None, labels: Mapping[str, str]
) -> dict[str, str]:
    """Label → value that every series of the workload has; `labels` are the operator's own.

    The model is left out if some of the preset's series do not carry it (a pool's); the reader then
    selects by model.

    Raises:
        SourceMisconfiguredError: a label of the trigger or of the operator names what the scope
            sets.
    """
    found: dict[str, str] = {}
    reserved = {preset.model_label: "the model"}
    if namespace_label is not None:
        reserved[namespace_label] = "the namespace"
        if scope.namespace is not None:
            found[namespace_label] = scope.namespace
    if scope.model is not None and preset.all_by_model:
        found[preset.model_label] = scope.model
    for label, value in labels.items():
        if label in reserved:
            raise SourceMisconfiguredError(
                f"the source's label {label!r} holds {reserved[label]}: remove it from `labels`"
            )
        reserved[label] = "a label of the operator"
        found[label] = value
    return {**narrowing(scope, reserved), **found}


def narrowing(scope: Scope, reserved: Mapping[str, str]) -> dict[str, str]:
    """The trigger's labels, checked so that each can only narrow the selection.

    Args:
        scope: whose labels.
        reserved: labels that a trigger must not name, and the content of each.

    Raises:
        SourceMisconfiguredError: a label is reserved, comes twice or is no label.
    """
    found: dict[str, str] = {}
    for label, value in scope.labels:
        if not _LABEL_NAME.fullmatch(label) or label.startswith(_INTERNAL):
            raise SourceMisconfiguredError(f"matchLabels: {label!r} is no label name")
        if label in reserved:
            raise SourceMisconfiguredError(
                f"matchLabels: label {label!r} holds {reserved[label]} and is set by the source; "
                f"remove it from the trigger"
            )
        if label in found:
            raise SourceMisconfiguredError(f"matchLabels: label {label!r} is given twice")
        found[label] = value
    return found


def check_namespace(
    scope: Scope, allowed: Collection[str] | None, *, source: str, setting: str
) -> None:
    """Refuse a source whose series do not tell tenants apart to those that it is not for.

    Args:
        scope: who wants to read it.
        allowed: the namespaces that may; None = all.
        source: its name.
        setting: the key of the operator's settings that lists them.

    Raises:
        SourceMisconfiguredError: the namespace is not among them.
    """
    if allowed is not None and scope.namespace not in allowed:
        raise SourceMisconfiguredError(
            f"source {source!r}: objects of namespace {scope.namespace!r} may not read it; the "
            f"operator's settings list those that may ({setting})"
        )


def selector(
    names: Iterable[str],
    equal: Mapping[str, str],
    like: Mapping[str, str] | None = None,
    *,
    one_of: Mapping[str, Collection[str]] | None = None,
) -> str:
    """PromQL for the series of these names whose labels have these values.

    Args:
        like: label → regular expression that its whole value matches.
        one_of: label → values, one of which it has; "" is a label that is not there.
    """
    # Plain alternatives, no character classes: Prometheus looks those up in its index as a set.
    parts = [f'__name__=~"{"|".join(names)}"']
    for label, values in sorted({**{k: (v,) for k, v in equal.items()}, **(one_of or {})}.items()):
        first, *others = dict.fromkeys(values)
        if others:
            either = "|".join(re.escape(value) for value in (first, *others))
            parts.append(f'{label}=~"{_escaped(either)}"')
        else:
            parts.append(f'{label}="{_escaped(first)}"')
    parts += [f'{label}=~"{_escaped(value)}"' for label, value in sorted((like or {}).items())]
    return "{" + ",".join(parts) + "}"


def duration(seconds: float) -> str:
    """A PromQL duration, to the millisecond."""
    return f"{round(seconds * 1000)}ms"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
