"""The pace of the cycle and its limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanningSettings:
    """The pace of the cycle and its limits; the operator's settings hold the defaults."""

    look_period_seconds: float
    step_seconds: float
    """Of the forecast's series; a step's value is the mean of its looks."""
    answer_seconds_max: float
    """How long an answer stands, counted from the reading behind it."""
    look_seconds_max: float
    """For one look, from its slot to its observation."""
    looks_at_once: int
    """At one source."""
    history_seconds: float
    restore_seconds_max: float = 600.0
    restores_at_once: int = 2
    """At one source; fewer than looks, so that reading the past leaves room for the present."""
    state_wait_seconds_max: float = 60.0
    """How long earlier plans stand while a feed waits for its state; then it is read without."""
    resume_seconds_max: float = 60.0
    """The timeout for fetching one state."""
    resumes_at_once: int = 32
    """Limits the load on peers and the disk."""
    pools: Mapping[str, int] = field(default_factory=dict)
    """GPUs of each pool of known size."""
