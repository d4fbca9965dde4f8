"""What a run was worth to its users, request by request.

A request is in time when its first token came within the objective and its tokens, on average,
followed within theirs. A client that gave up, a request whose replica was killed and a slow answer
are misses: a rule must not look better for requests that it never served.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleet.objective import ITL_SECONDS, TTFT_SECONDS
from replay.judgement import Judgement
from replay.ledger import Ledger, Outcome, Seconds
from replay.traffic import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What a user should see."""

    ttft_seconds: float = TTFT_SECONDS
    itl_seconds: float = ITL_SECONDS


def judged(
    ledger: Ledger,
    objective: Objective,
    *,
    first: int = 0,
    arrival_seconds: Floats | None = None,
    starting: NDArray[np.bool_] | None = None,
) -> Judgement:
    """Judge every request that came to an end.

    Args:
        first: place of the first one that counts.
        arrival_seconds: with `starting`, to tell whom a cold start made late.
        starting: of each second, whether a replica was starting in it.
    """
    ended = ledger.outcome[first:] != Outcome.OPEN
    outcome = ledger.outcome[first:][ended]
    ttft, itl = ledger.ttft_seconds[first:][ended], ledger.itl_seconds[first:][ended]
    finished = outcome == Outcome.FINISHED
    in_time = finished & (ttft <= objective.ttft_seconds) & (itl <= objective.itl_seconds)
    cold_start = 0.0
    if arrival_seconds is not None and starting is not None and len(starting):
        served = (arrival_seconds[first:][ended] + np.nan_to_num(ttft)).astype(np.intp)
        late = ~in_time & (outcome != Outcome.KILLED)
        cold_start = float((late & starting[np.minimum(served, len(starting) - 1)]).sum())
    p50, p95, p99 = _quantiles(ttft, (0.5, 0.95, 0.99))
    return Judgement(
        requests=float(len(outcome)),
        in_time=float(in_time.sum()),
        ttft_seconds=(p50, p95, p99),
        itl_p99_seconds=_quantiles(itl[finished], (0.99,))[0],
        errors=float((~finished).sum()),
        cold_start=cold_start,
    )


def _quantiles(values: Seconds, levels: tuple[float, ...]) -> tuple[float, ...]:
    known = values[np.isfinite(values)]
    if not len(known):
        return tuple(float("nan") for _ in levels)
    return tuple(np.quantile(known, levels).tolist())
