"""The series of demand that can be forecast."""

from enum import StrEnum
from typing import assert_never

from scaler.decision.demand import Demand


class DemandSeries(StrEnum):
    """The series that can be forecast."""

    PROMPT_TOKENS = "prompt_tokens"
    GENERATED_TOKENS = "generated_tokens"
    REQUESTS = "requests"
    IN_FLIGHT = "in_flight"


PLANNED = (DemandSeries.PROMPT_TOKENS, DemandSeries.GENERATED_TOKENS)
"""Plans use these. The others are shown if the operator asks for them."""

LEADING_INDICATOR = {
    DemandSeries.PROMPT_TOKENS: DemandSeries.REQUESTS,
    DemandSeries.GENERATED_TOKENS: DemandSeries.PROMPT_TOKENS,
    DemandSeries.IN_FLIGHT: DemandSeries.REQUESTS,
}
"""The leading indicator of each series. Requests precede their prompt tokens, and prompts precede
the tokens generated from them. In an engine that counts a request at its end the requests do not
lead; their expert then loses its weight."""


def amount(demand: Demand | None, series: DemandSeries) -> float | None:
    """The demand of one series, or None where it is not measured."""
    if demand is None:
        return None
    match series:
        case DemandSeries.PROMPT_TOKENS:
            return demand.prompt_tokens
        case DemandSeries.GENERATED_TOKENS:
            return demand.generated_tokens
        case DemandSeries.REQUESTS:
            return demand.requests
        case DemandSeries.IN_FLIGHT:
            return demand.in_flight
        case _:
            assert_never(series)
