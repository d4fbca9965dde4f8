"""Findings as text, JSON, SARIF 2.1.0 and GitHub annotations."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Final
from urllib.parse import quote

from policies.lint.finding import DOCS, Finding, Severity
from policies.lint.objects import printable
from policies.lint.registry import FILE_RULES, all_rules

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_COMMANDS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All findings, and of how much."""

    findings: Sequence[Finding]
    files: int
    """0 = of a live cluster."""
    objects: int
    notes: Sequence[str]
    """What was left out."""


def message(one: Finding) -> str:
    """The words of a finding."""
    match one.rule:
        case "FS001":
            return f"cannot be read: {one.why}"
        case "FS002":
            return f"{one.subject}: {one.why}; {one.do}"
        case _:
            return one.message


def as_text(report: Report) -> str:
    """Lines grouped by file, and a last one that counts."""
    lines: list[str] = []
    for file, found in groupby(report.findings, key=lambda one: one.file):
        lines.append(printable(file))
        for one in found:
            line = "" if one.line is None else str(one.line)
            lines.append(f"{line:>6}  {one.severity:<7}  {one.rule}  {message(one)}")
        lines.append("")
    lines += [f"note: {note}" for note in report.notes]
    return "\n".join((*lines, _summary(report))) + "\n"


def _summary(report: Report) -> str:
    counted = _counted(report.objects, "object")
    whole = f"{_counted(report.files, 'file')}, {counted}" if report.files else counted
    if not report.findings and not report.objects:
        return f"nothing was checked: {whole}"
    if not report.findings:
        return f"in order: {whole}, {len(all_rules())} rules"
    counts = [
        _counted(sum(one.severity is severity for one in report.findings), name)
        for severity, name in (
            (Severity.ERROR, "error"),
            (Severity.WARNING, "warning"),
            (Severity.INFO, "hint"),
        )
    ]
    first = next((one.rule for one in report.findings if one.rule not in FILE_RULES), None)
    hint = f"; `foresail lint --explain {first}` says why" if first else ""
    return f"{', '.join(counts)} in {whole}{hint}"


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def as_json(report: Report) -> dict[str, Any]:
    return {
        "findings": [
            {**asdict(one), "message": message(one), "docs": f"{DOCS}#{one.rule.lower()}"}
            for one in report.findings
        ],
        "files": report.files,
        "objects": report.objects,
        "notes": list(report.notes),
    }


def as_github(report: Report) -> str:
    """Workflow commands: GitHub shows them at the line of the change."""
    return "".join(
        f"::{_COMMANDS[one.severity]} {_properties(one)}::{_data(message(one))}\n"
        for one in report.findings
    )


def _properties(one: Finding) -> str:
    place = {"file": one.file, "line": one.line, "title": one.rule}
    given = (f"{name}={_property(value)}" for name, value in place.items() if value is not None)
    return ",".join(given)


def _data(value: object) -> str:
    return str(value).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: object) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")


def as_sarif(report: Report, version: str) -> dict[str, Any]:
    """A SARIF 2.1.0 log with one run."""
    used = {one.rule for one in report.findings}
    rules = [*_file_rules(used), *_rules(used)]
    index = {one["id"]: place for place, one in enumerate(rules)}
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "foresail lint", "version": version, "rules": rules}},
                "columnKind": "unicodeCodePoints",
                "results": [_result(one, index[one.rule]) for one in report.findings],
            }
        ],
    }


def _rules(used: Iterable[str]) -> list[dict[str, Any]]:
    return [
        {
            "id": one.id,
            "shortDescription": {"text": one.what},
            "fullDescription": {"text": one.why},
            "help": {"text": f"{one.fix}. Source: {one.source}. {DOCS}#{one.id.lower()}"},
            "defaultConfiguration": {"level": _LEVELS[one.severity]},
        }
        for one in all_rules()
        if one.id in set(used)
    ]


def _file_rules(used: Iterable[str]) -> list[dict[str, Any]]:
    return [
        {
            "id": rule,
            "shortDescription": {"text": what},
            "defaultConfiguration": {"level": "error"},
        }
        for rule, what in FILE_RULES.items()
        if rule in set(used)
    ]


def _result(one: Finding, index: int) -> dict[str, Any]:
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": one.subject}]}
    if one.line is not None:
        location["physicalLocation"] = {
            "artifactLocation": {"uri": quote(one.file.replace("\\", "/"))},
            "region": {"startLine": one.line},
        }
    return {
        "ruleId": one.rule,
        "ruleIndex": index,
        "level": _LEVELS[one.severity],
        "message": {"text": message(one)},
        "locations": [location],
    }
