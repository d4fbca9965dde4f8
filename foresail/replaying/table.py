"""A replay as a table for a terminal, and as a document."""

from dataclasses import asdict

from rich import box
from rich.table import Table

from foresail.figures import camel
from foresail.replaying.nodes_shown import nodes_as_json
from foresail.replaying.report import FORESAIL, Report, percent
from foresail.replaying.verdict import verdict
from replay.frontier import at_attainment
from replay.simulate import Result


def table(report: Report) -> Table:
    """For a terminal."""
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 0), caption_justify="left")
    shown.add_column("policy", no_wrap=True)
    for head in ("in time", "TTFT p99", "lost", "GPU-h", "x oracle", "moves"):
        shown.add_column(head, justify="right", no_wrap=True)
    notes = ["x oracle: GPU-hours over the cheapest schedule found for the same share in time"]
    if report.sweeps:
        shown.add_column(f"at {percent(report.attainment)}*", justify="right", no_wrap=True)
        notes.append("* GPU-hours at that attainment, each rule's setting tuned in hindsight")
    shown.caption = "\n".join(notes)
    for name, result in report.usual.items():
        times = report.ratio(result)
        cells = [
            name,
            f"{result.attainment:.2%}",
            report.wait(result.ttft_p99),
            f"{result.errors:,.0f}",
            f"{result.gpu_hours:,.1f}",
            f"{times:.2f}" if times else "-",
            f"{result.actions:,}",
        ]
        if report.sweeps:
            point = at_attainment(report.sweeps[name], report.attainment)
            cells.append(f"{point.gpu_hours:,.1f}" if point else "-")
        shown.add_row(*cells, style="bold" if name == FORESAIL else None)
    if best := report.best():
        at = f"{best.attainment:.2%}"
        name = f"oracle at {percent(report.attainment)}" if report.is_valid else "oracle"
        cells = [name, at, "", "", f"{best.gpu_hours:,.1f}", "1.00", ""]
        shown.add_row(*cells, *([f"{best.gpu_hours:,.1f}"] if report.sweeps else []), style="dim")
    return shown


def as_document(report: Report) -> dict[str, object]:
    """All results, and what they were made on, for a machine."""
    replay_input = report.replay_input
    return {
        "trace": replay_input.name,
        "seconds": replay_input.seconds,
        "requests": float(replay_input.arrivals.sum()),
        "attainment": report.attainment,
        "replicasMax": replay_input.platform.replicas_max,
        "valid": report.is_valid,
        "limits": [asdict(limit) for limit in report.limits],
        "verdict": list(verdict(report)),
        "nodes": nodes_as_json(report.nodes) if report.nodes else None,
        "usual": {name: _fields_of(result) for name, result in report.usual.items()},
        "oracle": [_fields_of(result) for result in report.oracle],
        "sweeps": {
            name: [_fields_of(result) for result in results]
            for name, results in report.sweeps.items()
        },
    }


def _fields_of(result: Result) -> object:
    return camel({name: value for name, value in asdict(result).items() if name != "marks"})
