"""One night's choice of the rules' constants for a pool: what is remembered of it, and why not.

The choice itself is a replay of the pool's last days (`replay.pool_tuning`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeVar

from policies.node_plan import Step
from policies.planning.demand import POOLS_MAX, PastDemand
from policies.rules.constants import RuleConstants
from policies.situation import LeadTime

EVIDENCE_MAX: Final = 16
"""Constants that one night compares at most."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What constants would have cost over the days that were replayed."""

    hold_factor: float
    order_factor: float
    cost: float
    """In GPU-seconds: idle ones, and rho for each delayed pod-second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningRecord:
    """One night's choice, with all that it was chosen from."""

    at_seconds: float
    before: RuleConstants
    after: RuleConstants
    evidence: tuple[Evidence, ...]
    """The constants in force first."""

    @property
    def moved(self) -> bool:
        return self.before != self.after

    @property
    def text(self) -> str:
        """For a person."""
        now, *others = self.evidence
        best = min(others, key=lambda one: one.cost, default=now)
        change = f"{best.cost / now.cost - 1:+.1%}" if now.cost > 0 else "as dear"
        other = f"hold {best.hold_factor:g}, order {best.order_factor:g} ({change})"
        if not self.moved:
            return (
                f"hold factor {now.hold_factor:g} and order factor {now.order_factor:g} stay; "
                f"the best of {len(others)} neighbours was {other}"
            )
        return (
            f"hold factor {now.hold_factor:g} and order factor {now.order_factor:g} are left for "
            f"{other}, the best of {len(others)} neighbours"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningInput:
    """All that one night's choice for a pool is made of."""

    past: PastDemand
    until_seconds: float
    """The moment of the choice; nothing later counts."""
    gpus_per_node: int
    gpus_per_pod: int
    lead_time: LeadTime
    consolidate_after_seconds: float | None
    static: bool
    rho: float
    trust: float
    constants: RuleConstants
    """In force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoChoice:
    """A night without a choice: the constants in force stay."""

    at_seconds: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedPools:
    """The last choices, by pool."""

    records: Mapping[str, TuningRecord] = field(default_factory=dict)
    """Kept over restarts: the constants in force are those that the last one chose."""
    without: Mapping[str, NoChoice] = field(default_factory=dict)
    """Of pools whose last night ended without a choice."""

    def with_night(self, pool: str, found: TuningRecord | NoChoice) -> "TunedPools":
        """With the result of a night; of more than `POOLS_MAX` pools the oldest is forgotten."""
        records = {name: one for name, one in self.records.items() if name != pool}
        without = {name: one for name, one in self.without.items() if name != pool}
        if isinstance(found, NoChoice):
            without[pool] = found
            if pool in self.records:
                records[pool] = self.records[pool]
        else:
            records[pool] = found
        return TunedPools(records=_newest(records), without=_newest(without))

    def only(self, pools: Collection[str]) -> "TunedPools":
        """Of some pools."""
        return TunedPools(
            records={name: one for name, one in self.records.items() if name in pools},
            without={name: one for name, one in self.without.items() if name in pools},
        )

    def last_night_of(self, pool: str) -> TuningRecord | NoChoice | None:
        """What came of it; None = there was none."""
        return self.without.get(pool) or self.records.get(pool)

    def constants_of(self, pool: str) -> RuleConstants:
        """As they were last chosen, else as they ship."""
        record = self.records.get(pool)
        return record.after if record is not None else RuleConstants()


def tuning_step(tuned: TunedPools, pool: str) -> Step:
    """What a pool's plan says of its last night."""
    record, without = tuned.records.get(pool), tuned.without.get(pool)
    parts = ["no night has chosen yet: the constants are as they ship"]
    if record is not None:
        parts = [f"{_moment(record.at_seconds)}: {record.text}"]
    if without is not None:
        parts.append(f"{_moment(without.at_seconds)}: no choice, {without.why}")
    return Step(rule="tuning", text="; ".join(parts))


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _newest(pools: Mapping[str, T]) -> Mapping[str, T]:
    return dict(list(pools.items())[-POOLS_MAX:])
