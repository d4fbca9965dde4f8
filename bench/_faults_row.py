"""One fault of `python -m bench faults`, and what was observed under it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What came of it."""

    text: str
    wrong_scale_downs: int
    """Answers below what the demand needs."""
    lost: int
    """Answers, looks or calls of others that were not given."""
    recovered_seconds: float | None
    """From the end of the fault until all is as before; None where nothing is to recover."""
    ok: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault and what is expected under it."""

    name: str
    expected: str
    run: Callable[[], Observed]
