"""A rule: an id, words for people, and the function that looks.

The function's docstring says why, and stands in the table of the documentation.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import getdoc
from typing import Final

from policies.lint.finding import Fault, Severity
from policies.lint.objects import Inputs, Object

Check = Callable[[Object, Inputs], Iterable[Fault]]
_ID: Final = re.compile(r"FS[1-9][0-9]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule."""

    id: str
    severity: Severity
    on: frozenset[str]
    """Types of the objects that it looks at, as `group/Kind`."""
    what: str
    """The mistake, in a few words."""
    fix: str
    source: str
    """Where the behaviour is documented or can be read."""
    why: str
    check: Check


def rule(
    id: str,  # noqa: A002
    severity: Severity,
    *,
    on: str | Iterable[str],
    what: str,
    fix: str,
    source: str,
) -> Callable[[Check], Rule]:
    """Make a rule of the function below, whose docstring says why."""
    assert _ID.fullmatch(id), id

    def made(check: Check) -> Rule:
        why = getdoc(check)
        assert why, f"{id} does not say why"
        return Rule(
            id=id,
            severity=severity,
            on=frozenset([on] if isinstance(on, str) else on),
            what=what,
            fix=fix,
            source=source,
            why=" ".join(why.split()),
            check=check,
        )

    return made
