"""What it is worth to hold a node, or to order one, and what it costs.

For node rank k above the present demand, with G GPUs a node, rho the idle GPU-minutes that a GPU's
delayed minute is worth, r = hold_factor * rho, T_k the time until demand needs node k, M_m the
maximum of demand over the next m, w the time to boot a node and to pull its images, and u the first
window that is no shorter than w:

    hold k   while for some m:  r w min(S(m), n P(T_k <= m)) > G E[min(T_k, m)]
    order k  while              order_factor r S(u) > G (1 - P(T_k <= u))

S(m) = sum_i P(M_m >= G (k-1) + i) is how many GPUs of the node are needed within m, and
n = S(u) / P(T_k <= u) how many are needed while the first of them waits for the node: pods that
come later find it there. Left are the pods that need not wait, right is the idle time. A hold saves
no boot: a node that is ordered when a pod comes costs as much from then on as one that was held.
The inequality is the break-even of ski rental with a forecast in place of the worst case (Lu &
Chen, arXiv 1112.0442).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from policies.rules.draft import PoolDraft
from policies.rules.odds import WindowOdds


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """Gain and cost of a node, in GPU-seconds, at the window that speaks most for it."""

    rank: int
    gain: float
    cost: float
    odds: WindowOdds

    @property
    def pays(self) -> bool:
        return self.gain > self.cost

    @property
    def text(self) -> str:
        return (
            f"node {self.rank} is needed within {self.odds.window_seconds / 60:g} min with "
            f"probability {self.odds.needed:.2f}: {self.gain / 60:.1f} GPU-minutes saved against "
            f"{self.cost / 60:.1f} idle"
        )


def worth_of_holding(draft: PoolDraft, rank: int, windows: Sequence[WindowOdds]) -> Worth:
    """The worth of keeping node number `rank`."""
    gpus = draft.pool.gpus_per_node
    rate = draft.constants.hold_factor * draft.policy.rho * late_seconds(draft)
    waiting = _within_a_start(draft, windows).gpus_needed_if_any
    tried = [
        Worth(
            rank=rank,
            gain=rate * min(odds.needed * waiting, odds.gpus_needed),
            cost=gpus * odds.wait_seconds,
            odds=odds,
        )
        for odds in windows
    ]
    return max(tried, key=lambda one: one.gain - one.cost)


def worth_of_ordering(draft: PoolDraft, rank: int, windows: Sequence[WindowOdds]) -> Worth:
    """The worth of having node number `rank` a minute earlier."""
    odds = _within_a_start(draft, windows)
    rate = draft.constants.order_factor * draft.constants.hold_factor * draft.policy.rho
    return Worth(
        rank=rank,
        gain=60 * rate * odds.gpus_needed,
        cost=60 * draft.pool.gpus_per_node * (1 - odds.needed),
        odds=odds,
    )


def late_seconds(draft: PoolDraft) -> float:
    """How long a pod waits for a node that is ordered when the pod comes."""
    return draft.pool.lead_time.boot_seconds + draft.pool.lead_time.pull_seconds


def _within_a_start(draft: PoolDraft, windows: Sequence[WindowOdds]) -> WindowOdds:
    """Of the first window in which a node that is ordered now can be there."""
    late = late_seconds(draft)
    return next((one for one in windows if one.window_seconds >= late), windows[-1])
