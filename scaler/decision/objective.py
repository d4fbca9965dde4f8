"""What users shall see: latency limits, and the share of requests that keep them."""

from dataclasses import dataclass

from fleet.objective import ATTAINMENT, ITL_SECONDS, TTFT_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The objective of one workload."""

    ttft_seconds: float = TTFT_SECONDS
    """To the first token."""
    itl_seconds: float = ITL_SECONDS
    """From one token to the next."""
    attainment: float = ATTAINMENT
    """Share of requests within both, above 0 and below 1."""
