"""What others booked or metered of models, beside what the GPUs cost: tables and JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from rich.console import RenderableType

from fleet.metered import Metered
from fleet.spend import Client, Spend
from foresail.cost.grid import grid
from foresail.cost.report import CostReport, MeteredModel
from foresail.figures import UNKNOWN, dollars

SHOWN: Final = 20
"""Rows of a table; JSON has all."""
_MILLION: Final = 1e6
_HEADS: Final = ("M tokens", "$/h", "$/M", "GPUs' $/M")


def by_client(report: CostReport, columns: int) -> RenderableType:
    """What gateways booked for each client."""
    rows = [
        [
            f"{client.model} {client.team or UNKNOWN}/{client.key or UNKNOWN}",
            *_figures(report, client.model, spend.tokens, spend.usd, spend.usd_per_million),
        ]
        for client, spend in dearest(report.spend or {})[:SHOWN]
    ]
    return grid(["booked by a gateway for", *_HEADS], rows, None, columns)


def by_meter(report: CostReport, columns: int) -> RenderableType:
    """What programs that trace requests were told of."""
    rows = [
        [
            f"{one.model} by {one.by}",
            *_figures(report, one.model, each.all_tokens, each.usd, each.usd_per_million),
        ]
        for one, each in most_tokens(report.metered or {})[:SHOWN]
    ]
    return grid(["metered of", *_HEADS], rows, None, columns)


def _figures(
    report: CostReport, model: str, tokens: float, usd: float | None, price: float | None
) -> list[str]:
    known = report.tokens.get(model)
    of_gpus = known.usd_per_million if known else None
    return [
        f"{tokens / _MILLION:,.2f}",
        UNKNOWN if usd is None else dollars(usd),
        *(UNKNOWN if one is None else f"{one:,.2f}" for one in (price, of_gpus)),
    ]


def dearest(spend: Mapping[Client, Spend]) -> Sequence[tuple[Client, Spend]]:
    """The dearest first."""
    return sorted(spend.items(), key=lambda one: (-(one[1].usd or 0.0), one[0]))


def most_tokens(
    metered: Mapping[MeteredModel, Metered],
) -> Sequence[tuple[MeteredModel, Metered]]:
    """The one with the most tokens first."""
    return sorted(metered.items(), key=lambda one: (-one[1].all_tokens, one[0]))


def clients_payload(report: CostReport) -> list[dict[str, object]] | None:
    """What gateways booked, as JSON; None = not read."""
    if report.spend is None:
        return None
    return [
        {**asdict(client), **asdict(spend), "usd_per_million": spend.usd_per_million}
        for client, spend in dearest(report.spend)
    ]


def metered_payload(report: CostReport) -> list[dict[str, object]] | None:
    """What meters were told of, as JSON; None = none was asked."""
    if report.metered is None:
        return None
    return [
        {
            **asdict(one),
            "generated_tokens": each.tokens.generated,
            "prompt_tokens": each.tokens.prompt,
            "usd": each.usd,
            "usd_per_million": each.usd_per_million,
        }
        for one, each in most_tokens(report.metered)
    ]
