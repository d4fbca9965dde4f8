"""LangFuse's answers about tokens and dollars by model, of its metrics API and the daily one."""

import json
from collections.abc import Mapping
from typing import Final

from fleet.documents import Json, listed, part
from fleet.metered import Metered, Window, metered, moment, number, summed

METRICS: Final = "api/public/v2/metrics"
DAILY: Final = "api/public/metrics/daily"
"""Of servers that do not have `METRICS`; deprecated."""
ROWS_MAX: Final = 1000
"""That LangFuse gives to one query; where there are more it drops some without a word."""
_DAYS_A_PAGE: Final = 50
_MODEL: Final = "providedModelName"
_MEASURES: Final = ("inputTokens", "outputTokens", "totalTokens", "totalCost")


def metrics_params(window: Window, environment: str | None) -> Mapping[str, str]:
    """The parameters of `METRICS`."""
    query = {
        "view": "observations",
        "dimensions": [{"field": _MODEL}],
        "metrics": [{"measure": one, "aggregation": "sum"} for one in _MEASURES],
        "filters": [
            {"column": "environment", "operator": "=", "value": environment, "type": "string"}
        ]
        if environment is not None
        else [],
        "fromTimestamp": moment(window.begin_ms),
        "toTimestamp": moment(window.end_ms),
        "config": {"row_limit": ROWS_MAX},
    }
    return {"query": json.dumps(query)}


def rows_of(answer: Json) -> list[Json]:
    """The rows of an answer of `METRICS`."""
    return list(listed(answer, "data"))


def metered_of_rows(rows: list[Json]) -> Mapping[str, Metered]:
    """The tokens and dollars of each model."""
    return summed(
        (
            row.get(_MODEL),
            metered(
                prompt=row.get("sum_inputTokens"),
                generated=row.get("sum_outputTokens"),
                total=row.get("sum_totalTokens"),
                usd=row.get("sum_totalCost"),
            ),
        )
        for row in rows
    )


def daily_params(window: Window, environment: str | None, page: int) -> Mapping[str, str]:
    """The parameters of `DAILY`; the end of its window is not in it."""
    found = {
        "fromTimestamp": moment(window.begin_ms),
        "toTimestamp": moment(window.end_ms + 1),
        "page": str(page),
        "limit": str(_DAYS_A_PAGE),
    }
    return found if environment is None else found | {"environment": environment}


def pages_of(answer: Json) -> float:
    """How many pages an answer of `DAILY` has."""
    return number(part(answer, "meta").get("totalPages")) or 1.0


def metered_of_days(answers: list[Json]) -> Mapping[str, Metered]:
    """The tokens and dollars of each model, of all days together."""
    return summed(
        (
            usage.get("model"),
            metered(
                prompt=usage.get("inputUsage"),
                generated=usage.get("outputUsage"),
                total=usage.get("totalUsage"),
                usd=usage.get("totalCost"),
            ),
        )
        for answer in answers
        for day in listed(answer, "data")
        for usage in listed(day, "usage")
    )
