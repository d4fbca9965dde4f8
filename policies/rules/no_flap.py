"""A node that was let go is not ordered again at once.

After a release the pool orders nothing ahead of demand until a new node could be there and a pod
could have waited for one, unless demand has risen above the .99 quantile that the forecast gave at
the release: then the forecast was wrong, and the order is right. A start without a state counts as
a release, because there may have been one. Nodes of the operator's schedule and of gangs are no
guess, and are ordered all the same.
"""

from typing import Final

from policies.node_plan import Reason, Step
from policies.rules.draft import PoolDraft, per_pool
from policies.rules.worth import late_seconds
from scaler.forecast.running_maximum import MaximumForecast

_RULE: Final = "no-flap"
_RELEASED: Final = "no-flap/released"
_CEILING: Final = "no-flap/ceiling"
_HIGH: Final = 0.99


@per_pool
def order_nothing_back(draft: PoolDraft) -> None:
    """Drop orders by forecast soon after a release."""
    lasts = draft.pool.lead_time.boot_seconds + late_seconds(draft)
    released = min(draft.remembered.get(_RELEASED, draft.started_seconds), draft.now_seconds)
    if draft.releases:
        released = draft.now_seconds
    left = released + lasts - draft.now_seconds
    if left <= 0:
        return
    ceiling = draft.remembered.get(_CEILING)
    if draft.releases or ceiling is None:
        ceiling = max(ceiling or 0.0, _highest(draft, lasts))
    draft.memory[_RELEASED], draft.memory[_CEILING] = released, ceiling
    speculative = [order for order in draft.orders if order.reason is Reason.PRE_WARM]
    if speculative and draft.pool.demand_gpus <= ceiling:
        text = (
            f"{sum(order.nodes for order in speculative)} nodes are not ordered for another "
            f"{left:.0f} s: one was released, or Foresail started, and demand of "
            f"{draft.pool.demand_gpus:g} GPUs is within the {ceiling:.1f} expected then"
        )
        draft.say(Step(rule=_RULE, text=text))
        draft.orders = [order for order in draft.orders if order not in speculative]


def _highest(draft: PoolDraft, within_seconds: float) -> float:
    """The .99 quantile of demand's maximum until then; the present where no forecast tells."""
    forecast, present = draft.pool.forecast, draft.pool.demand_gpus
    if forecast is None:
        return present
    windows = forecast.windows_seconds
    window = next((i for i, one in enumerate(windows) if one >= within_seconds), len(windows) - 1)
    return max(present, _quantile(forecast, window))


def _quantile(forecast: MaximumForecast, window: int) -> float:
    """By bisection, since the probability of reaching a value falls with the value."""
    low = high = max(1.0, forecast.last_value)
    while forecast.probability_of_reaching(high, window) > 1 - _HIGH:
        low, high = high, high * 2
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        if forecast.probability_of_reaching(middle, window) > 1 - _HIGH:
            low = middle
        else:
            high = middle
    return high
