"""What a policy is: a rule that sees a workload's totals and says how many replicas it wants.

`Known`, `Seen` and `Rule` are the port for a rule of your own: what it is told before a run, what
it sees during one, and what it returns (docs/own-rule.md). `rule_kind` makes a row of the catalogue
from a class that is written against them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

from replay import hpa
from replay.replay_input import ReplayInput
from scaler.signals import LatencyCounts

PERIOD_SECONDS = 15
"""Between two decisions of a rule that does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a rule is told before a run; all of it comes from the past, or from the settings."""

    replicas_min: int
    replicas_max: int
    replicas_at_start: int
    start_up_seconds: float
    """From "one more replica" to "it serves": median of the replicas that run at the start."""
    replica_requests_per_second: float
    """What one replica serves in time at the usual lengths: its load test."""
    replica_streams: float
    """Requests that one replica works on at that rate."""
    prompt_tokens: float
    """Of a request, mean of the past."""
    output_tokens: float
    """The same."""
    ttft_seconds: float
    """Objective: to the first token."""
    itl_seconds: float
    """Objective: from one token to the next."""

    @classmethod
    def of(cls, replay_input: ReplayInput) -> Self:
        """What is known of a replay input before it starts."""
        platform, mix = replay_input.platform, replay_input.mix
        return cls(
            replicas_min=platform.replicas_min,
            replicas_max=platform.replicas_max,
            replicas_at_start=replay_input.replicas_at_start,
            start_up_seconds=replay_input.start_up_seconds,
            replica_requests_per_second=replay_input.replica_requests_per_second,
            replica_streams=replay_input.replica_streams,
            prompt_tokens=mix.prompt_tokens,
            output_tokens=mix.output_tokens,
            ttft_seconds=platform.objective.ttft_seconds,
            itl_seconds=platform.objective.itl_seconds,
        )


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

    @classmethod
    def as_it_is(cls, name: str, source: str, make: Callable[[ReplayInput], Policy]) -> Self:
        """A rule of which nothing can be set."""
        return cls(
            name=name,
            source=source,
            knob="none",
            usual=0.0,
            knobs=(0.0,),
            make=lambda replay_input, _knob: make(replay_input),
        )


def rule_kind(rule: type[Any], *, name: str = "") -> PolicyKind:
    """A row of the catalogue, from a class that is written against the port.

    The class may have the attributes `name`, `source`, `period_seconds`, and, where one number of
    it can be set, `knob` (what it is), `usual` (its default) and `knobs` (settings to compare).
    A class with `usual` is made with `(known, knob)`, another one with `(known)`.

    Args:
        name: of the rule, where the class has none.
    """
    usual = getattr(rule, "usual", None)

    def make(replay_input: ReplayInput, knob: float) -> Policy:
        known = Known.of(replay_input)
        policy: Policy = rule(known) if usual is None else rule(known, knob)
        return policy

    setting = 0.0 if usual is None else float(usual)
    text = (rule.__doc__ or "").strip().splitlines()
    return PolicyKind(
        name=getattr(rule, "name", name),
        source=getattr(rule, "source", text[0] if text else "a rule of your own"),
        knob=getattr(rule, "knob", "none"),
        usual=setting,
        knobs=tuple(map(float, getattr(rule, "knobs", (setting,)))),
        make=make,
    )
