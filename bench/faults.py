"""`python -m bench faults`: what each fault costs, and what it costs everybody else.

Each row is a fault, with what is expected and what is observed: numbers go through the shipped
reader, forecasters and plans in simulated time; sources and servers are real processes on loopback;
other faults are injected by tests, and those of `make e2e` need its programs (FORESAIL_BED). A row
that was not run is never ok.

With --page the rows become the page "When things fail"; rows of earlier runs come from --rows.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.progress import Progress

from bench import (
    _faults_numbers,
    _faults_process,
    _faults_sources,
    _faults_tenants,
    _faults_tests_cluster,
    _faults_tests_serve,
)
from bench._faults_page import page
from bench._faults_row import ByTest, Fault, Observed
from bench._faults_tested import observed_by_tests
from bench._report import Row, show


def faults() -> list[Fault]:
    """All of them, in the order of the page."""
    return [
        *_faults_tests_serve.faults(),
        *_faults_numbers.faults(),
        *_faults_sources.faults(),
        *_faults_tenants.faults(),
        *_faults_process.faults(),
        *_faults_tests_cluster.faults(),
    ]


def main(arguments: list[str]) -> None:
    known = faults()
    parser = _parser(known)
    options = parser.parse_args(arguments)
    before = _rows_of(options.rows)
    chosen = [one for one in known if _chosen(one, options) and one.name not in before]
    observed: dict[str, Observed] = {}
    with Progress(transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("faults", total=len(chosen))
        for name, found in _observations(chosen):
            observed[name] = found
            bar.advance(task)
    rows = [
        before[one.name] if one.name in before else row(one, observed[one.name])
        for one in known
        if one.name in before or one.name in observed
    ]
    show("faults", vars(options), rows, options.json)
    if options.page is not None:
        ran = {each["fault"] for each in rows if each["ok"] is not None}
        missing = [one.name for one in known if one.name not in ran]
        if missing:
            parser.error(f"--page {options.page}: these were not run: {', '.join(missing)}")
        options.page.write_text(page(known, rows), encoding="utf-8")
    if any(each["ok"] is False for each in rows):
        sys.exit(1)


def _observations(chosen: Sequence[Fault]) -> Iterator[tuple[str, Observed]]:
    for one in chosen:
        if not isinstance(one.run, ByTest):
            yield one.name, one.run()
    yield from observed_by_tests(chosen)


def _chosen(fault: Fault, options: argparse.Namespace) -> bool:
    is_named = options.only is None or fault.name in options.only
    return is_named and options.part in {None, fault.part}


def row(fault: Fault, observed: Observed) -> Row:
    """A fault as the table has it."""
    found = asdict(observed)
    return {
        "fault": fault.name,
        "part": fault.part,
        "expected": fault.expected,
        "observed": found.pop("text"),
        **found,
    }


def _rows_of(files: Sequence[Path]) -> Mapping[str, Row]:
    """Rows that earlier runs wrote, by fault; the last file has the last word."""
    rows = [each for file in files for each in json.loads(file.read_text("utf-8"))["rows"]]
    return {each["fault"]: each for each in rows if each["ok"] is not None}


def _parser(known: Sequence[Fault]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench faults", description=__doc__)
    names = [one.name for one in known]
    parts = list(dict.fromkeys(one.part for one in known))
    parser.add_argument(
        "--only", choices=names, metavar="NAME", nargs="+", help=f"of {', '.join(names)}"
    )
    parser.add_argument("--part", choices=parts, metavar="PART", help=f"one of {', '.join(parts)}")
    parser.add_argument("--json", type=Path, help="the rows as JSON, to this file")
    parser.add_argument(
        "--rows", type=Path, nargs="+", default=[], help="JSON of earlier runs: these rows stand"
    )
    parser.add_argument("--page", type=Path, help="the page with all rows, to this file")
    return parser
