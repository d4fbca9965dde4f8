"""What no rule can get past on a replay input, computed before anything is compared on it."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from replay.engine import KV_ADMISSION_RATIO
from replay.oracle import STEP_SECONDS, lateness
from replay.replay_input import REPLICAS_MAX, ReplayInput
from replay.traffic import Floats

_MAX_PER_PEAK = 2
"""Replicas allowed for each that the busiest minute needs: a rule may overshoot, and be seen to."""
_HELD = 0.9995
"""In time with all replicas ready: from here on they hold the demand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Something that keeps requests from being in time whatever the rule."""

    attainable: float
    """Share that can be in time at most."""
    what: str
    """For a person: the limit, and what would be needed."""
    remedy: str
    """What to do about it, where a plan says what is replayed."""


def replicas_max_for(replay_input: ReplayInput) -> int:
    """The bound on replicas where none was given: large enough not to decide the result."""
    peak = float(replay_input.need_by_minute().max(initial=0.0))
    return max(REPLICAS_MAX, ceil(_MAX_PER_PEAK * peak), replay_input.platform.replicas_min)


def limits_of(replay_input: ReplayInput) -> tuple[Limit, ...]:
    """All that stands in the way."""
    found = (_of_one_replica(replay_input), _of_the_fleet(replay_input))
    return tuple(limit for limit in found if limit is not None)


def _of_one_replica(replay_input: ReplayInput) -> Limit | None:
    """Requests that even a replica with nothing else to do answers late, or never."""
    profile = replay_input.platform.profile
    ttft_seconds = replay_input.platform.objective.ttft_seconds
    computed = replay_input.prompt_tokens * (1 - profile.prefix_hit_ratio)
    per_token = (
        profile.per_prefill_token_seconds + profile.fixed_seconds / profile.batched_tokens_max
    )
    context = replay_input.prompt_tokens + replay_input.output_tokens / 2
    slow = computed * per_token > ttft_seconds
    large = context > profile.kv_tokens_max * KV_ADMISSION_RATIO
    judged = slice(replay_input.run_in_seconds, None)
    share = _share(replay_input.arrivals[judged], (slow | large)[judged])
    if not share:
        return None
    reasons = []
    if slow[judged].any():
        reasons.append(
            f"prompts of {replay_input.prompt_tokens[judged].max():,.0f} tokens alone take"
            f" {computed[judged].max() * per_token:.3g} s of the ttft of {ttft_seconds:g} s"
        )
    if large[judged].any():
        reasons.append(
            f"requests of {context[judged].max():,.0f} tokens do not fit a KV cache of"
            f" {profile.kv_tokens_max:,}"
        )
    return Limit(
        attainable=1 - share,
        what=(
            f"{share:.1%} of the requests are too large for one replica of {profile.name} with"
            f" nothing else to do: {' and '.join(reasons)}. No number of replicas helps."
        ),
        remedy="Set a later ttft in the plan, or a replica that can (engine, serves).",
    )


def _of_the_fleet(replay_input: ReplayInput) -> Limit | None:
    """More demand than the largest fleet allowed can take."""
    most = replay_input.platform.replicas_max
    need = replay_input.need_by_minute()
    over = int((need > most).sum())
    if not over:
        return None
    steps = slice(ceil(replay_input.run_in_seconds / STEP_SECONDS), None)
    late = float(lateness(replay_input, np.array([float(most)]), pace_ratio=1.0)[steps].sum())
    asked = float(replay_input.arrivals[replay_input.run_in_seconds :].sum())
    attainable = max(0.0, 1 - late / asked) if asked else 1.0
    if attainable > _HELD:
        return None  # the need has a margin that a fleet can do without
    return Limit(
        attainable=attainable,
        what=(
            f"The busiest minute needs {ceil(need.max()):,} replicas, and {most:,} are allowed."
            f" With all {most:,} ready all the time about {attainable:.1%} of the requests are in"
            " time."
        ),
        remedy=(
            "Leave replicas.max out of the plan, or set it to"
            f" {replicas_max_for(replay_input):,}, or scale the traffic down (--scale-to)."
        ),
    )


def _share(arrivals: Floats, chosen: NDArray[np.bool_]) -> float:
    asked = float(arrivals.sum())
    return float(arrivals[chosen].sum()) / asked if asked else 0.0
