"""One night's choice of the rules' constants for a pool, from the demand that its forecaster keeps.

The last three days are replayed with pods of the pool's usual size and nodes of its learned lead
time. Forecasts are made as they would have been made then: the days before are their past, and each
knows nothing later than its own moment. Only the operator's rho and trust count of the policy:
warm floors and ceilings would hide what the constants do.
"""

from math import floor, isnan, nan
from typing import Final

import numpy as np

from fleet.cluster.owners import Workload
from policies.planning.tuning import NoChoice, TuningInput, TuningRecord
from policies.policy.pool_policy import Mode, PoolPolicy
from policies.rounds import ROUND_SECONDS
from policies.situation import LeadTime
from replay.cluster.settings import (
    ClusterSettings,
    NodeStartUp,
    Pool,
    Service,
)
from replay.node_tuning import choose_by_replay
from replay.pool_forecast import forecast_of
from replay.traffic import DAY_SECONDS, Floats

JUDGED_DAYS: Final = 3
PAST_DAYS_MIN: Final = 1
"""Before the judged ones: a forecaster without a day has only its prior."""
UNKNOWN_SHARE_MAX: Final = 0.1
"""Of the judged days; with more unknown demand they tell too little."""
_FAILURE_SHARE_MAX: Final = 0.9
_P90: Final = 0.9
_POOL: Final = "pool"


def choose_for_pool(given: TuningInput) -> TuningRecord | NoChoice:
    """The choice, or why there is none."""
    gpus = _each_round(given)
    judged = gpus[-round(JUDGED_DAYS * DAY_SECONDS / ROUND_SECONDS) :]
    why = _refused(gpus, judged)
    if why is not None:
        return NoChoice(at_seconds=given.until_seconds, why=why)
    begin = given.until_seconds - len(judged) * ROUND_SECONDS
    pods = np.ceil(_held(judged) / given.gpus_per_pod)
    forecast = forecast_of(gpus[: -len(judged)], pods * given.gpus_per_pod, begin_seconds=begin)
    policy = PoolPolicy(mode=Mode.ACT, rho=given.rho, trust=given.trust)
    return choose_by_replay(
        given.constants,
        _settings(given, pods, begin),
        lambda _pool, _now: policy,
        {_POOL: forecast},
        rho=given.rho,
        until_seconds=given.until_seconds,
    )


def start_up_of(lead_time: LeadTime) -> NodeStartUp:
    """Starts that are drawn evenly, with the mean and the .9 quantile that were learned.

    Where the mean is nearly all failed launches, half of it is left for those that succeed.
    """
    share = min(lead_time.launch_failure_share, _FAILURE_SHARE_MAX)
    noticed = sum(NodeStartUp().noticed_seconds) / 2
    mean = max(lead_time.boot_seconds - share / (1 - share) * noticed, lead_time.boot_seconds / 2)
    # Of the starts that succeed, the quantile that is .9 of all.
    good = min(1.0, _P90 / (1 - share))
    reach = (lead_time.boot_seconds_p90 - mean) / (2 * good - 1)
    reach = min(max(0.0, reach), mean)
    return NodeStartUp(
        boot_seconds=(mean - reach, mean + reach),
        failure_share=share,
        pull_seconds=lead_time.pull_seconds,
    )


def changes_of(pods: Floats, begin_seconds: float) -> tuple[tuple[float, int], ...]:
    """(since when, how many) pods, each change in the middle between two rounds.

    Args:
        pods: at each round from the beginning on. A value is the largest since the round before, so
            the change to it was somewhere between the two; it is taken to have been in the middle,
            where a node can be empty before a forecast knows why.
        begin_seconds: of the first.
    """
    at = (begin_seconds + max(0.0, place - 0.5) * ROUND_SECONDS for place in range(len(pods)))
    return tuple(zip(at, (int(count) for count in pods.tolist()), strict=True))


def _each_round(given: TuningInput) -> Floats:
    """Demand each round up to the choice, from the first one that is known; NaN = unknown."""
    known = {
        floor((at - given.until_seconds) / ROUND_SECONDS): value
        for at, value in zip(given.past.times_seconds, given.past.gpus, strict=True)
        if value is not None and at < given.until_seconds
    }
    return np.array([known.get(place, nan) for place in range(min(known, default=0), 0)])


def _refused(gpus: Floats, judged: Floats) -> str | None:
    days = len(gpus) * ROUND_SECONDS / DAY_SECONDS
    if days < PAST_DAYS_MIN + JUDGED_DAYS:
        return (
            f"its past covers {days:.1f} days; {PAST_DAYS_MIN + JUDGED_DAYS} are needed, of which "
            f"the last {JUDGED_DAYS} are replayed"
        )
    unknown = float(np.isnan(judged).mean())
    if unknown > UNKNOWN_SHARE_MAX:
        return f"{unknown:.0%} of the last {JUDGED_DAYS} days is not known"
    if not np.nanmax(judged) > 0:
        return f"no GPU of it was wanted in the last {JUDGED_DAYS} days"
    return None


def _held(gpus: Floats) -> Floats:
    """With gaps filled by the value before; a gap at the beginning by the first value."""
    last = next(value for value in gpus.tolist() if not isnan(value))
    held = []
    for value in gpus.tolist():
        last = last if isnan(value) else value
        held.append(last)
    return np.array(held)


def _settings(given: TuningInput, pods: Floats, begin_seconds: float) -> ClusterSettings:
    service = Service(
        workload=Workload(kind="Deployment", namespace="replay", name=_POOL),
        replicas=changes_of(pods, begin_seconds),
        pools=(_POOL,),
        gpus_per_pod=given.gpus_per_pod,
    )
    pool = Pool(
        name=_POOL,
        gpus_per_node=given.gpus_per_node,
        start_up=start_up_of(given.lead_time),
        consolidate_after_seconds=given.consolidate_after_seconds,
        static=given.static,
    )
    return ClusterSettings(pools=(pool,), services=(service,), begin_seconds=begin_seconds)
