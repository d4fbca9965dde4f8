"""How the requests of a run fared, whatever engine served them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Requests judged so far, since judging began."""

    requests: float
    in_time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the requests saw that came since judging began."""

    requests: float
    in_time: float
    ttft_seconds: tuple[float, float, float]
    """.5, .95 and .99 quantile; those who gave up count with the time they had waited."""
    itl_p99_seconds: float
    errors: float
    """Gave up or were killed."""
    cold_start: float
    """Late or gone while a replica was starting."""
