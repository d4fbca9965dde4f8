"""What a policy's run was worth to the users, and what it cost.

A request is in time when its first token came within the objective and its tokens, on average,
followed within theirs. Whoever gave up and whoever's replica was killed is a miss, and so is a slow
answer: a rule must not look better for having turned people away.
"""

from dataclasses import dataclass

import numpy as np

from fleet.objective import ITL_SECONDS, TTFT_SECONDS
from replay.ledger import Ledger, Outcome, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What a user should see."""

    ttft_seconds: float = TTFT_SECONDS
    itl_seconds: float = ITL_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One policy on one run."""

    policy: str
    requests: int
    """Requests that came to an end, well or not; those still open at the end are in neither sum."""
    in_time_ratio: float
    ttft_in_time_ratio: float
    itl_in_time_ratio: float
    timed_out: int
    killed: int
    ttft_p50_seconds: float
    ttft_p95_seconds: float
    ttft_p99_seconds: float
    """Those who gave up count with the time they had waited."""
    itl_p95_seconds: float
    gpu_hours: float
    """Starting, ready and draining."""
    scale_actions: int
    replicas_most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the fleet says at the end."""

    gpu_seconds: float
    scale_actions: int
    replicas_most: int


def score(policy: str, ledger: Ledger, objective: Objective, cost: Cost) -> Score:
    """Judge every request that came to an end."""
    ended = ledger.outcome != Outcome.OPEN
    finished = ledger.outcome[ended] == Outcome.FINISHED
    ttft = ledger.ttft_seconds[ended]
    itl = ledger.itl_seconds[ended]
    ttft_in_time = finished & (ttft <= objective.ttft_seconds)
    itl_in_time = finished & (itl <= objective.itl_seconds)
    p50, p95, p99 = _quantiles(ttft, (0.5, 0.95, 0.99))
    return Score(
        policy=policy,
        requests=len(ttft),
        in_time_ratio=_ratio(ttft_in_time & itl_in_time),
        ttft_in_time_ratio=_ratio(ttft_in_time),
        itl_in_time_ratio=_ratio(itl_in_time),
        timed_out=int((ledger.outcome == Outcome.TIMED_OUT).sum()),
        killed=int((ledger.outcome == Outcome.KILLED).sum()),
        ttft_p50_seconds=p50,
        ttft_p95_seconds=p95,
        ttft_p99_seconds=p99,
        itl_p95_seconds=_quantiles(itl[finished], (0.95,))[0],
        gpu_hours=cost.gpu_seconds / 3600,
        scale_actions=cost.scale_actions,
        replicas_most=cost.replicas_most,
    )


def _ratio(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float:
    return float(mask.mean()) if len(mask) else float("nan")


def _quantiles(values: Seconds, levels: tuple[float, ...]) -> tuple[float, ...]:
    if not len(values):
        return tuple(float("nan") for _ in levels)
    return tuple(np.quantile(values, levels).tolist())
