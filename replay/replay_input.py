"""A trace made into a run: scaled to a fleet's size, with arrivals by the second and a past.

The first part of a long trace is the past: forecasters may read it, nobody is judged on it.
Bins are joined by straight lines between their middles, so inside a bin life was rougher than this.
"""

from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np

from replay.fleet import FleetSettings
from replay.profile import QWEN3_32B_FP8_H100, EngineProfile, RequestMix, concurrency
from replay.profile import capacity_requests_per_second as capacity
from replay.score import Objective
from replay.start_up import Stage, StartUp
from replay.traces import Trace
from replay.traffic import DAY_SECONDS, Floats, RateHistory, gamma_poisson

USED_RATIO = 0.85
"""Of the mean-field capacity: what a fleet serves in time."""
REPLICAS_MAX = 64
"""Enough to overshoot in, where the mean keeps eight busy."""
_PAST_SHARE_MAX = 1 / 3
_PAST_DAYS_MAX = 4
_RUN_IN_SECONDS = 600
"""Before judging begins: nobody is blamed for the state the fleet was found in."""


def fixed_start_up(seconds: float) -> StartUp:
    """Always the same, as the published comparisons have it."""
    return StartUp(stages=(Stage(name="start-up", median_seconds=seconds, log_sigma=0.0),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What serves the traffic, and what is promised of it."""

    profile: EngineProfile = QWEN3_32B_FP8_H100
    objective: Objective = field(default_factory=Objective)
    fleet: FleetSettings = field(default_factory=lambda: FleetSettings(rows=128))
    patience_seconds: int = 60
    replicas_min: int = 1
    replicas_max: int = REPLICAS_MAX
    variance_ratio: float = 2.25
    """Variance over mean of the requests in a second."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReplayInput:
    """Second 0 is where judging could begin; the past lies before it."""

    name: str
    platform: Platform
    mix: RequestMix
    """Mean over the trace."""
    replica_requests_per_second: float
    """What one replica serves in time at the mean mix."""
    arrivals: Floats
    """Requests of each second."""
    prompt_tokens: Floats
    output_tokens: Floats
    """Means of each second's requests."""
    expected: Floats
    """The rate that the arrivals were drawn from."""
    past: RateHistory
    run_in_seconds: int
    replicas_at_start: int

    @property
    def seconds(self) -> int:
        return len(self.arrivals)

    def first(self, seconds: int) -> "ReplayInput":
        """The same, ending early."""
        cut = {
            name: getattr(self, name)[:seconds]
            for name in ("arrivals", "prompt_tokens", "output_tokens", "expected")
        }
        return replace(self, **cut)

    @property
    def replica_streams(self) -> float:
        """Streams on one replica at its capacity: what an operator reads off a load test."""
        platform = self.platform
        return concurrency(platform.profile, self.mix, itl_seconds=platform.objective.itl_seconds)

    def need_by_minute(self) -> Floats:
        """Replicas that would serve each minute's requests in time, were they spread evenly."""
        whole = self.seconds // 60 * 60
        rate, prompt, output = (
            a[:whole].reshape(-1, 60).mean(axis=1)
            for a in (self.arrivals, self.prompt_tokens, self.output_tokens)
        )
        each = [
            USED_RATIO
            * capacity(
                self.platform.profile,
                RequestMix.constant(*lengths),
                itl_seconds=self.platform.objective.itl_seconds,
            )
            for lengths in zip(prompt.tolist(), output.tolist(), strict=True)
        ]
        need: Floats = rate / np.array(each)
        return need


def draw_input(
    trace: Trace, platform: Platform, *, seed: int, replicas_mean: float | None = None
) -> ReplayInput:
    """Draw a trace's requests second by second.

    Args:
        replicas_mean: scale the trace so that its mean demand keeps so many replicas busy; None
            takes it as it was recorded.
    """
    prompt, output = (_filled(a) for a in (trace.prompt_tokens, trace.output_tokens))
    rate: Floats = _filled(trace.requests_per_second)
    weight = rate / rate.sum()
    mix = RequestMix.constant(float(prompt @ weight), float(output @ weight))
    per_replica = USED_RATIO * capacity(
        platform.profile, mix, itl_seconds=platform.objective.itl_seconds
    )
    if replicas_mean is not None:
        scale = replicas_mean * per_replica / rate.mean()
        rate = np.multiply(rate, scale, dtype=np.float64)
    past_seconds = _past_seconds(trace)
    middles = (np.arange(len(rate), dtype=np.float64) + 0.5) * trace.step_seconds
    seconds = np.arange(int(trace.seconds) - past_seconds) + 0.5 + past_seconds
    expected = np.interp(seconds, middles, rate)
    arrivals = gamma_poisson(expected, platform.variance_ratio, np.random.default_rng((seed, 1)))
    first_need = expected[:60].max() / per_replica
    return ReplayInput(
        name=trace.name,
        platform=platform,
        mix=mix,
        replica_requests_per_second=per_replica,
        arrivals=arrivals.astype(np.float64),
        prompt_tokens=np.interp(seconds, middles, prompt),
        output_tokens=np.interp(seconds, middles, output),
        expected=expected,
        past=_past(past_seconds, middles, (rate, prompt, output), platform, seed),
        run_in_seconds=min(_RUN_IN_SECONDS, len(seconds) // 6),
        replicas_at_start=min(
            max(ceil(first_need / 0.8), platform.replicas_min), platform.replicas_max
        ),
    )


def _past_seconds(trace: Trace) -> int:
    """Whole days, at most a third of the trace."""
    days = min(_PAST_DAYS_MAX, int(trace.seconds * _PAST_SHARE_MAX // DAY_SECONDS))
    return days * DAY_SECONDS


def _past(
    seconds: int,
    middles: Floats,
    series: tuple[Floats, Floats, Floats],
    platform: Platform,
    seed: int,
    step: int = 60,
) -> RateHistory:
    ends = np.arange(step, seconds + 1, step, dtype=np.float64)
    rate, prompt, output = (np.interp(ends - step / 2, middles, values) for values in series)
    generator = np.random.default_rng((seed, 2))
    counts = gamma_poisson(rate * step, platform.variance_ratio, generator) / step
    return RateHistory(
        at_seconds=ends - seconds,
        prompt_tokens_per_second=counts * prompt,
        generated_tokens_per_second=counts * output,
        requests_per_second=counts,
    )


def _filled(values: Floats) -> Floats:
    """Gaps are joined by a straight line: a replay needs traffic in every second."""
    known = np.isfinite(values)
    places = np.arange(len(values))
    filled: Floats = np.interp(places, places[known], values[known])
    return filled
