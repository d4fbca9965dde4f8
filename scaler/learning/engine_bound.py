"""The operator's figures of a replica as a bound on what is learned.

Figures that are wrong by a factor of two or three are corrected by the engine's metrics. A learned
capacity of more than four times what was measured by hand is more likely a fault of the metrics, or
of the trigger, and would take three of four replicas from a fleet that serves. So it is planned
with four times the figures, and the step says how to go beyond. A learned capacity far below the
figures stands, because its fault costs GPUs and no request; the step names it.
"""

from dataclasses import replace
from typing import Final

from scaler.decision.capacity import Origin, ReplicaCapacity, Together, Work
from scaler.learning.estimates import CapacityEstimate

FACTOR: Final = 4.0
"""Twice what a wrong figure is corrected by within hours, and more than the three times of which
an hour of load is enough."""
_KEYS: Final = "replicaPromptTokensPerSecond and replicaGeneratedTokensPerSecond"


def bounded(
    estimate: CapacityEstimate, given: ReplicaCapacity, mix: tuple[float, float]
) -> CapacityEstimate:
    """The estimate within the bound of the figures that were given, both of them.

    A preset's figures are a guess, and one rate alone says nothing at another mix: they bound
    nothing.

    Args:
        mix: prompt and generated tokens of the evidence, in proportion.
    """
    work = given.work
    if work.origin is not Origin.METADATA or not (work.prompt and work.generated):
        return estimate
    if work.together is Together.LARGER:
        # Measured together: at their own mix the two rates are one replica's.
        mix = 1 / work.prompt, 1 / work.generated
    told, learned = work.replicas(*mix), estimate.capacity.work.replicas(*mix)
    if not told or not learned:
        return estimate
    times = told / learned
    if 1 / FACTOR <= times <= FACTOR:
        return estimate
    found = f"the metrics show {times:.2g} times what {_KEYS} give a replica"
    if times < 1:
        return replace(estimate, bound=f"{found}, and are planned with: correct the keys")
    return replace(
        estimate,
        capacity=replace(estimate.capacity, work=_scaled(estimate.capacity.work, times / FACTOR)),
        bound=f"{found}: planned with {FACTOR:g} times; if they are right, correct the keys or "
        "leave them out",
    )


def _scaled(work: Work, factor: float) -> Work:
    return replace(work, prompt=work.prompt * factor, generated=work.generated * factor)
