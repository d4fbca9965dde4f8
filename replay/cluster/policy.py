"""The port of a node policy: it gets and gives the records that production has."""

from collections.abc import Callable, Mapping
from typing import Protocol

from policies.node_plan import NodePlan
from policies.situation import Situation
from scaler.forecast.running_maximum import MaximumForecast


class NodePolicy(Protocol):
    """Decides in each round (`policies.rounds`); it may keep what it remembers."""

    def decide(self, situation: Situation) -> NodePlan: ...


Forecast = Callable[[float], MaximumForecast | None]
"""Of a pool's demand in GPUs, made at a Unix time from nothing later."""
Forecasts = Mapping[str, Forecast]
"""By pool."""
