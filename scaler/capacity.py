"""What one replica serves within the workload's objective.

Three limits, each enough on its own to make requests late: prompt tokens per second (prefill),
generated tokens per second (decode) and requests worked on at a time (batch slots and KV cache).
They come from the trigger's metadata, measured by the user at their own mix of traffic, or from the
engine preset's prior, which is coarse and says so.
"""

from dataclasses import dataclass
from enum import StrEnum


class Origin(StrEnum):
    """Where a capacity figure comes from."""

    METADATA = "metadata"
    PRIOR = "prior of the engine preset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One capacity limit of a replica."""

    per_replica: float
    """In the dimension's own unit: tokens per second, or requests."""
    origin: Origin

    def __post_init__(self) -> None:
        assert self.per_replica > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaCapacity:
    """The three limits of one replica."""

    prompt_tokens: Limit
    generated_tokens: Limit
    requests: Limit


def limit(given: float | None, prior: float) -> Limit:
    """The figure the user gave, else the preset's."""
    if given is None:
        return Limit(per_replica=prior, origin=Origin.PRIOR)
    return Limit(per_replica=given, origin=Origin.METADATA)
