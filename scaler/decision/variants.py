"""Variants of one model on different GPUs: filled cheapest first, and drained dearest first.

A gateway spreads the requests of a model over all its replicas, so only the sum of what they serve
counts. The whole demand is planned once, in replicas of one of the variants, and that number is
split here: each variant keeps its minimum, and the rest goes to the cheapest dollar a token, up to
its maximum.

A replica that runs counts a quarter cheaper than one that would have to start. So growth goes to
the cheapest and shrinking takes the dearest, but a running replica is replaced by a cheaper one
only where that saves a fifth, and two variants of about equal price never change places. What is
replaced stays until the others are ready.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from scaler.decision.scarce import KEPT_FACTOR

_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One variant, as its last look has it."""

    name: str
    dollars: float
    """For a million tokens of the model's mix, at a full replica."""
    worth: float
    """What a replica serves, in replicas of the variant that the model's demand is counted in."""
    held: int
    """Replicas that it has, or that are on their way."""
    ready: int
    least: int
    most: int
    stuck: int = 0
    """Of `held`, those that were ordered long ago and do not come; they stay ordered, and do not
    count."""

    @property
    def cap(self) -> int:
        """Replicas that can count."""
        return max(self.least, self.most - self.stuck)


def split(needed: float, variants: Sequence[Variant]) -> tuple[int, ...]:
    """Replicas of each variant, so that together they are worth what is needed, if they can be."""
    counts = [variant.least for variant in variants]
    left = needed - sum(variant.least * variant.worth for variant in variants)
    for _, place, until in sorted(_offers(variants)):
        variant = variants[place]
        wanted = ceil(left / variant.worth - _ROUNDING)
        taken = min(max(wanted, 0), until - counts[place])
        counts[place] += max(taken, 0)
        left -= max(taken, 0) * variant.worth
    return tuple(
        min(max(counts[place], _kept(needed, place, counts, variants)) + one.stuck, one.most)
        for place, one in enumerate(variants)
    )


def _offers(variants: Sequence[Variant]) -> list[tuple[float, int, int]]:
    """Price, place, and up to how many replicas it holds: those that run, then new ones."""
    offers = []
    for place, variant in enumerate(variants):
        running = min(max(variant.held - variant.stuck, variant.least), variant.cap)
        offers.append((variant.dollars, place, running))
        offers.append((variant.dollars * KEPT_FACTOR, place, variant.cap))
    return offers


def _kept(needed: float, place: int, counts: Sequence[int], variants: Sequence[Variant]) -> int:
    """Replicas that stay because those that shall take their place are not ready."""
    others = sum(
        min(other.ready, counts[at]) * other.worth
        for at, other in enumerate(variants)
        if at != place
    )
    variant = variants[place]
    without = ceil((needed - others) / variant.worth - _ROUNDING)
    return min(variant.held - variant.stuck, without, variant.cap)


def reason(model: str, needed: float, variants: Sequence[Variant], counts: Sequence[int]) -> str:
    """The split in words, the cheapest first."""
    order = sorted(range(len(variants)), key=lambda place: variants[place].dollars)
    base = next((one.name for one in variants if one.worth == 1.0), "the first variant")
    parts = []
    for place in order:
        one, count = variants[place], counts[place]
        text = f"{count} on {one.name} (${one.dollars:.3g} per M tokens"
        if count == one.most:
            text += ", its most"
        elif count == one.least:
            text += ", its least"
        if one.stuck:
            text += f", {one.stuck} of them never came"
        parts.append(text + ")")
    listed = ", then ".join(parts)
    served = sum(n * one.worth for n, one in zip(counts, variants, strict=True))
    short = "" if served >= needed - _ROUNDING else f"; all of them serve {served:.1f}"
    return f"model {model} wants {needed:.3g} replicas of {base}: {listed}{short}"
