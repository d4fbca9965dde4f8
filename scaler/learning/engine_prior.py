"""The belief about an engine before its own metrics taught anything.

An iteration of a continuous-batching engine takes

    T = a + b·running + c·KV tokens + d·(computed prompt tokens a second)·T        seconds

for each replica. The figures that a trigger or a preset gives are turned into such a, b, c and d.
Those figures are what serves in time, so they are the cautious end of the belief: with no evidence
the plan is exactly what it was without learning.
"""

import math
from dataclasses import dataclass
from typing import Final

from scaler.decision.capacity import Origin, ReplicaCapacity, Together

UTILIZATION_PRIOR: Final = 0.85
"""Share of the rate at which the mean ITL reaches its limit that is served in time: 70 to 85 % in
fleets of one-second arrivals with a variance of 2.25 × their mean."""
CAUTION: Final = 1.0
"""Standard deviations below its mean that a belief is planned with while unsure."""
CONTEXT_TOKENS: Final = 1000.0
"""Of one request, until the engine shows its own."""
_FIXED_SHARE: Final = 0.25
"""`a` ÷ the ITL limit: 15 ms of 60 ms is a 32B model in 8 bit on one large GPU."""
_SPREADS: Final = {Origin.METADATA: 0.5, Origin.PRIOR: 1.0}
"""Relative standard deviation of each coefficient: a measured figure, a preset's guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IterationTime:
    """The coefficients of an iteration's time, of one replica; none is below 0."""

    fixed_seconds: float
    """`a`: an iteration with nothing to do."""
    per_sequence_seconds: float
    """`b`: for each running request."""
    per_kv_token_seconds: float
    """`c`: for each token in the KV cache."""
    per_prompt_token_seconds: float
    """`d`: for each prompt token that is computed."""

    def per_generated_token_seconds(self, context_tokens: float) -> float:
        """Share of an iteration that one running request takes, its context included."""
        return self.per_sequence_seconds + self.per_kv_token_seconds * context_tokens

    def spare_share(self, itl_seconds: float) -> float:
        """Share of an iteration that work may take at this ITL; 0 where none is left."""
        return max(0.0, 1 - self.fixed_seconds / itl_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePrior:
    """What is believed of an engine without its metrics, and how surely."""

    iteration: IterationTime
    spread: float
    """Relative standard deviation of each coefficient."""


def prior_of(capacity: ReplicaCapacity, *, itl_seconds: float) -> EnginePrior:
    """The prior that the figures of a trigger or a preset make.

    Two rates without a prefill share are what a replica serves together, so each counts half.
    """
    work, spread = capacity.work, _SPREADS.get(capacity.work.origin, 1.0)
    half = 0.5 if work.together is Together.LARGER and work.prompt and work.generated else 1.0
    # What serves in time at the cautious end is less than the mean of the belief.
    scale = half * (1 - _FIXED_SHARE) * UTILIZATION_PRIOR * math.exp(-rate_spread(spread))
    # A kind of token without a figure costs a tenth of the other kind, so that it can be learned.
    least = max(work.prompt, work.generated) / 10
    prompt, generated = max(work.prompt, least) * scale, max(work.generated, least) * scale
    return EnginePrior(
        iteration=IterationTime(
            fixed_seconds=_FIXED_SHARE * itl_seconds,
            per_sequence_seconds=generated / 2,
            per_kv_token_seconds=generated / 2 / CONTEXT_TOKENS,
            per_prompt_token_seconds=prompt,
        ),
        spread=spread,
    )


def rate_spread(spread: float) -> float:
    """Relative deviation of a replica's rate, at half prompts and half answers.

    Args:
        spread: of each coefficient.
    """
    shares = (_FIXED_SHARE / (1 - _FIXED_SHARE), 0.25, 0.25, 0.5)
    return CAUTION * spread * math.hypot(*shares)
