"""Late machines as lines, and learned lead times as tables and JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from fleet.account.lead_times import LeadTimes, NodeLeadTime, Spread
from fleet.account.places import Place
from fleet.account.stage_durations import NODE_STAGES
from fleet.account.watchdog import DELETED, LateMachine
from fleet.cluster.owners import Workload
from foresail.gpus.starts import ClusterStarts
from scaler.durations import format_duration

_LATE_SHOWN = 8
_NAME_LEAST = 8
_BETWEEN = 1
_FRAME = 2
"""Columns that a table takes between its cells, and around them."""
_WAITS_FOR = {
    "launched": "no machine is launched",
    "registered": "not registered",
    "node ready": "its kubelet is not ready",
    "initialized": "not initialized",
    "GPUs": "no GPUs for pods",
    DELETED: "being deleted",
}
_HEADS = ("seen", "launch", "join", "ready", "init", "GPUs", "all", "p90", "p99", "fail", "mean")
_LEGEND = (
    "launch … GPUs: half of the machines take no longer for a stage; all: from order to GPUs; "
    "p90, p99, mean: of that, failed launches included; seen: starts of machines, 0 = as places "
    "around it and as published"
)


def late_lines(starts: Sequence[ClusterStarts]) -> list[str]:
    """A line for each late machine, the first of many."""
    several = len(starts) > 1
    found = [
        f"late: {one.cluster}: {_line(late)}" if several else f"late: {_line(late)}"
        for one in starts
        for late in one.late
    ]
    more = len(found) - _LATE_SHOWN
    judged = [
        f"{one.cluster} is judged at {_moment(one.at_seconds)}, the newest time stamp in its record"
        for one in starts
        if one.late and one.recorded
    ]
    return [*found[:_LATE_SHOWN], *([f"late: {more} more: --json"] if more > 0 else []), *judged]


def late_payload(starts: Sequence[ClusterStarts]) -> list[dict[str, object]]:
    """All late machines as JSON."""
    return [
        {"cluster": one.cluster, "at": _moment(one.at_seconds), **asdict(late)}
        for one in starts
        for late in one.late
    ]


def lead_time_tables(starts: Sequence[ClusterStarts], columns: int) -> list[RenderableType]:
    """Tables of machines and of models, one of each for a cluster.

    Args:
        starts: of each cluster.
        columns: the width of the terminal; a narrow one shortens names, never numbers.
    """
    parts: list[RenderableType] = []
    for one in starts:
        title = f"lead times of {one.cluster}" if len(starts) > 1 else "lead times"
        parts.append(_machines(title, one.lead_times, columns))
        loads = _loads(one.lead_times)
        if loads is not None:
            parts.append(loads)
    return [*parts, Text(_LEGEND, style="dim")] if parts else parts


def lead_time_payload(starts: Sequence[ClusterStarts]) -> list[dict[str, object]]:
    """All lead times as JSON."""
    return [
        {
            "cluster": one.cluster,
            "places": [_place_payload(one.lead_times.at(place)) for place in one.lead_times.places],
            "loads": [
                {"workload": asdict(workload), **asdict(one.lead_times.load_of(workload))}
                for workload in _workloads(one.lead_times)
            ],
        }
        for one in starts
    ]


def _place_payload(found: NodeLeadTime) -> dict[str, object]:
    stages = [{"stage": name, **asdict(spread)} for name, spread in found.stages.items()]
    return {**asdict(found), "stages": stages}


def _line(late: LateMachine) -> str:
    of = [late.instance_type, f"pool {late.pool}" if late.pool else None]
    known = ", ".join(filter(None, of))
    why = f", {late.reason}" if late.reason else ""
    usual = (
        f"usually {format_duration(late.normal_seconds)} at most"
        if late.normal_seconds is not None
        else f"late after {format_duration(late.limit_seconds)}"
    )
    return (
        f"{late.machine}{f' ({known})' if known else ''}: {_WAITS_FOR[late.stage]} for "
        f"{format_duration(late.seconds)}{why}; {usual}; "
        f"{_by_itself(late)}; {_cost(late)}"
    )


def _by_itself(late: LateMachine) -> str:
    if late.node_claim is None:
        return "it has no NodeClaim"
    match late.karpenter_ends_it_in_seconds:
        case None if late.stage == DELETED:
            return "Karpenter waits for its pods without a limit"
        case None:
            return "Karpenter has no limit for this"
        case 0:
            return "Karpenter is due to end it"
        case seconds:
            return f"Karpenter ends it in {format_duration(seconds)}"


def _cost(late: LateMachine) -> str:
    if late.usd_per_hour is None or late.usd_so_far is None:
        return "$?/h"
    if late.usd_per_hour == 0:
        return "it costs nothing yet"
    return f"${late.usd_per_hour:,.2f}/h, ${late.usd_so_far:,.2f} so far"


def _machines(title: str, lead_times: LeadTimes, columns: int) -> Table:
    rows = [["(published)", *_row(LeadTimes(nodes=(), pods=()).at(Place()))]]
    for place in lead_times.places:
        found, around = lead_times.at(place), place.wider[:-1]
        if around and found.starts == lead_times.at(around[-1]).starts:
            continue  # it is all of the place around it
        rows.append(["  " * len(around) + _name(place), *_row(found)])
    table = Table(box=box.SIMPLE_HEAD, padding=0, title=title)
    table.title_justify = "left"
    numbers = zip(_HEADS, *(row[1:] for row in rows), strict=True)
    taken = sum(max(map(len, texts)) + _BETWEEN for texts in numbers)
    room = max(_NAME_LEAST, columns - taken - _FRAME)
    table.add_column("place", overflow="ellipsis", no_wrap=True, max_width=room)
    for head in _HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _row(found: NodeLeadTime) -> list[str]:
    whole = found.with_retries
    return [
        str(found.starts),
        *(_short(found.stages[stage].p50_seconds) for stage in NODE_STAGES),
        *_quantiles(whole),
        f"{found.failures.share:.0%}",
        _short(whole.mean_seconds),
    ]


def _quantiles(of: Spread) -> list[str]:
    """The median, p90 and p99; `≥` where it is only known to be longer than all that ended."""
    levels = ((0.5, of.p50_seconds), (0.9, of.p90_seconds), (0.99, of.p99_seconds))
    return [
        f"{'≥' if level > 1 - of.beyond_share else ''}{_short(seconds)}"
        for level, seconds in levels
    ]


def _name(place: Place) -> str:
    match len(place.wider):
        case 1:
            return place.pool or "(no pool)"
        case 2:
            return " ".join(filter(None, (place.instance_type or "?", place.capacity_type)))
        case _:
            return place.zone or "?"


def _loads(lead_times: LeadTimes) -> Table | None:
    workloads = _workloads(lead_times)
    if not workloads:
        return None
    table = Table(box=box.SIMPLE_HEAD, padding=0)
    table.add_column("pods of, from a node to ready", overflow="ellipsis", no_wrap=True)
    for head in ("seen", "unended", "p50", "p90", "p99"):
        table.add_column(head, justify="right", no_wrap=True)
    for workload in workloads:
        load = lead_times.load_of(workload)
        name = f"{workload.namespace}/{workload.name}"
        table.add_row(name, str(load.ended), str(load.unended), *_quantiles(load))
    return table


def _workloads(lead_times: LeadTimes) -> list[Workload]:
    known = {one.workload for one in lead_times.pods if one.workload is not None}
    return sorted(known, key=lambda one: (one.namespace, one.name, one.kind))


def _short(seconds: float) -> str:
    """In seconds, minutes or hours, with two or three digits."""
    for unit, name in ((1, "s"), (60, "m")):
        if round(seconds / unit) < 100:  # noqa: PLR2004
            digits = 1 if unit > 1 and seconds / unit < 10 else 0  # noqa: PLR2004
            return f"{seconds / unit:.{digits}f}{name}"
    return f"{seconds / 3600:.1f}h"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
