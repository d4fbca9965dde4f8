"""All rules, and the table of the documentation that they make.

A rule is found because it stands in a module of `policies.lint.rules`: adding one touches its file
and the table that is generated from it.
"""

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from typing import Final

from policies.lint import rules
from policies.lint.rule import Rule

FILE_RULES: Final = {
    "FS001": "a file or a document that cannot be read",
    "FS002": "a key that stands twice in a mapping; the last one counts",
    "FS003": "an ignored rule that does not exist",
}
"""What is said of files themselves; no rule looks for it in an object."""
GROUPS: Final = {
    "1": "ScaledObjects, and the HPAs below them",
    "2": "Karpenter's NodePools and NodeClaims",
    "3": "kube-scheduler's configuration",
    "4": "CapacityPolicies",
    "5": "Pods, buffers, disruption budgets and claims",
    "6": "Other controllers of the same objects",
}
"""By the first digit of the id."""


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, by id.

    Two rules with one id are a mistake that the tests find.
    """
    found: list[Rule] = []
    for module in pkgutil.iter_modules(rules.__path__):
        made = importlib.import_module(f"{rules.__name__}.{module.name}")
        found += [value for value in vars(made).values() if isinstance(value, Rule)]
    return tuple(sorted(found, key=lambda one: one.id))


def known_ids() -> frozenset[str]:
    return frozenset(FILE_RULES) | {one.id for one in all_rules()}


def reference() -> str:
    """The tables of docs/lint.md."""
    return "\n\n".join("\n".join(_group(digit, title)) for digit, title in GROUPS.items())


def _group(digit: str, title: str) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield "| rule | severity | found | why | fix | source |"
    yield "|---|---|---|---|---|---|"
    for one in all_rules():
        if one.id[2] == digit:
            cells = (one.what, one.why, one.fix, one.source)
            shown = " | ".join(cell.replace("|", "\\|") for cell in cells)
            yield f'| <a id="{one.id.lower()}"></a>{one.id} | {one.severity} | {shown} |'
