"""Renders the cost of a fleet as tables for a terminal, and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fleet.account.gpu_hours import Cost, Costs
from fleet.account.node import NodeGpus
from fleet.account.partition import parts_of
from fleet.reasons import Reason
from fleet.spend import Client, Spend
from foresail.cost_report import CostReport, ordered, summed
from foresail.figures import UNKNOWN, camel, dollars, gpus, partly
from scaler.durations import format_duration

MEANINGS: Final[Mapping[Reason, str]] = {
    Reason.SERVING: "of pods that are ready",
    Reason.IDLE: "of ready pods that did nothing",
    Reason.VETO: "of pods that are not ready",
    Reason.UNINITIALIZED: "paid for, and of no use yet",
    Reason.FRAGMENTATION: "free, beside used ones",
    Reason.FORECAST_HOLD: "empty, kept for the forecast",
    Reason.PRE_WARM: "ordered ahead, not used yet",
    Reason.WARM_FLOOR: "empty, kept by the schedule",
    Reason.GANG: "kept for all pods of a gang",
    Reason.BUDGET: "empty, beyond what a hold may cost",
    Reason.RESERVED: "empty, costs the same without use",
    Reason.HELD_BY_OTHERS: "empty, others do not let it go",
    Reason.NONE: "empty, Karpenter may take it",
    Reason.OUT: "no pod can have them",
    Reason.UNKNOWN: "not read",
}
"""Of the GPUs that have the reason; docs/cost.md says more of each."""
_TEXTS: Final = frozenset({"", "most of the rest"})
"""Heads of columns of words."""
_NAMELESS: Final = "(none)"
_UNNAMED: Final[Mapping[str, str]] = {
    "cluster": _NAMELESS,
    "pool": _NAMELESS,
    "generation": "unknown",
}
"""What rows are called whose nodes name no such thing."""
_NAME_LEAST: Final = 8
_BETWEEN: Final = 2
_FRAME: Final = 2
"""Columns that a table takes between its cells, and around them."""
_REMARKS_SHOWN: Final = 8
_CLIENTS_SHOWN: Final = 20
_CENT: Final = 0.005
_MILLION: Final = 1e6


def render(report: CostReport, columns: int) -> RenderableType:
    """The tables and the notes below them.

    Args:
        report: what to show.
        columns: the width of the terminal; a narrow one shortens names, never numbers.
    """
    parts: list[RenderableType] = [_by_reason(report, columns)]
    if len({series.cluster for series in report.costs}) > 1:
        parts.append(_by_place(report, "cluster", columns))
    parts += [_by_place(report, place, columns) for place in ("pool", "generation")]
    if report.models:
        parts.append(_by_model(report, columns))
    if report.spend:
        parts.append(_by_client(report, columns))
    parts += [Text(line, style="yellow") for line in _notes(report)]
    parts += [Text(f"not shown: {line}", style="bold red") for line in report.unreadable]
    return Group(*parts)


def payload(report: CostReport) -> dict[str, object]:
    """All data as JSON, with null for unknown values."""
    document = camel(
        {
            "at": datetime.fromtimestamp(report.at_seconds, UTC).isoformat(timespec="seconds"),
            "over_seconds": report.over_seconds,
            "total": _cost_payload(report.total),
            "reasons": [
                {"reason": reason.value, **_cost_payload(cost)}
                for reason, cost in report.reasons.items()
            ],
            "models": [
                {"model": model, **_cost_payload(cost), **_tokens_payload(report, model)}
                for model, cost in report.models.items()
            ],
            "clients": [
                {**asdict(client), **asdict(spend), "usd_per_million": spend.usd_per_million}
                for client, spend in _dearest(report.spend)
            ]
            if report.spend is not None
            else None,
            "series": [
                {**asdict(series), **_cost_payload(cost)} for series, cost in report.costs.items()
            ],
            "nodes": [_node_payload(cluster, node) for cluster, node in report.nodes],
            "not_shown": list(report.unreadable),
            "remarks": list(report.remarks),
        }
    )
    assert isinstance(document, dict)
    return document


def _by_reason(report: CostReport, columns: int) -> RenderableType:
    total = report.total
    rows = [
        [reason.value, *_figures(cost, total), MEANINGS[reason]]
        for reason, cost in report.reasons.items()
    ]
    return _table(
        ["reason", *_heads(report), ""], rows, ["total", *_figures(total, total), ""], columns
    )


def _by_place(report: CostReport, place: str, columns: int) -> RenderableType:
    """By cluster, pool or generation: how much of it serves, and why most of the rest does not."""
    total, rows = report.total, []
    for name, cost in ordered(summed(report.costs, lambda one: getattr(one, place))).items():
        here = {one: each for one, each in report.costs.items() if getattr(one, place) == name}
        rows.append([name or _UNNAMED[place], *_figures(cost, total), *_serving(here)])
    whole = ["total", *_figures(total, total), *_serving(report.costs)]
    return _table([place, *_heads(report), "serving", "most of the rest"], rows, whole, columns)


def _by_model(report: CostReport, columns: int) -> RenderableType:
    rows = [
        [model or _NAMELESS, *_figures(cost, report.total)[::2], *_tokens(report, model)]
        for model, cost in report.models.items()
    ]
    heads = ["model", *_heads(report)[::2], "M tokens", "$/M generated", "$/M all"]
    return _table(heads, rows, None, columns)


def _by_client(report: CostReport, columns: int) -> RenderableType:
    """What gateways booked for each client, beside what the GPUs of its model cost."""
    rows = []
    for client, spend in _dearest(report.spend or {})[:_CLIENTS_SHOWN]:
        price, model = spend.usd_per_million, report.tokens.get(client.model)
        of_gpus = model.usd_per_million if model else None
        rows.append(
            [
                f"{client.model} {client.team or UNKNOWN}/{client.key or UNKNOWN}",
                f"{spend.tokens / _MILLION:,.2f}",
                UNKNOWN if spend.usd is None else dollars(spend.usd),
                *(UNKNOWN if one is None else f"{one:,.2f}" for one in (price, of_gpus)),
            ]
        )
    heads = ["booked by a gateway for", "M tokens", "$/h", "$/M", "GPUs' $/M"]
    return _table(heads, rows, None, columns)


def _dearest(spend: Mapping[Client, Spend]) -> Sequence[tuple[Client, Spend]]:
    """The dearest first."""
    return sorted(spend.items(), key=lambda one: (-(one[1].usd or 0.0), one[0]))


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], whole: Sequence[str] | None, columns: int
) -> RenderableType:
    """A table of names, figures and, without a head of its own or as a text, a remark.

    Args:
        heads: of the columns; the first is of names.
        rows: the cells.
        whole: the cells of the last row; None = the rows do not add up to anything.
        columns: the width of the terminal.
    """
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_footer=whole is not None
    )
    cells = [heads, *rows, *([whole] if whole is not None else [])]
    widths = [max(len(row[at]) for row in cells) for at in range(1, len(heads))]
    room = max(_NAME_LEAST, columns - sum(width + _BETWEEN for width in widths) - _FRAME)
    ends = whole or [""] * len(heads)
    table.add_column(heads[0], ends[0], overflow="ellipsis", no_wrap=True, max_width=room)
    for head, end in zip(heads[1:], ends[1:], strict=True):
        is_text = head in _TEXTS
        table.add_column(
            head, end, justify="left" if is_text else "right", no_wrap=True,
            style="dim" if is_text else None,
        )  # fmt: skip
    for row in rows:
        table.add_row(*row)
    return table


def _heads(report: CostReport) -> list[str]:
    return ["GPUs", "share", "$/h"] if report.over_seconds is None else ["GPU-h", "share", "$"]


def _figures(cost: Cost, total: Cost) -> list[str]:
    return [gpus(round(cost.gpu_hours, 6)), _share(cost.gpu_hours, total.gpu_hours), _usd(cost)]


def _usd(cost: Cost) -> str:
    return partly(dollars(cost.usd), cost.unpriced_gpu_hours, cost.gpu_hours)


def _share(some: float, of_all: float) -> str:
    return f"{some / of_all:.0%}" if of_all else UNKNOWN


def _serving(here: Costs) -> list[str]:
    """The part of the GPUs that serves, and the reason of most of the others."""
    every = summed(here, lambda one: one.reason)
    total = sum(every.values(), Cost()).gpu_hours
    serves = every.get(Reason.SERVING, Cost()).gpu_hours
    unknown = every.get(Reason.UNKNOWN, Cost()).gpu_hours
    rest = {reason: cost for reason, cost in every.items() if reason is not Reason.SERVING}
    most = next(iter(ordered(rest)), "")
    return [partly(_share(serves, total), unknown, total), str(most)]


def _tokens(report: CostReport, model: str | None) -> list[str]:
    """Millions of generated tokens, and what a million costs."""
    found = report.tokens.get(model) if model is not None else None
    if found is None:
        return [UNKNOWN] * 3
    prices = (found.usd_per_million_generated, found.usd_per_million)
    millions = f"{found.tokens.generated / _MILLION:,.2f}"
    return [millions, *("none" if one is None else f"{one:,.2f}" for one in prices)]


def _notes(report: CostReport) -> list[str]:
    total, reserved = report.total, report.reserved_unused_usd
    notes = []
    if report.over_seconds is not None:
        notes.append(f"added up over {format_duration(report.over_seconds)}")
    if reserved >= _CENT:
        each = "an hour " if report.over_seconds is None else ""
        notes.append(
            f"reserved: ${dollars(reserved)} {each}of what does not serve would be paid without it "
            "too; it saves nothing to let it go"
        )
    notes += [f"prices of {gpus(count)} GPUs: {source}" for source, count in report.prices.items()]
    if total.unpriced_gpu_hours:
        notes.append(
            f"{gpus(round(total.unpriced_gpu_hours, 6))} {_heads(report)[0]} without a price; give "
            "some with --prices"
        )
    if not total.gpu_hours:
        notes.append("no GPU and no time, so nothing to pay")
    if report.spend and len(report.spend) > _CLIENTS_SHOWN:
        notes.append(f"and {len(report.spend) - _CLIENTS_SHOWN} more clients of gateways: -o json")
    more = len(report.remarks) - _REMARKS_SHOWN
    shown = report.remarks[:_REMARKS_SHOWN]
    return [*notes, *shown, *([f"and {more} more: -o json"] if more > 0 else [])]


def _cost_payload(cost: Cost) -> dict[str, object]:
    """A cost as JSON; dollars of which no part has a price are null."""
    unknown = cost.unpriced_gpu_hours >= cost.gpu_hours > 0
    return {
        "gpu_hours": cost.gpu_hours,
        "usd": None if unknown else cost.usd,
        "unpriced_gpu_hours": cost.unpriced_gpu_hours,
        "reserved_usd": None if unknown else cost.reserved_usd,
    }


def _node_payload(cluster: str, node: NodeGpus) -> dict[str, object]:
    """A node as the last reading found it; the name of a machine without one is its NodeClaim's."""
    return {
        "cluster": cluster,
        "node": node.node,
        "pool": node.pool,
        "generation": node.generation or node.product,
        "capacity_type": node.capacity_type,
        "gpus": node.gpus,
        "usd_per_gpu_hour": node.usd_per_gpu_hour,
        "price_source": node.price_source,
        "reasons": [asdict(part) for part in parts_of(node) if part.gpus],
    }


def _tokens_payload(report: CostReport, model: str | None) -> dict[str, object]:
    found = report.tokens.get(model) if model is not None else None
    return {
        "generated_tokens": found.tokens.generated if found else None,
        "prompt_tokens": found.tokens.prompt if found else None,
        "usd_per_million_generated": found.usd_per_million_generated if found else None,
        "usd_per_million": found.usd_per_million if found else None,
    }
