"""A node that was let go is not ordered again at once.

Once it is gone, the pool orders nothing ahead of demand until a new node could be there and a pod
could have waited for one, unless demand has risen above the .99 quantile that the forecast gave at
the release: then the forecast was wrong, and the order is right. A start without a state counts as
a release for orders by forecast, because there may have been one; the operator's schedule does not
wait for that. Gangs never wait: they are demand that is there.

Of a static pool the size falls, and Karpenter chooses the node that goes. So there a verdict counts
at once: the last one of an empty node, and the first one of a start, which may be refused for long.
"""

from typing import Final

from fleet.reasons import Reason
from policies.node_plan import Step
from policies.rules.draft import SPECULATIVE, PoolDraft, is_starting, per_pool
from policies.rules.worth import late_seconds
from scaler.forecast.running_maximum import MaximumForecast

_RULE: Final = "no-flap"
RELEASED: Final = "no-flap/released"
"""Noted: when a node of the pool was to go last, whether it went or not: its taint may be enough
for others to buy one in its place."""
_START: Final = "no-flap/start/"
"""Noted, by UID: since when a node that starts is to go; what does it may refuse for long."""
_TO_GO: Final = "no-flap/to-go/"
"""Noted, by UID: when a node that is there was to go last; of a start in a static pool, first."""
_GONE: Final = "no-flap/gone"
"""Noted: when a node that is gone was to go last."""
_CEILING: Final = "no-flap/ceiling"
_HIGH: Final = 0.99


@per_pool
def order_nothing_back(draft: PoolDraft) -> None:
    """Drop orders ahead of demand soon after a release."""
    lasts = draft.pool.lead_time.boot_seconds + late_seconds(draft)
    _note_verdicts(draft, lasts)
    gone = _gone_seconds(draft)
    begin = min(draft.started_seconds if gone is None else gone, draft.now_seconds)
    left = begin + lasts - draft.now_seconds
    if left <= 0 and not draft.releases:
        return
    ceiling = draft.remembered.get(_CEILING)
    if draft.releases or ceiling is None:
        # A node may be refused for hours; what was expected counts as long as orders wait for it.
        ceiling = max(_highest(draft, lasts), (ceiling or 0.0) if left > 0 else 0.0)
    draft.memory[_CEILING] = ceiling
    if left <= 0:
        return
    if gone is not None:
        draft.memory[_GONE] = begin
    if draft.pool.demand_gpus <= ceiling:
        _drop(draft, {Reason.PRE_WARM} if gone is None else SPECULATIVE, left, ceiling)


def _note_verdicts(draft: PoolDraft, lasts: float) -> None:
    """Note what is to go now, and when something was last."""
    starts = {node.uid for node in draft.pool.nodes if is_starting(node)} & draft.releases.keys()
    first = {uid: draft.since(_START + uid) for uid in sorted(starts)}
    for uid in draft.releases:
        at = first.get(uid, draft.now_seconds) if draft.pool.static else draft.now_seconds
        draft.memory[_TO_GO + uid] = at
    if draft.releases.keys() - starts or draft.now_seconds in first.values():
        draft.memory[RELEASED] = draft.now_seconds
        return
    last = draft.remembered.get(RELEASED, max(first.values(), default=None))
    if last is not None and draft.now_seconds - last < lasts:
        draft.memory[RELEASED] = min(last, draft.now_seconds)


def _gone_seconds(draft: PoolDraft) -> float | None:
    """When a node was to go last that is gone, or going, by now; None = none is.

    What is to go may stay: it is tainted after a while only, a pod may come, an API server refuse.
    Of a static pool the verdict counts, also that of this round.
    """
    static, past = draft.pool.static, draft.remembered
    there = {node.uid for node in draft.pool.nodes if not node.leaving}
    found = [past[_GONE]] if _GONE in past else []
    found += [
        at
        for key, at in (*past.items(), *(draft.memory.items() if static else ()))
        if key.startswith(_TO_GO) and (static or key.removeprefix(_TO_GO) not in there)
    ]
    return max(found, default=None)


def _drop(
    draft: PoolDraft, reasons: set[Reason] | frozenset[Reason], left: float, ceiling: float
) -> None:
    dropped = [order for order in draft.orders if order.reason in reasons]
    if dropped:
        text = (
            f"{sum(order.nodes for order in dropped)} nodes are not ordered for another "
            f"{left:.0f} s: one was released, or Foresail started, and demand of "
            f"{draft.pool.demand_gpus:g} GPUs is within the {ceiling:.1f} expected then"
        )
        draft.say(Step(rule=_RULE, text=text))
        draft.orders = [order for order in draft.orders if order not in dropped]


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
