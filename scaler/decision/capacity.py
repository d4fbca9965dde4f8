"""The capacity of one replica within the workload's objective.

Prompt and generated tokens share a replica: an iteration of a continuous-batching engine takes time
for both, so their work adds up. But two rates that a user gives may be what one replica serves
*together*, at the usual mix, or two limits that were measured apart, and the numbers do not say
which. So without `prefillShare` the load is the larger of the two ratios. With `prefillShare`, the
share of a replica's second that prompts take at the usual mix, the load is a sum:

    load = share × prompt ÷ prompt rate + (1 − share) × generated ÷ generated rate.

Batch slots are a limit of their own.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from scaler.trigger import Phase


class Origin(StrEnum):
    """Where a capacity figure comes from."""

    METADATA = "metadata"
    PRIOR = "preset default"
    LEARNED = "learned"


class Together(StrEnum):
    """How the work of the two kinds of token makes a load; the values are read in explanations."""

    SUM = "sum of"
    LARGER = "the larger of"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Replica-seconds that one token takes."""

    prompt: float
    generated: float
    together: Together
    origin: Origin

    def replicas(self, prompt: float | None, generated: float | None) -> float | None:
        """The load of these tokens per second; of one alone where only one is measured."""
        parts = self._parts(prompt, generated)
        if not parts:
            return None
        return sum(parts) if self.together is Together.SUM else max(parts)

    def of(self, phase: Phase) -> "Work":
        """What is left of it where replicas do one phase alone."""
        match phase:
            case Phase.BOTH:
                return self
            case Phase.PREFILL:
                return replace(self, generated=0.0)
            case Phase.DECODE:
                return replace(self, prompt=0.0)
            case _:
                assert_never(phase)

    def reason(self, prompt: float | None, generated: float | None) -> str:
        """Where the figures come from and, if both kinds count, how their loads were joined.

        For example `metadata, the larger of 1.50 and 0.94`.
        """
        parts = self._parts(prompt, generated)
        if len(parts) == 1 or not (self.prompt and self.generated):
            return self.origin
        return f"{self.origin}, {self.together} " + " and ".join(f"{part:.2f}" for part in parts)

    def _parts(self, prompt: float | None, generated: float | None) -> list[float]:
        return [
            per_token * rate
            for per_token, rate in ((self.prompt, prompt), (self.generated, generated))
            if rate is not None
        ]


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
    """The work of a token, from the trigger's metadata, else from the preset's defaults.

    Args:
        prompt: tokens per second of one replica; None where not given.
        generated: likewise. If only one of the two is given, that one alone makes the load.
        prefill_share: share of a replica's second that prompts take at the usual mix, 0 to 1.
        prior: what a replica serves of one kind while it serves nothing of the other.
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
