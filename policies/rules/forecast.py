"""Hold and order nodes by what a delayed minute is worth and the forecast of the running maximum.

Ranks are tried upwards from the first above the present demand, until one is not worth it
(`policies.rules.worth`). Nodes up to there are held, and those that are not there are ordered where
the order pays too: a node that would not be held on arrival is not ordered. Nodes that the present
demand wants are left to Karpenter, which buys them for the pods that wait. A hold of one that is
there runs on to its end: it may be for planned replicas whose pods nobody has made yet, and
Karpenter would remove it before they come.

Without a forecast that may be used, only the present counts: holds run out, none is renewed, and
Karpenter removes empty nodes in its own time.
"""

from collections.abc import Callable
from functools import cache
from typing import Final

from fleet.reasons import Reason
from policies.node_plan import NodeOrder, Step
from policies.rules.draft import PoolDraft, per_pool
from policies.rules.odds import Odds
from policies.rules.worth import Worth, worth_of_holding, worth_of_ordering
from scaler.forecast.running_maximum import MaximumForecast

_RULE: Final = "forecast"
_RANKS_MAX: Final = 1000
"""Above the present demand; ends the search where a forecast has no end."""


@per_pool
def hold_and_order(draft: PoolDraft) -> None:
    """Hold the nodes that are worth it, and order those that are worth it and are not there."""
    forecast = draft.pool.forecast
    refused = _refused(draft, forecast)
    if forecast is None or refused is not None:
        _without_forecast(draft, refused or "there is no forecast")
        return
    odds = Odds(
        forecast=forecast,
        trust=draft.policy.trust,
        gpus_per_node=draft.pool.gpus_per_node,
        windows_seconds=draft.constants.windows_seconds,
    )
    of_rank = cache(odds.of_rank)
    held = _ranks(draft, lambda rank: worth_of_holding(draft, rank, of_rank(rank)))
    wanted = draft.demand_nodes + sum(worth.pays for worth in held)
    draft.nodes_wanted = wanted
    draft.say(Step(rule=_RULE, text=_summary(draft, wanted, held[-1])))
    _hold(draft, {worth.rank: worth for worth in held if worth.pays})
    ordered = _ranks(draft, lambda rank: worth_of_ordering(draft, rank, of_rank(rank)), wanted)
    _order(draft, [worth for worth in ordered if worth.pays])


def _refused(draft: PoolDraft, forecast: MaximumForecast | None) -> str | None:
    if forecast is None:
        return None
    if draft.policy.trust == 0:
        return "the policy does not trust forecasts"
    age = draft.now_seconds - forecast.made_at_seconds
    if abs(age) <= draft.constants.forecast_age_seconds_max:
        return None
    when = f"{age:.0f} s old" if age > 0 else f"from {-age:.0f} s in the future"
    return f"the forecast is {when} and not used"


def _without_forecast(draft: PoolDraft, why: str) -> None:
    """Let holds run out: an absent forecast is no forecast of nothing."""
    draft.say(Step(rule=_RULE, text=f"{why}: the present and Karpenter decide"))
    for node in draft.empty:
        draft.keep_standing(node, Reason.FORECAST_HOLD, Step(rule=_RULE, text=why))


def _ranks(
    draft: PoolDraft, worth_of: Callable[[int], Worth], last: int | None = None
) -> list[Worth]:
    """From the first rank above the present demand to the first that is not worth it."""
    found: list[Worth] = []
    first = draft.demand_nodes + 1
    for rank in range(first, (first + _RANKS_MAX if last is None else last) + 1):
        found.append(worth_of(rank))
        if not found[-1].pays:
            break
    return found


def _hold(draft: PoolDraft, paying: dict[int, Worth]) -> None:
    for rank, node in enumerate(draft.empty, start=len(draft.used) + 1):
        if rank in paying:
            unused = node.empty_since_seconds == node.stage_since_seconds
            reason = Reason.PRE_WARM if unused else Reason.FORECAST_HOLD
            step = Step(rule=_RULE, text=paying[rank].text)
            draft.hold(node, reason, draft.lease_end_seconds, step)
        elif rank <= draft.demand_nodes:
            text = "for demand that has no pod on it yet: the hold runs on to its end"
            draft.keep_standing(node, Reason.FORECAST_HOLD, Step(rule=_RULE, text=text))
        elif draft.settling:
            text = "Foresail has just started without a state, and lets the hold run on"
            draft.keep_standing(node, Reason.FORECAST_HOLD, Step(rule=_RULE, text=text))


def _order(draft: PoolDraft, paying: list[Worth]) -> None:
    new = [worth for worth in paying if worth.rank > draft.nodes_to_be]
    if new:
        steps = tuple(Step(rule=_RULE, text=worth.text) for worth in new)
        draft.order(NodeOrder(nodes=len(new), reason=Reason.PRE_WARM, steps=steps))


def _summary(draft: PoolDraft, wanted: int, last: Worth) -> str:
    text = (
        f"demand of {draft.pool.demand_gpus:g} GPUs fills {draft.demand_nodes} nodes; "
        f"{wanted} are worth keeping at rho {draft.policy.rho:g}, trust {draft.policy.trust:g}"
    )
    return text if last.pays else f"{text}; {last.text}"
