"""GPUs that do not serve, by reason, as OpenCost's plugins hand custom costs over.

The form is a list of `customcost.messages.CustomCostResponse` in proto3's JSON, as validators of
opencost-plugins read it. What serves is left out: OpenCost has the cost of nodes already, and these
entries say which part of it is idle, and why. So is what nobody knows to be idle.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from typing import Final

from fleet.account.gpu_hours import Cost, Series
from foresail.cost.report import UNUSED, CostReport

DOMAIN: Final = "foresail"
_HOUR_SECONDS: Final = 3600.0


def custom_costs(report: CostReport) -> list[dict[str, object]]:
    """One response, of the time that the report adds up, or of the hour before its reading."""
    over = _HOUR_SECONDS if report.over_seconds is None else report.over_seconds
    return [
        {
            "metadata": {"over": "the reading" if report.over_seconds is None else "readings"},
            "costSource": "gpu-idle",
            "domain": DOMAIN,
            "version": version("foresail"),
            "currency": "USD",
            "start": _stamp(report.at_seconds - over),
            "end": _stamp(report.at_seconds),
            "costs": [
                _cost(series, cost, report) for series, cost in _idle(report) if _priced(cost)
            ],
            "errors": list(_errors(report)),
        }
    ]


def _idle(report: CostReport) -> Iterator[tuple[Series, Cost]]:
    """In an order that does not change between two reports."""
    found = (one for one in report.costs.items() if one[0].reason in UNUSED)
    yield from sorted(found, key=lambda one: _key(one[0]))


def _priced(cost: Cost) -> bool:
    return cost.gpu_hours > cost.unpriced_gpu_hours


def _cost(series: Series, cost: Cost, report: CostReport) -> dict[str, object]:
    hours = cost.gpu_hours - cost.unpriced_gpu_hours
    named = f"{series.pool or '?'}/{series.generation or '?'}"
    labels = {
        "cluster": series.cluster,
        "pool": series.pool,
        "generation": series.generation,
        "reason": series.reason.value,
        "model": series.model,
    }
    identity = "/".join((*_key(series), _stamp(report.at_seconds)))
    return {
        "accountName": series.cluster,
        "chargeCategory": "Usage",
        "description": f"GPUs that do not serve: {series.reason.value}",
        "resourceName": named,
        "resourceType": "GPU",
        "id": sha256(identity.encode()).hexdigest()[:32],
        "providerId": f"{series.cluster}/{named}",
        "billedCost": round(cost.usd, 6),
        "listCost": round(cost.usd, 6),
        "listUnitPrice": round(cost.usd / hours, 6),
        "usageQuantity": round(hours, 6),
        "usageUnit": "GPU-hours",
        "labels": {name: value for name, value in labels.items() if value is not None},
    }


def _key(series: Series) -> tuple[str, ...]:
    return (
        series.cluster,
        series.pool or "",
        series.generation or "",
        series.reason.value,
        series.model or "",
    )


def _errors(report: CostReport) -> Iterator[str]:
    """What is missing in the costs: it is no zero."""
    unpriced = sum(cost.unpriced_gpu_hours for _, cost in _idle(report))
    if unpriced:
        yield f"{unpriced:g} GPU-hours that do not serve have no price and are left out"
    if report.unknown_gpu_hours:
        yield (
            f"{report.unknown_gpu_hours:g} GPU-hours, of which it is unknown whether they serve, "
            "are left out"
        )
    yield from report.unreadable


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
