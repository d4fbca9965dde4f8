"""What a policy is: a rule that sees a workload's totals and says how many replicas it wants."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from replay import hpa
from replay.replay_input import ReplayInput
from scaler.signals import LatencyCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What metrics show of the whole workload at one moment; rates are of the last minute."""

    at_seconds: int
    replicas: int
    """Asked for and not draining: ready and starting."""
    ready: int
    running: float
    waiting: float
    kv_use_ratio: float
    """Mean over the replicas."""
    itl_seconds: float
    arrived_per_second: float
    """At the gateway, served or not."""
    finished_per_second: float
    prompt_tokens_per_second: float
    """Of requests that were admitted: an engine's counter."""
    output_tokens_per_second: float
    prompt_tokens: float
    """Mean of the last minute's requests; of the past's where none came."""
    output_tokens: float
    ttft_p90_seconds: float | None = None
    """Of those who got their first token, or gave up, in the last minute; None = nobody."""
    ttft: LatencyCounts | None = None
    """Of the last minute, as an engine's histogram shows it; None where it is not modelled."""
    itl: LatencyCounts | None = None
    """Likewise, between tokens."""

    @property
    def in_flight(self) -> float:
        return self.running + self.waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a rule that plans takes for true: given or learned."""

    replica_requests_per_second: float
    """That one replica serves in time, at the mix of `prompt_tokens` and `output_tokens`."""
    prompt_tokens: float
    output_tokens: float
    lead_seconds: float


class Policy(Protocol):
    """One rule on one run, with its memory."""

    period_seconds: int
    """How often it decides."""

    def decide(self, seen: Seen) -> int:
        """Replicas wanted from now on; the bounds are the caller's."""
        ...


@runtime_checkable
class Explaining(Protocol):
    """A policy that can say why, and what it foresees."""

    def why(self) -> str:
        """Of the last decision, for a person."""
        ...

    def forecast_ahead(self) -> tuple[float, float] | None:
        """Median and planned-for quantile of prompt tokens a second, a start-up ahead."""
        ...


@runtime_checkable
class Reckoning(Protocol):
    """A policy that reckons with figures of a replica."""

    def figures(self) -> Figures | None:
        """Of the last decision; None before the first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyKind:
    """A rule, where it comes from, and its one main knob."""

    name: str
    source: str
    """Whose rule our reading is of, with its documented defaults."""
    knob: str
    """What the knob is, with its unit."""
    usual: float
    """The knob's documented default, or what its guide tells to set."""
    knobs: tuple[float, ...]
    """Settings that a comparison at equal attainment sweeps."""
    make: Callable[[ReplayInput, float], Policy]
    with_behavior: Callable[[ReplayInput, float, hpa.Behavior], Policy] | None = None
    """The rule behind an HPA with another behavior; None = it acts through no HPA."""
