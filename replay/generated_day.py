"""A generated day to play request by request: traffic, platform and the days before in one record.

The default is a chat product on a 32B model: a working day with a trough at a quarter of its peak,
one flash crowd before noon, five minutes from order to ready, and a client that gives up after a
minute. Nothing in it was chosen by looking at the results of a rule.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np

from replay.engine import TICK_SECONDS
from replay.fleet import FleetSettings
from replay.profile import RequestMix, capacity_requests_per_second
from replay.replay_input import Platform, ReplayInput, start_up_seen
from replay.traffic import (
    DAY_SECONDS,
    FlashCrowd,
    Floats,
    RateHistory,
    Requests,
    Traffic,
    TrafficSettings,
)

PAST_STEP_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedDay:
    """Everything but the seed and the rule."""

    traffic: TrafficSettings
    platform: Platform
    seconds: int = DAY_SECONDS
    days_before: int = 7
    """Past that a forecaster may read at the start."""

    def __post_init__(self) -> None:
        if self.seconds % TICK_SECONDS or self.seconds <= 0:
            raise ValueError(f"seconds {self.seconds} must be a positive whole number")


DEFAULT = GeneratedDay(
    traffic=TrafficSettings(
        peak_requests_per_second=60,
        flash_crowds=(FlashCrowd(at_seconds=11 * 3600 + 20 * 60, ratio=1.7),),
    ),
    platform=Platform(fleet=FleetSettings(), replicas_min=2, replicas_max=24),
)


def draw(day: GeneratedDay, *, seed: int) -> ReplayInput:
    """The input of one run; the same for every rule compared on it."""
    traffic = traffic_of(day, seed=seed)
    requests = traffic.requests()
    arrivals, prompt_tokens, output_tokens = _by_second(requests, day.seconds)
    past = traffic.history(step_seconds=PAST_STEP_SECONDS)
    replicas = _replicas_at_start(day, traffic)
    return ReplayInput(
        name="generated day",
        platform=day.platform,
        mix=_measured_mix(traffic, past),
        start_up_seconds=start_up_seen(day.platform.fleet.start_up, replicas, seed=seed),
        arrivals=arrivals,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        expected=traffic.requests_per_second(np.arange(day.seconds, dtype=np.float64)),
        past=past,
        run_in_seconds=0,
        replicas_at_start=replicas,
        requests=requests,
    )


def traffic_of(day: GeneratedDay, *, seed: int) -> Traffic:
    """The traffic behind an input, with the rate that it was drawn from."""
    return Traffic(day.traffic, seed=seed, seconds=day.seconds, days_before=day.days_before)


def _measured_mix(traffic: Traffic, past: RateHistory) -> RequestMix:
    """What an operator measured one replica at: the busiest minute of the day before."""
    day_before = past.requests_per_second[-DAY_SECONDS // PAST_STEP_SECONDS :]
    if not len(day_before):
        return traffic.mix_at(0)
    at_seconds = past.at_seconds[len(past.at_seconds) - len(day_before) + day_before.argmax()]
    return traffic.mix_at(float(at_seconds))


def _by_second(requests: Requests, seconds: int) -> tuple[Floats, Floats, Floats]:
    """Arrivals of each second, and their mean lengths; those of all in a second without any."""
    second = requests.arrival_seconds.astype(np.intp)
    arrivals = np.bincount(second, minlength=seconds).astype(np.float64)
    means = []
    for tokens in (requests.prompt_tokens, requests.output_tokens):
        sums = np.bincount(second, tokens, minlength=seconds)
        overall = float(tokens.mean()) if len(tokens) else 1.0
        means.append(np.divide(sums, arrivals, out=np.full(seconds, overall), where=arrivals > 0))
    return arrivals, means[0], means[1]


def _replicas_at_start(day: GeneratedDay, traffic: Traffic) -> int:
    """What the first minute needs at 70 % of a replica's capacity: every rule starts fed."""
    platform = day.platform
    capacity = capacity_requests_per_second(
        platform.profile, traffic.mix_at(0), itl_seconds=platform.objective.itl_seconds
    )
    rate = float(traffic.requests_per_second(np.array([0.0]))[0])
    needed = ceil(rate / (0.7 * capacity))
    return min(max(needed, platform.replicas_min), platform.replicas_max)
