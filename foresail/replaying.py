"""`foresail replay`: a trace, one plan file, the rules to stand beside; a table, JSON, a page."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from foresail.replay_page import page
from foresail.replay_plan import ReplayPlan
from foresail.replay_report import FORESAIL, Report
from foresail.settings import validated
from replay.contest import ORACLE, Entry, Ground, by_policy, contest, knobs
from replay.frontier import at_attainment
from replay.oracle import RHOS
from replay.policies.catalogue import KINDS
from replay.race import Result
from replay.traces import Trace
from scaler.errors import ForesailError
from scaler.spelling import nearest

GENERATED_REPLICAS = 8.0
"""That generated traffic keeps busy on average: enough to see a rule at work."""


def tell(  # noqa: PLR0913 - the verb's options
    trace: Trace,
    *,
    scale_to: float | None,
    days: float | None,
    plan_file: Path | None,
    against: str,
    sweep: bool,
    seed: int,
    html: Path | None,
    json_file: Path | None,
    kept: Path | None,
) -> None:
    """Replay, print the table, write what was asked for."""
    names = rivals(against)
    plan = validated(plan_file, ReplayPlan) if plan_file else ReplayPlan()
    if scale_to is not None:
        replicas = plan.replicas.model_copy(update={"mean": scale_to})
        plan = plan.model_copy(update={"replicas": replicas})
    console = Console()
    for remark in _remarks(trace):
        console.print(remark, style="yellow", highlight=False)
    report = replay(
        trace, plan, against=names, seed=seed, sweep=sweep, days=days, kept=kept, console=console
    )
    console.print(table(report))
    if html:
        html.write_text(page(report), encoding="utf-8")
        console.print(f"report: {html}", highlight=False)
    if json_file:
        json_file.write_text(as_json(report), encoding="utf-8")


def label_of(text: str) -> tuple[str, str]:
    """`label=value`.

    Raises:
        ForesailError: it is not of that form.
    """
    label, equals, value = text.partition("=")
    if not (label and equals):
        raise ForesailError(f"--match {text!r} is not of the form LABEL=VALUE")
    return label, value


def _remarks(trace: Trace) -> Iterator[str]:
    if complaint := trace.complaint():
        yield complaint
    if trace.gaps:
        steps = len(trace.requests_per_second)
        yield (
            f"{trace.name}: nothing is known of {trace.gaps} of {steps} steps of"
            f" {trace.step_seconds:g} s; they are joined by straight lines"
        )


def rivals(text: str) -> list[str]:
    """Names of rules, or `all`.

    Raises:
        ForesailError: a name that is none of them.
    """
    if text == "all":
        return [name for name in KINDS if name != FORESAIL]
    names = [name for part in text.split(",") if (name := part.strip())]
    for name in names:
        if name not in KINDS:
            close = nearest(name, KINDS)
            hint = f"; did you mean {close}?" if close else ""
            message = f"--against {name!r} is no rule; there are {', '.join(KINDS)}, or all{hint}"
            raise ForesailError(message)
    return [name for name in dict.fromkeys(names) if name != FORESAIL]


def replay(  # noqa: PLR0913 - the verb's options
    trace: Trace,
    plan: ReplayPlan,
    *,
    against: Sequence[str],
    seed: int,
    sweep: bool,
    days: float | None,
    kept: Path | None,
    console: Console,
) -> Report:
    """Run everything that the report needs."""
    ground = Ground(
        trace=trace, platform=plan.platform(), replicas_mean=plan.replicas.mean, days_max=days
    )
    names = [FORESAIL, *against]
    entries = [
        Entry(ground=0, policy=name, knob=knob, seed=seed, marks=knob == KINDS[name].usual)
        for name in names
        for knob in knobs(name, sweep=sweep)
    ]
    entries += [Entry(ground=0, policy=ORACLE, knob=rho, seed=seed) for rho in RHOS]
    columns = (
        TextColumn("replaying {task.fields[name]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(entries), name=trace.name)
        results = contest([ground], entries, kept=kept, progress=lambda: progress.advance(task))
    found = by_policy(results, ground=0, seed=seed)
    return Report(
        course=ground.course(seed),
        attainment=plan.attainment,
        usual={
            name: next(result for result in found[name] if result.knob == KINDS[name].usual)
            for name in names
        },
        oracle=found[ORACLE],
        sweeps={name: found[name] for name in names} if sweep else {},
        gpu_usd_hour=plan.gpu_usd_hour,
    )


def table(report: Report) -> Table:
    """For a terminal."""
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 0), caption_justify="left")
    shown.add_column("policy", no_wrap=True)
    for head in ("in time", "TTFT p99", "lost", "GPU-h", "x oracle", "moves"):
        shown.add_column(head, justify="right", no_wrap=True)
    if report.sweeps:
        shown.add_column(f"at {report.attainment:.0%}*", justify="right", no_wrap=True)
        shown.caption = "* GPU-hours at that attainment, each rule's setting tuned in hindsight"
    for name, result in report.usual.items():
        best = report.best(result.attainment)
        cells = [
            name,
            f"{result.attainment:.2%}",
            f"{result.ttft_p99:.0f} s",
            f"{result.errors:,.0f}",
            f"{result.gpu_hours:,.1f}",
            f"{result.gpu_hours / best.gpu_hours:.2f}" if best else "-",
            f"{result.actions:,}",
        ]
        if report.sweeps:
            point = at_attainment(report.sweeps[name], report.attainment)
            cells.append(f"{point.gpu_hours:,.1f}" if point else "-")
        shown.add_row(*cells, style="bold" if name == FORESAIL else None)
    if best := report.best(report.attainment):
        at = f"{best.attainment:.2%}"
        cells = ["oracle", at, "", "", f"{best.gpu_hours:,.1f}", "1.00", ""]
        shown.add_row(*cells, *([f"{best.gpu_hours:,.1f}"] if report.sweeps else []), style="dim")
    return shown


def as_json(report: Report) -> str:
    """All results, and what they were made on."""
    course = report.course

    def told(result: Result) -> dict[str, object]:
        return {name: value for name, value in asdict(result).items() if name != "marks"}

    return json.dumps(
        {
            "trace": course.name,
            "seconds": course.seconds,
            "requests": float(course.arrivals.sum()),
            "attainment": report.attainment,
            "usual": {name: told(result) for name, result in report.usual.items()},
            "oracle": [told(result) for result in report.oracle],
            "sweeps": {
                name: [told(result) for result in results]
                for name, results in report.sweeps.items()
            },
        },
        indent=1,
    )
