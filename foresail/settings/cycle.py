"""Settings of the planning cycle."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final, Literal

from pydantic import Field
from pydantic_core import PydanticCustomError
from typing_extensions import override

from foresail.settings.values import Seconds, SecondsFromZero
from scaler.decision.series import DemandSeries
from scaler.faults import crossed
from scaler.parts import Faulty, Part

_ASCENDING: Final = {"look_max": "lookMax", "period": "period", "step": "step"}
"""Field → key of the durations that must ascend."""


class CycleSettings(Part):
    period: Seconds = 15.0
    """The time between two looks at a workload; below the scrape interval it shows nothing new."""
    step: Seconds = 60.0
    """The step of the forecast's series; each value is the mean of the looks in it."""
    answer_max: Seconds = 300.0
    """The age limit of an answer, counted from its reading; after it KEDA gets an error."""
    look_max: Seconds = 10.0
    """The timeout of one look, without the wait for a slot."""
    looks_at_once: int = Field(
        default=16, ge=1, le=1000, strict=True, description="a whole number from 1 to 1000"
    )
    """The concurrent looks at one source, which limit the load on it."""
    history: SecondsFromZero = 7 * 86400.0
    """The past to read at start, a week for the weekly profile; 0 reads none."""
    also_forecast: tuple[Literal[DemandSeries.REQUESTS, DemandSeries.IN_FLIGHT], ...] = Field(
        default=(), description="a list of requests and in_flight"
    )
    """Series to forecast for display in `explain` and the metrics; plans use the tokens only. Each
    costs half as much as a workload's other forecasts."""

    @classmethod
    @override
    def crossings(cls, values: Mapping[str, Any]) -> Iterator[PydanticCustomError]:
        ascending = {key: values[name] for name, key in _ASCENDING.items()}
        known = [(key, one) for key, one in ascending.items() if not isinstance(one, Faulty)]
        wrong = [pair for pair in pairwise(known) if pair[0][1] > pair[1][1]]
        if wrong:
            *first, last = [f"{key} ({one:g} s)" for key, one in known]
            (low, _), (high, _) = wrong[-1]
            message = f"{', '.join(first)} and {last} must ascend"
            yield crossed(message, "step" if high == "step" else low)
