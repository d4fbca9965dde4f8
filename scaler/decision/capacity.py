"""What one replica serves within the workload's objective.

Prompt and generated tokens share a replica: an iteration of a continuous-batching engine takes time
for both, so their work adds up. But two rates that a user gives may be what one replica serves
*together*, at the usual mix, or two limits that were measured apart, and nothing in the numbers
tells which. So without more knowledge the larger of the two ratios is the load, which asks for
too many when the mix moves, never for too few. Who knows the share of a replica's second that
prompts take at the usual mix gives it, and gets the sum:

    load = share × prompt ÷ prompt rate + (1 − share) × generated ÷ generated rate.

Batch slots are a limit of their own.
"""

from dataclasses import dataclass
from enum import StrEnum


class Origin(StrEnum):
    """Where a capacity figure comes from."""

    METADATA = "metadata"
    PRIOR = "prior of the engine preset"


class Together(StrEnum):
    """How the work of the two kinds of token makes a load."""

    SUM = "sum"
    LARGER = "larger"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Replica-seconds that one token takes."""

    prompt: float
    generated: float
    together: Together
    origin: Origin

    def replicas(self, prompt: float | None, generated: float | None) -> float | None:
        """The load of these tokens per second; of one alone where only one is measured."""
        parts = [
            per_token * rate
            for per_token, rate in ((self.prompt, prompt), (self.generated, generated))
            if rate is not None
        ]
        if not parts:
            return None
        return sum(parts) if self.together is Together.SUM else max(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeds:
    """Tokens per second that one replica serves in time."""

    prompt: float
    generated: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaCapacity:
    """The limits of one replica."""

    work: Work
    requests: float
    """Requests worked on at a time."""


def work_of(
    prompt: float | None, generated: float | None, *, prefill_share: float | None, prior: Speeds
) -> Work:
    """The work of a token, from what the user measured, else from the preset's prior.

    Args:
        prompt: tokens per second of one replica; None where not given.
        generated: likewise. With one of the two given, that one alone makes the load: the user
            says what binds.
        prefill_share: share of a replica's second that prompts take at the usual mix, 0 to 1.
        prior: what a replica serves of one kind if it did nothing else.
    """
    if prompt is None and generated is None:
        return Work(
            prompt=1 / prior.prompt,
            generated=1 / prior.generated,
            together=Together.SUM,
            origin=Origin.PRIOR,
        )
    share = None if prompt is None or generated is None else prefill_share
    return Work(
        prompt=0.0 if prompt is None else (share or 1.0) / prompt,
        generated=0.0 if generated is None else (1.0 if share is None else 1 - share) / generated,
        together=Together.LARGER if share is None else Together.SUM,
        origin=Origin.METADATA,
    )
