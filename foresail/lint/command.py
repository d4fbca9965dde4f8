"""`foresail lint`: reads manifests or a cluster, runs the rules, prints what they found."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Final

from foresail.lint.files import UNREADABLE as NO_MANIFEST
from foresail.lint.files import read_paths
from foresail.lint.output import Report, as_github, as_json, as_sarif, as_text
from policies.lint.finding import DOCS, Severity
from policies.lint.objects import Context, Inputs
from policies.lint.registry import FILE_RULES, all_rules, known_ids
from policies.lint.run import Ignores, findings
from scaler.errors import ForesailError
from scaler.sources.catalogue import gateways, load, shipped

IN_ORDER: Final = 0
UNREADABLE: Final = 1
FOUND: Final = 3
"""The statuses of promtool: 1 for what cannot be read, 3 for what a lint finds."""
_GRAVITY: Final = tuple(Severity)


class Format(StrEnum):
    """How findings are written."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"


@dataclass(frozen=True, slots=True, kw_only=True)
class LintOptions:
    """What the command line says."""

    paths: Sequence[str]
    live: bool
    context: str | None
    kubeconfig: Path | None
    format: Format
    disabled: Collection[str]
    fail_on: Severity
    node_lead_seconds: float | None


async def lint(options: LintOptions) -> tuple[str, int]:
    """What to print, and the status.

    Raises:
        ForesailError: the cluster cannot be read.
    """
    complete: frozenset[str] = frozenset()
    if options.live:
        from foresail.lint.live import read_live  # noqa: PLC0415 - the client takes a second

        live = await read_live(options.context, options.kubeconfig)
        objects, notes, complete = live.objects, live.failed, live.complete
        of_files, ignores, files, unreadable = [], Ignores(), 0, bool(notes)
    else:
        read = read_paths(options.paths)
        objects, notes, files = read.objects, read.notes, read.files
        of_files = [one for one in read.findings if one.rule not in options.disabled]
        ignores = Ignores(lines=read.ignored_lines)
        of_files = [one for one in of_files if not ignores.holds(one.rule, one.file, one.line)]
        unreadable = any(one.rule == NO_MANIFEST for one in of_files)
    context = Context(
        live=options.live,
        complete=complete,
        node_lead_seconds=options.node_lead_seconds,
        engines={name: load(name).survives_zero for name in shipped()},
        gateways=frozenset(gateways()),
    )
    of_objects = findings(
        Inputs(objects=objects, context=context), ignores, disabled=options.disabled
    )
    found = sorted(
        [*of_files, *of_objects],
        key=lambda one: (one.file, one.line or 0, _GRAVITY.index(one.severity), one.rule),
    )
    report = Report(findings=found, files=files, objects=len(objects), notes=notes)
    grave = _GRAVITY[: _GRAVITY.index(options.fail_on) + 1]
    if unreadable:
        status = UNREADABLE
    else:
        status = FOUND if any(one.severity in grave for one in found) else IN_ORDER
    return _written(report, options.format), status


def _written(report: Report, form: Format) -> str:
    match form:
        case Format.TEXT:
            return as_text(report)
        case Format.GITHUB:
            return as_github(report)
        case Format.JSON:
            return json.dumps(as_json(report), indent=1) + "\n"
        case Format.SARIF:
            return json.dumps(as_sarif(report, version("foresail")), indent=1) + "\n"


def checked_ids(given: Sequence[str]) -> frozenset[str]:
    """The rules of options such as `FS104,FS201`.

    Raises:
        ForesailError: one does not exist.
    """
    ids = {one.strip().upper() for text in given for one in text.split(",") if one.strip()}
    for one in sorted(ids - known_ids()):
        raise ForesailError(f"there is no rule {one[:32]!r}: {DOCS} lists them")
    return frozenset(ids)


def explained(rule_id: str) -> str:
    """Why a rule is one, and what to do.

    Raises:
        ForesailError: there is no such rule.
    """
    (asked,) = checked_ids([rule_id])
    for one in all_rules():
        if one.id == asked:
            return (
                f"{one.id} ({one.severity}): {one.what}\n{one.why}\n"
                f"fix: {one.fix}\nsource: {one.source}\n"
                f"looks at: {', '.join(sorted(one.on))}\n"
            )
    return f"{asked} (error): {FILE_RULES[asked]}\n"
