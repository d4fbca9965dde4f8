"""docs/policies-reference.md, from the schema."""

from collections.abc import Iterator
from typing import Any, Final

import yaml

from policies.policy.cross_rules import PolicyPart
from policies.policy.described import DescribedField, fields_of
from policies.policy.schema import CapacityPolicy, CapacityPolicySpec

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
            inner = fields_of(field.group)
            parts.append(
                _section(place, f"{place}.", inner, above=field, rules=_rules(field.group))
            )
    parts.append("## Rules across fields of spec\n\n" + _rules(CapacityPolicySpec))
    return "\n".join(parts)


def _section(
    title: str,
    prefix: str,
    fields: list[DescribedField],
    *,
    above: DescribedField | None = None,
    rules: str = "",
) -> str:
    about = f"{above.meaning}\n\n" if above else ""
    if above and above.default:
        about += f"Default: `{_written(above.default)}`.\n\n"
    rows = "\n".join(_rows(prefix, fields))
    return f"## {title}\n\n{about}{_TABLE}\n{rows}\n" + (f"\n{rules}" if rules else "")


def _rows(prefix: str, fields: list[DescribedField]) -> Iterator[str]:
    for field in fields:
        inside_rule = prefix.startswith("spec.rules")
        if field.group is not None and not field.is_list and not (inside_rule and _as_above(field)):
            yield from _rows(f"{prefix}{field.key}.", fields_of(field.group))
            continue
        allowed = field.allowed or "a group of keys"
        yield (
            f"| `{prefix}{field.key}` | {field.meaning} | {_default(field)} | {_cell(allowed)} |"
        )


def _as_above(field: DescribedField) -> bool:
    """Whether a rule's group has a section of its own under spec."""
    return field.key in {one.key for one in fields_of(CapacityPolicySpec)}


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
