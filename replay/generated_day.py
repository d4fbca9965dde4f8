"""A workload to replay: traffic, engine, platform and objective in one record.

The default is meant to be recognised by whoever runs a chat product on a 32B model: a working day
with a trough at a quarter of its peak, one flash crowd before noon, five minutes from order to
ready, and a client that gives up after a minute. Nothing in it was chosen by looking at how a rule
fares.
"""

from dataclasses import dataclass, field
from math import ceil

import numpy as np

from replay.engine import TICK_SECONDS
from replay.fleet import FleetSettings
from replay.profile import QWEN3_32B_FP8_H100, EngineProfile, capacity_requests_per_second
from replay.score import Objective
from replay.traffic import DAY_SECONDS, FlashCrowd, Traffic, TrafficSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedDay:
    """Everything but the seed and the rule."""

    traffic: TrafficSettings
    seconds: int = DAY_SECONDS
    days_before: int = 7
    """Past that a forecaster may read at the start."""
    profile: EngineProfile = QWEN3_32B_FP8_H100
    fleet: FleetSettings = field(default_factory=FleetSettings)
    objective: Objective = field(default_factory=Objective)
    patience_seconds: int = 60
    """A client without a first token by then gives up."""
    replicas_min: int = 2
    replicas_max: int = 24

    def __post_init__(self) -> None:
        if not 0 <= self.replicas_min <= self.replicas_max:
            raise ValueError(
                f"replicas_min {self.replicas_min} and replicas_max {self.replicas_max} "
                "must satisfy 0 <= min <= max"
            )
        if self.fleet.rows < self.replicas_max:
            raise ValueError(
                f"fleet.rows {self.fleet.rows} must hold replicas_max {self.replicas_max}, "
                "and those that drain beside them"
            )
        if self.seconds % TICK_SECONDS or self.seconds <= 0:
            raise ValueError(f"seconds {self.seconds} must be a positive whole number")


DEFAULT = GeneratedDay(
    traffic=TrafficSettings(
        peak_requests_per_second=60,
        flash_crowds=(FlashCrowd(at_seconds=11 * 3600 + 20 * 60, ratio=1.7),),
    )
)


def draw(scenario: GeneratedDay, *, seed: int) -> Traffic:
    """The traffic of one run; the same for every rule compared on it."""
    return Traffic(
        scenario.traffic, seed=seed, seconds=scenario.seconds, days_before=scenario.days_before
    )


def replicas_at_start(scenario: GeneratedDay, traffic: Traffic) -> int:
    """What the first minute needs at 70 % of a replica's capacity: every rule starts fed."""
    capacity = capacity_requests_per_second(
        scenario.profile, traffic.mix_at(0), itl_seconds=scenario.objective.itl_seconds
    )
    rate = float(traffic.requests_per_second(np.array([0.0]))[0])
    needed = ceil(rate / (0.7 * capacity))
    return min(max(needed, scenario.replicas_min), scenario.replicas_max)
