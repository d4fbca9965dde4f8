"""Renders the fleet as tables for a terminal, and as JSON."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fleet.snapshot import FleetSnapshot
from fleet.tally import By, Row, tally, total
from foresail.figures import camel, dollars, gpus, partly
from foresail.gpus.start_table import (
    late_lines,
    late_payload,
    lead_time_payload,
    lead_time_tables,
)
from foresail.gpus.starts import ClusterStarts

_REMARKS_SHOWN = 8
_ENDS_SHOWN = 8
"""Of a cluster."""
_NAME_LEAST = 8
_BETWEEN = 2
_FRAME = 2
"""Columns that a table takes between its cells, and around them."""
_LEGEND = "frag.: free GPUs in NVLink islands partly in use; whole: islands wholly free"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The clusters that were read, and those that could not be."""

    snapshots: Sequence[FleetSnapshot]
    unreadable: Sequence[str]
    """Clusters that could not be read, with the reason."""
    at_seconds: float
    measured: bool
    """Whether idle GPUs were measured in any cluster."""
    remarks: Sequence[str] = ()
    """Remarks about the fleet, not about one cluster."""
    starts: Sequence[ClusterStarts] = ()
    with_lead_times: bool = False
    """Whether what was learned of starts is shown, beside the machines that are late."""


def render(fleet: Fleet, bys: Sequence[By], columns: int) -> RenderableType:
    """The tables and the notes below them.

    Args:
        bys: one table each.
        columns: the width of the terminal; a narrow one shortens names, never numbers.
    """
    whole = total(fleet.snapshots)
    parts: list[RenderableType] = [_table(fleet, by, whole, columns) for by in bys]
    if not all(by.of_pods for by in bys):
        parts.append(Text(_LEGEND, style="dim"))
    if By.POOL in bys:
        parts += [Text(line) for line in (*_brought_by(fleet), *_limits(fleet), *_ends(fleet))]
    parts += [Text(line, style="yellow") for line in _notes(fleet, whole)]
    if fleet.with_lead_times:
        parts += lead_time_tables(fleet.starts, columns)
    parts += [Text(line, style="bold red") for line in late_lines(fleet.starts)]
    parts += [Text(f"not shown: {line}", style="bold red") for line in fleet.unreadable]
    return Group(*parts)


def payload(fleet: Fleet, bys: Sequence[By]) -> dict[str, object]:
    """All data as JSON, with null for unknown values."""
    document = {
        "at": datetime.fromtimestamp(fleet.at_seconds, UTC).isoformat(timespec="seconds"),
        "total": _row_payload(total(fleet.snapshots)),
        "by": {by.value: [_row_payload(row) for row in tally(fleet.snapshots, by)] for by in bys},
        "clusters": [asdict(one) for one in fleet.snapshots],
        "not_shown": list(fleet.unreadable),
        "remarks": list(fleet.remarks),
        "late_machines": late_payload(fleet.starts),
        **({"lead_times": lead_time_payload(fleet.starts)} if fleet.with_lead_times else {}),
    }
    named = camel(document)
    assert isinstance(named, dict)
    return named


def _table(fleet: Fleet, by: By, whole: Row, columns: int) -> RenderableType:
    rows = tally(fleet.snapshots, by)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_footer=True)
    numbers = [
        [head, *(cell(row) for row in rows), cell(whole)]
        for head, cell in _columns(by, fleet.measured)
    ]
    taken = sum(max(map(len, texts)) + _BETWEEN for texts in numbers)
    room = max(_NAME_LEAST, columns - taken - _FRAME)
    table.add_column(by.value, "total", overflow="ellipsis", no_wrap=True, max_width=room)
    for head, *_, sum_of_all in numbers:
        table.add_column(head, sum_of_all, justify="right", no_wrap=True)
    for index, row in enumerate(rows, start=1):
        table.add_row(row.key, *(texts[index] for texts in numbers))
    return table


def _columns(by: By, measured: bool) -> list[tuple[str, Callable[[Row], str]]]:  # noqa: FBT001
    columns: list[tuple[str, Callable[[Row], str]]] = [
        ("GPUs", lambda row: gpus(row.gpus)),
        ("used", lambda row: partly(gpus(row.allocated), row.uses_unknown, row.gpus)),
        ("free", lambda row: partly(gpus(row.free), row.free_unknown, _not_used(row))),
        ("out", lambda row: partly(gpus(row.out), row.free_unknown, _not_used(row))),
    ]
    if measured:
        columns.append(("idle", _idle))
    if not by.of_pods:
        columns += [("frag.", _fragmented), ("whole", _islands)]
    columns.append(("$/h", _usd))
    if measured:
        columns.append(("$ unused", _unused))
    elif not by.of_pods:
        columns.append(("$ free", _free_usd))
    return columns


def _idle(row: Row) -> str:
    return partly(gpus(row.idle), row.idle_unknown, row.allocated + row.uses_unknown)


def _fragmented(row: Row) -> str:
    return partly(gpus(row.fragmented), row.islands_unknown, row.gpus)


def _islands(row: Row) -> str:
    return partly(f"{row.islands_whole}/{row.islands}", row.islands_unknown, row.gpus)


def _usd(row: Row) -> str:
    return partly(dollars(row.usd_per_hour), row.unpriced, row.gpus)


def _free_usd(row: Row) -> str:
    usd, unknown = dollars(row.free_usd_per_hour), row.free_usd_unknown
    return partly(usd, unknown, unknown if _free_is_unknown(row) else row.gpus)


def _not_used(row: Row) -> float:
    return round(row.gpus - row.allocated, 6)


def _free_is_unknown(row: Row) -> bool:
    """Whether of no GPU that is not in use it is known if it is free or out."""
    return row.free_unknown >= _not_used(row) > 0


def _unused(row: Row) -> str:
    """The price of free and idle GPUs together."""
    usd = row.free_usd_per_hour + row.idle_usd_per_hour
    if row.free_usd_unknown:
        return partly(dollars(usd), row.free_usd_unknown, row.gpus)
    return partly(dollars(usd), row.idle_unknown, row.gpus)


def _brought_by(fleet: Fleet) -> list[str]:
    """One line for each cluster that tells: who brings its nodes."""
    return [
        f"nodes of {one.cluster}: " + ", ".join(f"{each.nodes} {each.who}" for each in known)
        for one in fleet.snapshots
        if (known := [each for each in one.brought_by if each.who != "?"])
    ]


def _ends(fleet: Fleet) -> list[str]:
    """One line for each of the nodes that end next, whatever anybody does."""
    return [
        f"node {end.node} of {one.cluster} ends at {_utc(end.at_seconds)}: {end.why}"
        for one in fleet.snapshots
        for end in one.ends[:_ENDS_SHOWN]
    ]


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%MZ")


def _limits(fleet: Fleet) -> list[str]:
    """One line for each Karpenter pool with a limit on GPUs, also for pools without a node."""
    lines = []
    for one in fleet.snapshots:
        for pool in one.node_pools or ():
            if pool.gpus_limit is not None:
                has = sum(node.gpus for node in one.nodes if node.pool == pool.name)
                limit = f"{has:,} of {gpus(pool.gpus_limit)} GPUs that its limit allows"
                lines.append(f"pool {pool.name} of {one.cluster}: {limit}")
    return lines


def _notes(fleet: Fleet, whole: Row) -> list[str]:
    nodes = [node for one in fleet.snapshots for node in one.nodes]
    sources = sorted({node.price_source for node in nodes if node.price_source})
    notes = [f"prices: {source}" for source in sources]
    if fleet.snapshots and not nodes:
        notes.append("no node here has GPUs in its labels, resources or ResourceSlices")
    if whole.unpriced:
        notes.append(f"{gpus(whole.unpriced)} GPUs without a price; give some with --prices")
    if not fleet.measured and whole.allocated:
        notes.append("idle GPUs are not measured: name a Prometheus with --prometheus")
    counts = [one.waiting_gpus for one in fleet.snapshots]
    waiting = sum(count or 0.0 for count in counts)
    if waiting or None in counts:
        shown = partly(gpus(waiting), counts.count(None), len(counts))
        notes.append(f"{shown} GPUs are asked for by pods without a node")
    several = len(fleet.snapshots) > 1
    remarks = [
        *fleet.remarks,
        *(
            f"{one.cluster}: {remark}" if several else remark
            for one in fleet.snapshots
            for remark in one.remarks
        ),
    ]
    more = len(remarks) - _REMARKS_SHOWN
    return [*notes, *remarks[:_REMARKS_SHOWN], *([f"and {more} more: -o json"] if more > 0 else [])]


def _row_payload(row: Row) -> dict[str, object]:
    """A row as JSON; a sum of which every part is unknown is null."""
    unmeasured = row.idle_unknown >= row.allocated + row.uses_unknown > 0
    not_free = _free_is_unknown(row)
    unknown = {
        "allocated": row.uses_unknown >= row.gpus > 0,
        "free": not_free,
        "out": not_free,
        "idle": unmeasured,
        "fragmented": row.islands_unknown >= row.gpus > 0,
        "islands": row.islands_unknown >= row.gpus > 0,
        "islands_whole": row.islands_unknown >= row.gpus > 0,
        "usd_per_hour": row.unpriced >= row.gpus > 0,
        "free_usd_per_hour": not_free or row.free_usd_unknown >= row.gpus > 0,
        "idle_usd_per_hour": row.unpriced >= row.gpus > 0 or unmeasured,
    }
    return {key: None if unknown.get(key) else value for key, value in asdict(row).items()}
