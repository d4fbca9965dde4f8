"""Runs rules over objects, and leaves out what their authors asked to be left out.

An object's annotation `foresail.io/lint-ignore: FS104, FS201` holds for the object. The same words
in a comment hold for its line, or, where the comment has a line of its own, for the next one.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from policies.lint.finding import NOT_SET, Fault, Finding, Severity, field_name, shown
from policies.lint.objects import ABSENT, Inputs, Object
from policies.lint.pods import pods_in
from policies.lint.registry import all_rules, known_ids
from policies.lint.rule import Rule

IGNORE: Final = "foresail.io/lint-ignore"
FINDINGS_MAX: Final = 100
"""Of one rule and one object."""
_WORDS_MAX: Final = 600
"""Characters of what a rule says, and of its advice: a message stays under 2,000."""
_COMMENT: Final = re.compile(rf"(?P<before>.*)#\s*{re.escape(IGNORE)}:(?P<ids>.*)")
_ID: Final = re.compile(r"[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignores:
    """What comments of files say, by file and line."""

    lines: Mapping[tuple[str, int], frozenset[str]] = field(default_factory=dict)

    def holds(self, rule: str, file: str, line: int | None) -> bool:
        return line is not None and rule in self.lines.get((file, line), ())


def comments_in(text: str, file: str) -> dict[tuple[str, int], frozenset[str]]:
    """The rules that the comments of a text ignore, by line."""
    if IGNORE not in text:
        return {}
    found: dict[tuple[str, int], frozenset[str]] = {}
    pending: frozenset[str] = frozenset()
    for number, line in enumerate(text.split("\n"), start=1):
        ignored = _COMMENT.fullmatch(line.rstrip("\r"))
        ids = frozenset(_ID.findall(ignored["ids"])) if ignored else frozenset()
        if line.lstrip().startswith("#") or not line.strip():
            pending |= ids
            continue
        if pending | ids:
            found[file, number] = pending | ids
        pending = frozenset()
    return found


def findings(
    inputs: Inputs, ignores: Ignores, *, disabled: Collection[str] = ()
) -> Iterator[Finding]:
    """What the rules object to, in the order of the objects."""
    by_type = _by_type(disabled)
    for of in inputs.objects:
        rules = by_type.get(of.type)
        if rules is None:
            continue
        ignored = frozenset(ignored_by(of))
        for found in (*_of_object(of, inputs, rules), *_unknown_ignores(of, ignored)):
            wanted = found.rule not in ignored and found.rule not in disabled
            if wanted and not ignores.holds(found.rule, of.file, found.line):
                yield found


def _by_type(disabled: Collection[str]) -> Mapping[str, list[Rule]]:
    found: dict[str, list[Rule]] = {}
    for one in all_rules():
        if one.id not in disabled:
            for on in one.on:
                found.setdefault(on, []).append(one)
    return found


def _of_object(of: Object, inputs: Inputs, rules: Iterable[Rule]) -> Iterator[Finding]:
    for rule in rules:
        for fault in islice(rule.check(of, inputs), FINDINGS_MAX):
            yield found_in(of, fault, rule.id, rule.severity)


def found_in(of: Object, fault: Fault, rule: str, severity: Severity) -> Finding:
    value = of.at(fault.at)
    return Finding(
        rule=rule,
        severity=severity,
        subject=of.title,
        field=field_name(fault.at) or "object",
        value=NOT_SET if value is ABSENT else shown(value),
        why=_plain(fault.why),
        do=_plain(fault.do),
        file=of.file,
        line=of.line(fault.at),
    )


def _plain(words: str) -> str:
    """Cut, and without what a terminal would obey: rules quote names of objects."""
    plain = words if words.isprintable() else repr(words)[1:-1]
    return plain if len(plain) <= _WORDS_MAX else plain[:_WORDS_MAX] + "…"


def ignored_by(of: Object) -> Iterator[str]:
    """The rules that annotations ignore: of the object, and of the pods that it makes."""
    for annotations in (of.annotations, *(pod.annotations for pod in pods_in(of))):
        given = annotations.get(IGNORE)
        if isinstance(given, str):
            yield from _ID.findall(given)


def _unknown_ignores(of: Object, ignored: Iterable[str]) -> Iterator[Finding]:
    unknown = sorted(set(ignored) - known_ids())
    if unknown:
        fault = Fault(
            at=("metadata", "annotations", IGNORE),
            why=f"there is no rule {unknown[0][:32]}",
            do="docs/lint.md lists them",
        )
        yield found_in(of, fault, "FS003", Severity.WARNING)
