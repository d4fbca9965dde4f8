"""What one replica serves within the workload's objective.

Prompt and generated tokens share a replica: an iteration of a continuous-batching engine takes time
for both, so their work adds up. The work of a token is in replica-seconds, and the load of a
workload, in replicas, is

    prompt tokens/s × prompt work + generated tokens/s × generated work.

A user measures a replica at the usual mix of traffic: so many prompt and so many generated tokens
per second, together, in time. That is one equation for two unknowns; how one replica's second is
split between them is taken from the engine preset's prior. At the mix that was measured the split
does not matter, and away from it the load follows the mix. Batch slots are a limit of their own.
"""

from dataclasses import dataclass
from enum import StrEnum


class Origin(StrEnum):
    """Where a capacity figure comes from."""

    METADATA = "metadata"
    PRIOR = "prior of the engine preset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Replica-seconds that one token takes."""

    prompt: float
    generated: float
    origin: Origin

    def replicas(self, prompt: float | None, generated: float | None) -> float | None:
        """The load of these tokens per second; of one alone where only one is measured."""
        if prompt is None and generated is None:
            return None
        return self.prompt * (prompt or 0.0) + self.generated * (generated or 0.0)


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


def work_of(prompt: float | None, generated: float | None, *, prior: Speeds) -> Work:
    """The work of a token, from what the user measured and the preset's prior.

    Args:
        prompt: tokens per second of one replica at the usual mix; None where not given.
        generated: likewise. With one of the two given, that one alone makes the load: the user
            says what binds.
        prior: what a replica serves of one kind if it did nothing else.
    """
    if prompt is not None and generated is not None:
        busy_prompt, busy_generated = prompt / prior.prompt, generated / prior.generated
        share = busy_prompt / (busy_prompt + busy_generated)
        return Work(
            prompt=share / prompt, generated=(1 - share) / generated, origin=Origin.METADATA
        )
    if prompt is not None:
        return Work(prompt=1 / prompt, generated=0.0, origin=Origin.METADATA)
    if generated is not None:
        return Work(prompt=0.0, generated=1 / generated, origin=Origin.METADATA)
    return Work(prompt=1 / prior.prompt, generated=1 / prior.generated, origin=Origin.PRIOR)
