"""The nodes under a replay as tables for a terminal, as JSON, and as a part of its page."""

from html import escape
from typing import Any

from rich import box
from rich.table import Table

from fleet.reasons import Reason
from foresail.replaying.node_plots import last_day, node_plot
from foresail.replaying.nodes import NodeReport, NodeRow
from foresail.replaying.nodes_verdict import node_verdict, usd
from replay.node_run import NodeOutcome
from scaler.durations import format_duration

_HEADS = ("GPU-h", "idle", "cost", "delayed", "min", "longest", "nodes")
_NOTE = (
    "idle: GPU-hours; delayed: pods that waited for a node; min: minutes of all of them;"
    " longest: of one pod; nodes: launched"
)


def node_table(report: NodeReport) -> Table:
    """Money and waits, one line a run."""
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 0), caption_justify="left", caption=_NOTE)
    shown.title, shown.title_justify = pool_line(report), "left"
    shown.add_column("replicas of", no_wrap=True)
    shown.add_column("nodes by", no_wrap=True)
    for head in _HEADS:
        shown.add_column(head, justify="right", no_wrap=True)
    for row in report.rows:
        shown.add_row(row.rule, row.by.removeprefix("policy "), *_cells(row.outcome))
    return shown


def reason_table(report: NodeReport) -> Table:
    """Idle GPU-hours by reason, one column a run; they add up."""
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 0))
    shown.add_column("idle GPU-hours", no_wrap=True)
    for row in report.rows:
        shown.add_column(f"{row.rule},\n{row.by}", justify="right")
    for reason in _reasons(report):
        hours = (row.outcome.idle_gpu_hours.get(reason, 0.0) for row in report.rows)
        shown.add_row(reason.value, *(f"{one:,.1f}" for one in hours))
    shown.add_row("total", *(f"{row.outcome.idle_hours:,.1f}" for row in report.rows))
    return shown


def pool_line(report: NodeReport) -> str:
    """What ran."""
    pool = report.governed.site.pool
    after = pool.consolidate_after_seconds
    kept = "never" if after is None else format_duration(after)
    gpus = f"{pool.gpus_per_node} GPU{'s' if pool.gpus_per_node > 1 else ''}"
    return (
        f"Nodes of {gpus} at {usd(pool.usd_per_node_hour or 0.0)} an hour, consolidateAfter {kept}"
    )


def nodes_as_json(report: NodeReport) -> dict[str, Any]:
    """All that the tables have, in numbers."""
    governed, pool = report.governed, report.governed.site.pool
    return {
        "gpusPerNode": pool.gpus_per_node,
        "usdPerNodeHour": pool.usd_per_node_hour,
        "consolidateAfterSeconds": pool.consolidate_after_seconds,
        "policy": governed.policy,
        "rho": governed.rho,
        "usdPerDelayedMinute": governed.usd_per_delayed_minute,
        "verdict": list(node_verdict(report)),
        "remarks": report.remarks(),
        "runs": [_run(row) for row in report.rows],
    }


def _run(row: NodeRow) -> dict[str, Any]:
    outcome = row.outcome
    return {
        "replicasOf": row.rule,
        "nodesBy": row.by,
        "gpuHours": outcome.gpu_hours,
        "usedGpuHours": outcome.used_gpu_hours,
        "idleGpuHours": {reason.value: h for reason, h in outcome.idle_gpu_hours.items()},
        "usd": outcome.usd,
        "nodesLaunched": outcome.nodes_launched,
        "pods": outcome.pods,
        "delayedPods": outcome.delayed_pods,
        "delayedMinutes": outcome.delayed_minutes,
        "longestWaitSeconds": outcome.longest_wait_seconds,
    }


def node_section(report: NodeReport) -> str:
    """A part of the page: verdict, tables, and the last day in colours."""
    heads = "<th>replicas of<th class=name>nodes by" + "".join(f"<th>{head}" for head in _HEADS)
    rows = "".join(
        f"<tr><th>{escape(row.rule)}<th>{escape(row.by)}"
        + "".join(f"<td>{cell}" for cell in _cells(row.outcome))
        for row in report.rows
    )
    names = "".join(f"<th>{escape(row.rule)}<br>{escape(row.by)}" for row in report.rows)
    reasons = "".join(
        f"<tr><th>{escape(reason.value)}"
        + "".join(f"<td>{row.outcome.idle_gpu_hours.get(reason, 0.0):,.1f}" for row in report.rows)
        for reason in _reasons(report)
    )
    totals = "".join(f"<td>{row.outcome.idle_hours:,.1f}" for row in report.rows)
    return (
        f"<h2>Nodes and money</h2><p class=about>{escape(pool_line(report))}."
        f" {escape(' '.join(report.remarks()))}</p>"
        f"<p class=verdict>{'<br>'.join(map(escape, node_verdict(report)))}</p>"
        f"<table><thead><tr>{heads}</thead><tbody>{rows}</tbody></table>"
        f"<p class=about>{escape(_NOTE)}.</p>"
        f"<table><thead><tr><th>idle GPU-hours{names}</thead><tbody>{reasons}"
        f"<tr><th>total{totals}</tbody></table>"
        + "".join(_plotted(row, report) for row in report.rows)
    )


def _plotted(row: NodeRow, report: NodeReport) -> str:
    most = max(one.gpus for each in report.rows for one in last_day(each.outcome.minutes))
    day = last_day(row.outcome.minutes)
    plot = node_plot(f"GPUs of the last day: {row.rule}, {row.by}", day, gpus_max=most)
    return f"<h2>{escape(plot.title)}</h2><p class=legend>{plot.legend()}</p>{plot.svg()}"


def _reasons(report: NodeReport) -> list[Reason]:
    found = {reason for row in report.rows for reason in row.outcome.idle_gpu_hours}
    return [reason for reason in Reason if reason in found]


def _cells(outcome: NodeOutcome) -> list[str]:
    return [
        f"{outcome.gpu_hours:,.1f}",
        f"{outcome.idle_hours:,.1f}",
        usd(outcome.usd),
        f"{outcome.delayed_pods:,}/{outcome.pods:,}",
        f"{outcome.delayed_minutes:,.0f}",
        f"{outcome.longest_wait_seconds:.0f} s",
        f"{outcome.nodes_launched:,}",
    ]
