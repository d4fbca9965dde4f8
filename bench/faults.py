"""`python -m bench faults`: what one bad number, source, tenant or signal costs everybody else.

Each row is a fault that was seen to stop planning, with what is expected now and what is observed.
Numbers go through the shipped reader, forecasters and plans in simulated time; sources and the
server are real processes on loopback.
"""

import argparse
import sys
from pathlib import Path

from rich.progress import Progress

from bench import _faults_numbers, _faults_process, _faults_sources, _faults_tenants
from bench._faults_row import Fault
from bench._report import Row, show


def main(arguments: list[str]) -> None:
    known = [
        *_faults_numbers.faults(),
        *_faults_sources.faults(),
        *_faults_tenants.faults(),
        *_faults_process.faults(),
    ]
    options = _parser(known).parse_args(arguments)
    chosen = [one for one in known if options.only in {None, one.name}]
    rows: list[Row] = []
    with Progress(transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("faults", total=len(chosen))
        for fault in chosen:
            rows.append(_row(fault))
            bar.advance(task)
    show("faults", vars(options), rows, options.json)
    if not all(row["ok"] for row in rows):
        sys.exit(1)


def _row(fault: Fault) -> Row:
    observed = fault.run()
    return {
        "fault": fault.name,
        "expected": fault.expected,
        "observed": observed.text,
        "wrong_scale_downs": observed.wrong_scale_downs,
        "lost": observed.lost,
        "recovered_seconds": observed.recovered_seconds,
        "ok": observed.ok,
    }


def _parser(known: list[Fault]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench faults", description=__doc__)
    names = [one.name for one in known]
    parser.add_argument("--only", choices=names, metavar="NAME", help=f"one of {', '.join(names)}")
    parser.add_argument("--json", type=Path, help="the rows as JSON, to this file")
    return parser
