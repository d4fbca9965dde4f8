"""The first page as HTML: what needs somebody, all workloads, what the nodes cost and why."""

from collections.abc import Iterator, Sequence
from typing import Final

from foresail.console import cells
from foresail.console.listing import Asked, Listed, listed
from foresail.console.records import (
    ClusterRow,
    Fleet,
    Level,
    NodeRow,
    Nodes,
    ReasonCost,
    State,
    WorkloadRow,
)
from foresail.figures import UNKNOWN, gpus, partly

_NEEDY_MAX: Final = 5
_NODES_MAX: Final = 100
_REMARKS_MAX: Final = 8
_HEADS: Final = (
    ("workload", "workload", ""),
    ("demand", "demand, tokens/s", "number narrow-no"),
    ("planned", "planned", "number"),
    ("ready", "ready", "number"),
    ("", "objective", "narrow-no"),
    ("usd", "$ an hour", "number"),
    ("state", "state", "narrow-no"),
)


def summary_html(fleet: Fleet) -> str:
    """The figures of the whole fleet, what needs somebody, and what the GPUs are paid for."""
    return _old(fleet) + _tiles(fleet) + _needy(fleet) + _paid_for(fleet.nodes)


def search_html(characters_max: int) -> str:
    """The head of the list, with the field in which a reader types what to find."""
    return (
        f'<h2>Workloads</h2><input class="search" type="search" maxlength="{characters_max}" '
        'autocomplete="off" aria-label="Search workloads" '
        'placeholder="search: namespace, name, model, state">'
    )


def workloads_html(fleet: Fleet, asked: Asked) -> str:
    """One page of the list."""
    if fleet.plans_missing is not None and not fleet.workloads:
        return cells.missing(fleet.plans_missing)
    found = listed(fleet.workloads, asked)
    heads = "".join(_head(column, label, css, asked) for column, label, css in _HEADS)
    body = "".join(map(_row, found.rows))
    note = cells.missing(fleet.plans_missing) if fleet.plans_missing is not None else ""
    return (
        f'{note}<table class="workloads"><caption>{_found(found, len(fleet.workloads))}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{_pages(found)}"
    )


def nodes_html(fleet: Fleet) -> str:
    """The nodes, and the clusters."""
    nodes = fleet.nodes
    if nodes is None:
        why = cells.missing(fleet.nodes_missing or "no round was made yet")
        return cells.section("Nodes", why)
    old = _old(fleet)
    parts = [
        cells.section("Nodes", old + _nodes(nodes.rows)),
        cells.section("Clusters", old + _clusters(nodes.clusters)),
    ]
    if nodes.remarks:
        more = len(nodes.remarks) - _REMARKS_MAX
        shown = [*nodes.remarks[:_REMARKS_MAX], *([f"and {more} more"] if more > 0 else [])]
        items = "".join(f"<li>{cells.text(one)}</li>" for one in shown)
        parts.append(cells.section("Remarks", f'<ul class="remarks">{items}</ul>'))
    return "".join(parts)


def _old(fleet: Fleet) -> str:
    """Since when nodes and dollars are old; nothing where they are not."""
    return "" if fleet.nodes_old is None else cells.missing(f"nodes and dollars {fleet.nodes_old}")


def _tiles(fleet: Fleet) -> str:
    given = [*_workload_tiles(fleet), _cost_tile(fleet)]
    if fleet.nodes is not None:
        idle = [one for one in fleet.nodes.reasons if not one.serves]
        given.append(
            cells.tile(
                "do not serve",
                f"{_usd(idle)} <span>an hour</span>",
                f"{gpus(sum(one.gpus for one in idle))} GPUs",
            )
        )
    return cells.tiles(*given)


def _workload_tiles(fleet: Fleet) -> list[str]:
    rows = fleet.workloads
    if fleet.plans_missing is not None and not rows:
        return [cells.tile(name, UNKNOWN) for name in ("workloads", "replicas ready")]
    late = sum(row.objective_kept is False for row in rows)
    unknown = sum(row.objective_kept is None for row in rows)
    note = f"{late:,} miss their objective" if late else "none is known to miss its objective"
    if unknown:
        note += f"; {unknown:,} unknown"
    ready, planned = _sum([row.ready for row in rows]), _sum([row.planned for row in rows])
    return [
        cells.tile("workloads", f"{len(rows):,}", note),
        cells.tile("replicas ready", ready, f"of {planned} planned"),
    ]


def _cost_tile(fleet: Fleet) -> str:
    if fleet.nodes is not None:
        reasons = fleet.nodes.reasons
        note = f"{gpus(sum(one.gpus for one in reasons))} GPUs"
        return cells.tile("GPUs cost", f"{_usd(reasons)} <span>an hour</span>", note)
    rows = fleet.workloads
    known = [row.usd_per_hour for row in rows if row.usd_per_hour is not None]
    text = partly(cells.usd(sum(known)), len(rows) - len(known), len(rows)) if rows else UNKNOWN
    return cells.tile("replicas cost", f"{text} <span>an hour</span>")


def _sum(values: Sequence[int | None]) -> str:
    known = [value for value in values if value is not None]
    return partly(f"{sum(known):,}", len(values) - len(known), len(values))


def _usd(reasons: Sequence[ReasonCost]) -> str:
    known = sum(one.usd_per_hour or 0.0 for one in reasons)
    return partly(
        cells.usd(known),
        sum(one.unpriced_gpus for one in reasons),
        sum(one.gpus for one in reasons),
    )


def _needy(fleet: Fleet) -> str:
    needy = sorted(
        (row for row in fleet.workloads if row.state.level is not Level.OK),
        key=lambda row: (-row.state.level, -(row.demand or 0.0), row.title),
    )
    if not needy:
        if not fleet.workloads:
            return ""
        nothing = State(level=Level.OK, text="nothing needs you")
        return f'<p class="calm">{cells.state(nothing)}</p>'
    items = "".join(f"<li>{_link(row)} {cells.state(row.state)}</li>" for row in needy[:_NEEDY_MAX])
    more = len(needy) - _NEEDY_MAX
    below = f'<p class="about">and {more:,} more, first in the list below</p>' if more > 0 else ""
    return cells.section(f"Needs you: {len(needy):,}", f'<ul class="needy">{items}</ul>{below}')


def _head(column: str, label: str, css: str, asked: Asked) -> str:
    if not column:
        return f'<th scope="col" class="{css}">{label}</th>'
    order, arrow = "none", ""
    if column == asked.column:
        rising = (column == "workload") != asked.reverse
        order, arrow = ("ascending", "▲") if rising else ("descending", "▼")
    return (
        f'<th scope="col" class="{css}" aria-sort="{order}">'
        f'<button type="button" data-sort="{column}">{label}<i aria-hidden="true">{arrow}</i>'
        "</button></th>"
    )


def _link(row: WorkloadRow) -> str:
    return f'<a href="{cells.address(row)}">{cells.text(row.title)}</a>'


def _row(row: WorkloadRow) -> str:
    model = cells.text(row.model) if row.model is not None else "model unknown"
    about = f"{model} · {cells.text(row.mode or '?')}"
    return (
        f'<tr><th scope="row">{_link(row)}<small>{about}</small>'
        f'<small class="narrow-only">{cells.state(row.state)}</small></th>'
        f'<td class="number narrow-no">{cells.count(row.demand)}</td>'
        f'<td class="number">{cells.count(row.planned)}</td>'
        f'<td class="number">{cells.count(row.ready)}</td>'
        f'<td class="narrow-no">{cells.kept(row.objective_kept)}</td>'
        f'<td class="number">{cells.usd(row.usd_per_hour)}</td>'
        f'<td class="narrow-no wide-text">{cells.state(row.state)}</td></tr>'
    )


def _found(found: Listed, of: int) -> str:
    if found.found == of:
        return f"{of:,} {'workload' if of == 1 else 'workloads'}"
    return f"{found.found:,} of {of:,} workloads"


def _pages(found: Listed) -> str:
    if found.pages == 1:
        return ""
    before, after = found.page - 1, found.page + 1
    return (
        '<nav class="pages" aria-label="Pages of the list">'
        f"{_turn(before, 'Previous', possible=before >= 0)}"
        f"<span>page {found.page + 1} of {found.pages}</span>"
        f"{_turn(after, 'Next', possible=after < found.pages)}</nav>"
    )


def _turn(page: int, label: str, *, possible: bool) -> str:
    disabled = "" if possible else " disabled"
    return f'<button type="button" data-page="{page}"{disabled}>{label}</button>'


def _paid_for(nodes: Nodes | None) -> str:
    if nodes is None:
        return ""
    serving = [one for one in nodes.reasons if one.serves]
    about = f"{_usd(serving)} of {_usd(nodes.reasons)} an hour serve requests"
    return cells.section("What the GPUs are paid for", _reasons(nodes.reasons), about)


def _reasons(reasons: Sequence[ReasonCost]) -> str:
    most = max((one.gpus for one in reasons), default=0.0)
    rows = "".join(
        f'<tr class="{"serves" if one.serves else "idle"}"><th scope="row">{cells.text(one.reason)}'
        f'</th><td class="bar"><i style="width:{100 * one.gpus / most:.1f}%"></i></td>'
        f'<td class="number">{gpus(one.gpus)}</td><td class="number">{_usd([one])}</td></tr>'
        for one in reasons
        if most
    )
    head = (
        '<tr><th scope="col">reason</th><th scope="col" class="bar"></th>'
        '<th scope="col" class="number">GPUs</th><th scope="col" class="number">$ an hour</th></tr>'
    )
    return f'<table class="reasons"><thead>{head}</thead><tbody>{rows}</tbody></table>'


def _nodes(rows: Sequence[NodeRow]) -> str:
    if not rows:
        return cells.missing("no pool with GPUs is there")
    body = "".join(_node_rows(rows[:_NODES_MAX]))
    more = len(rows) - _NODES_MAX
    note = f'<p class="about">and {more:,} more: foresail advise</p>' if more > 0 else ""
    return (
        '<table class="nodes"><thead><tr><th scope="col">node</th>'
        '<th scope="col" class="narrow-no">pool</th><th scope="col" class="number">GPUs</th>'
        '<th scope="col" class="number">$ an hour</th><th scope="col">verdict</th></tr></thead>'
        f"<tbody>{body}</tbody></table>{note}"
    )


def _node_rows(rows: Sequence[NodeRow]) -> Iterator[str]:
    for row in rows:
        steps = "".join(f"<li>{cells.text(step)}</li>" for step in row.steps)
        head = f"<b>{cells.text(row.verdict)}</b> {cells.text(row.reason)}"
        told = f"<details><summary>{head}</summary><ul>{steps}</ul></details>" if steps else head
        yield (
            f'<tr><th scope="row">{cells.text(row.node)}</th>'
            f'<td class="narrow-no">{cells.text(row.pool)}</td>'
            f'<td class="number">{cells.text(row.used)}</td>'
            f'<td class="number">{cells.usd(row.usd_per_hour)}</td>'
            f'<td class="wide-text">{told}</td></tr>'
        )


def _clusters(rows: Sequence[ClusterRow]) -> str:
    body = "".join(
        f'<tr><th scope="row">{cells.text(row.name)}</th><td class="number">{gpus(row.gpus)}</td>'
        f'<td class="number">{_gpus(row.used)}</td><td class="number">{_gpus(row.free)}</td>'
        f'<td class="number">{_cluster_usd(row)}</td></tr>'
        for row in rows
    )
    return (
        '<table class="clusters"><thead><tr><th scope="col">cluster</th>'
        '<th scope="col" class="number">GPUs</th><th scope="col" class="number">used</th>'
        '<th scope="col" class="number">free</th><th scope="col" class="number">$ an hour</th>'
        f"</tr></thead><tbody>{body}</tbody></table>"
    )


def _cluster_usd(row: ClusterRow) -> str:
    return partly(cells.usd(row.usd_per_hour), row.unpriced_gpus, row.gpus)


def _gpus(value: float | None) -> str:
    return UNKNOWN if value is None else gpus(value)
