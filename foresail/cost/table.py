"""Renders the cost of a fleet as tables for a terminal, and as JSON."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from fleet.account.gpu_hours import Cost, Costs
from fleet.account.node import NodeGpus
from fleet.account.partition import parts_of
from fleet.reasons import Reason
from foresail.cost.booked import SHOWN, by_client, by_meter, clients_payload, metered_payload
from foresail.cost.grid import grid
from foresail.cost.report import CostReport, ordered, summed
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
_NAMELESS: Final = "(none)"
_UNNAMED: Final[Mapping[str, str]] = {
    "cluster": _NAMELESS,
    "pool": _NAMELESS,
    "generation": "unknown",
}
"""What rows are called whose nodes name no such thing."""
_REMARKS_SHOWN: Final = 8
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
        parts.append(by_client(report, columns))
    if report.metered:
        parts.append(by_meter(report, columns))
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
            "clients": clients_payload(report),
            "metered": metered_payload(report),
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
    return grid(
        ["reason", *_heads(report), ""], rows, ["total", *_figures(total, total), ""], columns
    )


def _by_place(report: CostReport, place: str, columns: int) -> RenderableType:
    """By cluster, pool or generation: how much of it serves, and why most of the rest does not."""
    total, rows = report.total, []
    for name, cost in ordered(summed(report.costs, lambda one: getattr(one, place))).items():
        here = {one: each for one, each in report.costs.items() if getattr(one, place) == name}
        rows.append([name or _UNNAMED[place], *_figures(cost, total), *_serving(here)])
    whole = ["total", *_figures(total, total), *_serving(report.costs)]
    return grid([place, *_heads(report), "serving", "most of the rest"], rows, whole, columns)


def _by_model(report: CostReport, columns: int) -> RenderableType:
    rows = [
        [model or _NAMELESS, *_figures(cost, report.total)[::2], *_tokens(report, model)]
        for model, cost in report.models.items()
    ]
    heads = ["model", *_heads(report)[::2], "M tokens", "$/M generated", "$/M all"]
    return grid(heads, rows, None, columns)


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
    for what, every in (("clients of gateways", report.spend), ("metered models", report.metered)):
        if every and len(every) > SHOWN:
            notes.append(f"and {len(every) - SHOWN} more {what}: -o json")
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
