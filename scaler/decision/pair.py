"""Prefill and decode apart: what one of the two phases means for the other.

Each is planned by its own signals. But decode sees only the requests that prefill has finished. So
while prefill is short, demand on decode looks smaller than it is, and its replicas would be ordered
one start-up after those of prefill. Hence decode is never planned below what the requests that
come to prefill will keep busy, at the work of a request that decode itself has shown. What prefill
cannot pass even at its maximum is left out.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

HALF_LIFE_SECONDS: Final = 600.0
"""Of the work of one request, as of the mix of tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestWork:
    """Running sums whose ratio is the work of one request, in replica-seconds."""

    at_seconds: float
    requests: float = 0.0
    load: float = 0.0

    def after(self, at_seconds: float, *, requests: float, load: float) -> "RequestWork":
        """The sums with this look in them, weighted by the time that it covers."""
        passed = max(0.0, at_seconds - self.at_seconds)
        keep = math.exp2(-passed / HALF_LIFE_SECONDS)
        return RequestWork(
            at_seconds=at_seconds,
            requests=self.requests * keep + requests * passed,
            load=self.load * keep + load * passed,
        )

    def moved(self, seconds: float) -> "RequestWork":
        """The same after the wall clock was set by so much."""
        return replace(self, at_seconds=self.at_seconds + seconds)

    @property
    def seconds(self) -> float | None:
        """None before any request."""
        return self.load / self.requests if self.requests > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One phase, as its last look has it."""

    name: str
    requests: float
    """That come a second, those included that begin to wait."""
    load: float
    """Replicas that they keep busy."""
    most: int

    @property
    def passes(self) -> float:
        """Requests a second that it passes on, with all the replicas that it may have."""
        return self.requests * self.most / self.load if self.load > self.most else self.requests

    @property
    def at_most(self) -> bool:
        """Whether it cannot serve what comes, whatever is ordered."""
        return self.load > self.most


def decode_need(prefill: Side, request_seconds: float | None) -> tuple[float, str]:
    """Replicas of decode that what prefill passes on will keep busy, and why."""
    comes = f"prefill {prefill.name} passes {prefill.passes:.3g} requests/s"
    if prefill.at_most:
        comes += f" of {prefill.requests:.3g}, with all its {prefill.most} replicas"
    if request_seconds is None:
        return 0.0, f"{comes}; the work of one is not known yet"
    need = prefill.passes * request_seconds
    return need, f"{comes}, each {request_seconds:.3g} replica-seconds of decode"


def prefill_remark(decode: Side) -> str:
    """What decode means for prefill: it is told, and prefill is not changed."""
    if not decode.at_most:
        return f"decode {decode.name} serves {decode.requests:.3g} requests/s"
    return (
        f"decode {decode.name} serves {decode.passes:.3g} of {decode.requests:.3g} requests/s with "
        f"all its {decode.most} replicas: more of prefill serve nobody"
    )
