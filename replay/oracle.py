"""The best schedule found with every arrival known: a bound, not a policy.

A dynamic program over the replicas that are ready in each step, with the cost

    GPU-seconds + (start-up + 30 s) for each addition + rho * requests late

Lateness is what an engine in expectation shows that has had `n` replicas all along (the model of
`replay.meanfield`, for every n at once), so the program is exact for its costs and approximate in
what a queue carries from one size to the next. It orders a start-up ahead, of start-ups that vary
one that all but the slowest twentieth keep, and never orders what it would release before it
serves. Running the schedules of several rho in the replay itself, each with its orders brought
forward by a little more or less, gives the oracle's frontier; what lies below it by less than the
grain of that search is not better.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np

from replay.engine import KV_ADMISSION_RATIO
from replay.policies.port import Seen
from replay.replay_input import ReplayInput
from replay.simulate import Result, simulate
from replay.traffic import Floats, Ints

STEP_SECONDS = 15
RHOS = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0, 100.0, 400.0)
"""Prices of a late request, in the GPU-seconds that one request takes of a full replica."""
_DRAIN_SECONDS = 30
_ITL_MARGIN = 0.97
_EARLY_SECONDS = (0, 30, 90)
"""A new replica is empty: ordering it earlier serves the requests that wait for it sooner."""


@dataclass(frozen=True, slots=True, eq=False)
class LatenessBySize:
    """Requests late in each step, for every number of replicas."""

    late: Floats
    """Shape ``(steps, N)``: requests late with n + 1 replicas ready."""


class Oracle:
    """Follows a schedule, ordering a start-up ahead."""

    period_seconds = STEP_SECONDS

    def __init__(self, replicas: Ints, *, lead_seconds: float) -> None:
        ahead = ceil(lead_seconds / STEP_SECONDS)
        padded = np.pad(replicas, (0, ahead), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, ahead + 1)
        self._wanted: list[int] = windows.max(axis=1).tolist()

    def decide(self, seen: Seen) -> int:
        return self._wanted[min(seen.at_seconds // STEP_SECONDS, len(self._wanted) - 1)]


def best_found(replay_input: ReplayInput, rho: float, *, seed: int, marks: bool = False) -> Result:
    """The run that is cheapest at this price of a late request, over how early it orders."""
    replicas = schedule(replay_input, lateness_by_size(replay_input), rho)
    lead = replay_input.platform.fleet.start_up.slow_seconds()
    price = rho / replay_input.replica_requests_per_second

    def cost(result: Result) -> float:
        late = result.requests * (1 - result.attainment)
        return result.gpu_hours * 3600 / replay_input.platform.fleet.gpus_per_replica + price * late

    return min(
        (
            simulate(
                replay_input,
                Oracle(replicas, lead_seconds=lead + early),
                name="oracle",
                knob=rho,
                seed=seed,
                marks=marks,
            )
            for early in _EARLY_SECONDS
        ),
        key=cost,
    )


def best_found_near(
    replay_input: ReplayInput, attainment: float, *, seed: int
) -> tuple[Result, ...]:
    """The part of the frontier around this share in time, by halving `RHOS`: a few runs of all."""
    runs = []
    low, high = 0, len(RHOS)
    while low < high:
        middle = (low + high) // 2
        runs.append(best_found(replay_input, RHOS[middle], seed=seed))
        if runs[-1].attainment < attainment:
            low = middle + 1
        else:
            high = middle
    return tuple(runs)


def schedule(replay_input: ReplayInput, by_size: LatenessBySize, rho: float) -> Ints:
    """Replicas ready in each step, cheapest at this price of a late request."""
    steps, most = by_size.late.shape
    sizes = np.arange(1, most + 1, dtype=np.float64)
    addition = replay_input.platform.fleet.start_up.median_seconds + _DRAIN_SECONDS
    price = rho / replay_input.replica_requests_per_second
    ahead = np.zeros(most)
    # Of each step and each size before it: the size that is cheapest from here on.
    chosen = np.empty((steps, most), np.int16)
    for step in range(steps - 1, -1, -1):
        here = STEP_SECONDS * sizes + price * by_size.late[step] + ahead
        fewer, fewer_at = _running_least(here)
        more, more_at = _running_least((here + addition * sizes)[::-1])
        more, more_at = more[::-1] - addition * sizes, most - 1 - more_at[::-1]
        chosen[step] = np.where(more < fewer, more_at, fewer_at)
        ahead = np.minimum(more, fewer)
    replicas = np.empty(steps, np.int64)
    size = max(0, replay_input.replicas_at_start - 1)
    for step in range(steps):
        size = int(chosen[step, size])
        replicas[step] = size + 1
    return replicas


@lru_cache(maxsize=1)
def lateness_by_size(replay_input: ReplayInput) -> LatenessBySize:
    """Lateness by number of replicas, for all that are allowed."""
    ready = np.arange(1, replay_input.platform.replicas_max + 1, dtype=np.float64)
    return LatenessBySize(lateness(replay_input, ready, pace_ratio=_ITL_MARGIN))


def lateness(replay_input: ReplayInput, ready: Floats, *, pace_ratio: float) -> Floats:
    """Requests late of each step with each of these fleets, by the equations of `meanfield`.

    Args:
        ready: replicas, ready all along.
        pace_ratio: of the objective's time between tokens, from which on a token is late.
    """
    platform = replay_input.platform
    profile, objective = platform.profile, platform.objective
    steps = ceil(replay_input.seconds / STEP_SECONDS)
    late = np.zeros((steps, len(ready)))
    running, waiting = np.zeros_like(ready), np.zeros_like(ready)
    itl = np.full_like(ready, profile.fixed_seconds)
    computed_ratio = 1 - profile.prefix_hit_ratio
    come = np.concatenate(([0.0], replay_input.arrivals.cumsum()))
    columns = (
        replay_input.arrivals.tolist(),
        replay_input.prompt_tokens.tolist(),
        replay_input.output_tokens.tolist(),
    )
    for now, (arrivals, prompt, output) in enumerate(zip(*columns, strict=True)):
        context = prompt + output / 2
        iteration = profile.fixed_seconds + running / ready * (
            profile.per_sequence_seconds + profile.per_kv_token_seconds * context
        )
        prefill = (
            prompt
            * computed_ratio
            * (profile.per_prefill_token_seconds + iteration / profile.batched_tokens_max)
        )
        places = ready * min(
            profile.sequences_max, profile.kv_tokens_max * KV_ADMISSION_RATIO / context
        )
        waiting += arrivals
        ending = running / (output * iteration)
        takes = np.minimum(np.maximum(places - running + ending, 1e-9), ready / prefill)
        admitted = np.minimum(waiting, takes)
        busy = admitted * prefill / ready
        iterations = busy / (iteration + profile.chunk_seconds) + (1 - busy) / iteration
        itl += (1 / iterations - itl) * np.minimum(1.0, 1 / (output * iteration))
        # First come, first served: who came before this second minus the wait allowed is late.
        early = np.maximum(now - np.floor(objective.ttft_seconds - prefill), 0).astype(np.intp)
        overdue = np.maximum(waiting - (come[now + 1] - come[np.minimum(early, now + 1)]), 0.0)
        waiting -= admitted
        level = admitted * output / iterations
        running = level + (running - level) * np.exp(-iterations / output)
        gone = np.maximum(waiting - takes * platform.patience_seconds, 0.0)
        waiting -= gone
        late_now = np.where(
            itl > objective.itl_seconds * pace_ratio, admitted, np.minimum(admitted, overdue)
        )
        late[now // STEP_SECONDS] += late_now + gone
    return late


def _running_least(values: Floats) -> tuple[Floats, Ints]:
    """Least of all values up to each place, and where it lies."""
    least = np.minimum.accumulate(values)
    places = np.maximum.accumulate(np.where(values <= least, np.arange(len(values)), 0))
    return least, places
