"""docs/policies-reference.md, from the schema."""

from collections.abc import Iterator
from typing import Any, Final

import yaml

from policies.policy.cross_rules import PolicyPart
from policies.policy.described import DescribedField, fields_of
from policies.policy.schema import CapacityPolicy, CapacityPolicySpec, PoolRule, PoolSettings

_HEAD: Final = """\
# Reference: CapacityPolicy

A CapacityPolicy says when GPU nodes are ordered ahead, held and let go. It is read from files, from
a folder such as a mounted ConfigMap, or from the custom resource of
[deploy/crds](../deploy/crds/capacitypolicies.yaml); the keys are the same. Nothing has to be given
but a name. Write durations as `90s`, `15m`, `1h30m` or `1d`.

`foresail policy show FILE` reports all faults at once, each with its line; with `--pool NAME` it
shows what holds for a pool, and which rule says so. `latency-first`, `balanced` and `cost-first`
are ready-made policies: `foresail policy print balanced` prints one to start from.
"""
_TABLE: Final = "| key | meaning | default | allowed |\n|---|---|---|---|"


def reference() -> str:
    """The page."""
    top = [field for field in fields_of(CapacityPolicy) if field.group is not CapacityPolicySpec]
    parts = [_HEAD, _section("The object", "", top)]
    spec = fields_of(CapacityPolicySpec)
    parts.append(_section("spec", "spec.", [field for field in spec if field.group is None]))
    for field in spec:
        if field.group is not None:
            place = f"spec.{field.key}{'[]' if field.is_list else ''}"
            parts.append(_section(place, f"{place}.", _own(field.group), above=field))
    parts.append("## Rules across fields of spec\n\n" + _rules(CapacityPolicySpec))
    return "\n".join(parts)


def _section(
    title: str,
    prefix: str,
    fields: list[DescribedField],
    *,
    above: DescribedField | None = None,
) -> str:
    about, below = "", ""
    if above is not None and above.group is not None:
        default = f"Default: `{_written(above.default)}`.\n\n" if above.default else ""
        about = f"{above.meaning}\n\n{default}"
        below = "".join(f"\n{text}" for text in (_rules(above.group), _again(above.group)) if text)
    rows = "\n".join(_rows(prefix, fields))
    return f"## {title}\n\n{about}{_TABLE}\n{rows}\n{below}"


def _own(group: type[PolicyPart]) -> list[DescribedField]:
    """The keys of a group; of a rule those that are not settings of spec too."""
    again = PoolSettings.model_fields if group is PoolRule else {}
    named = {field.alias for field in again.values()}
    return [field for field in fields_of(group) if field.key not in named]


def _again(group: type[PolicyPart]) -> str:
    if group is not PoolRule:
        return ""
    keys = ", ".join(f"`{field.alias}`" for field in PoolSettings.model_fields.values())
    return f"Beside these a rule takes {keys}, as in spec.\n"


def _rows(prefix: str, fields: list[DescribedField]) -> Iterator[str]:
    for field in fields:
        if field.group is not None and not field.is_list:
            yield from _rows(f"{prefix}{field.key}.", fields_of(field.group))
            continue
        allowed = _cell(field.allowed)
        yield f"| `{prefix}{field.key}` | {field.meaning} | {_default(field)} | {allowed} |"


def _default(field: DescribedField) -> str:
    if field.required:
        return "required"
    return "none" if field.default is None else f"`{_written(field.default)}`"


def _written(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...")


def _rules(group: type[PolicyPart]) -> str:
    """What the group refuses of fields that do not go together."""
    if not group.cross_rules:
        return ""
    rows = "\n".join(f"| {rule.message} | `{_cell(rule.cel)}` |" for rule in group.cross_rules)
    return f"| refused with | unless |\n|---|---|\n{rows}\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
