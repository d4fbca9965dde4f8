"""A trace made into the input of a run: scaled to a fleet's size, by the second, with a past.

The first part of a trace is the past. It is not judged, forecasters may read it, and what a
rule is told before it starts (the mix, what one replica serves, how long a start-up takes) comes
from it alone. Bins are joined by straight lines between their middles: real traffic is rougher.
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
from replay.traffic import DAY_SECONDS, Floats, RateHistory, Requests, gamma_poisson
from scaler.forecast.trees import Trees

USED_RATIO = 0.85
"""Of the mean-field capacity: what a fleet serves in time."""
REPLICAS_MAX = 64
"""Enough to overshoot in, where the mean keeps eight busy."""
_PAST_SHARE_MAX = 1 / 3
_PAST_DAYS_MAX = 4
_SHORT_PAST_SHARE = 1 / 6
_SHORT_PAST_SECONDS_MAX = 3600
"""Of a trace that is too short for a past of whole days."""
_MIX_GUESS = (1000.0, 250.0)
"""Prompt and output tokens, told to every rule alike where the past has no request."""
_RUN_IN_SECONDS = 600
"""Before judging begins: a rule does not answer for the fleet it starts with."""


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReplayInput:
    """Second 0 is where judging could begin; the past lies before it.

    A rule that does not know the future reads `platform`, `past`, and what was measured in it:
    `mix`, `replica_requests_per_second`, `replica_streams`, `start_up_seconds`.
    """

    name: str
    platform: Platform
    mix: RequestMix
    """Mean over the past."""
    start_up_seconds: float
    """Median over the start-ups of the replicas that run at second 0. Rules are told this in place
    of the distribution that later start-ups are drawn from."""
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
    requests: Requests | None = None
    """Each one, where an engine is to serve them one by one."""
    prior: Trees | None = None
    """Of the forecaster; None = the shipped one."""
    begin_seconds: float | None = None
    """Unix time of second 0; None where the trace has no clock."""
    gaps: tuple[tuple[float, float], ...] = ()
    """Seconds of which nothing was recorded, from and to; their traffic is a straight line."""

    @property
    def seconds(self) -> int:
        return len(self.arrivals)

    def first(self, seconds: int) -> "ReplayInput":
        """The same, ending early."""
        cut = {
            name: getattr(self, name)[:seconds]
            for name in ("arrivals", "prompt_tokens", "output_tokens", "expected")
        }
        gaps = tuple((low, min(high, seconds)) for low, high in self.gaps if low < seconds)
        return replace(self, **cut, gaps=gaps)

    @property
    def replica_requests_per_second(self) -> float:
        """What one replica serves in time at the past's mix: what a load test of one reads."""
        platform = self.platform
        return USED_RATIO * capacity(
            platform.profile, self.mix, itl_seconds=platform.objective.itl_seconds
        )

    @property
    def replica_streams(self) -> float:
        """Streams on one replica at its capacity, from the same load test."""
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
    trace: Trace,
    platform: Platform,
    *,
    seed: int,
    replicas_mean: float | None = None,
    prior: Trees | None = None,
) -> ReplayInput:
    """Draw a trace's requests second by second.

    Args:
        replicas_mean: scale the trace so that its mean demand keeps so many replicas busy; None
            takes it as it was recorded.
        prior: of the forecaster; None = the shipped one.
    """
    prompt, output = (_filled(a) for a in (trace.prompt_tokens, trace.output_tokens))
    rate: Floats = _filled(trace.requests_per_second)
    if replicas_mean is not None:
        # The size of the run is the experimenter's; no rule is told the mean that it comes from.
        weight = rate / rate.sum()
        scale = (
            replicas_mean * served_in_time(platform, prompt @ weight, output @ weight) / rate.mean()
        )
        rate = np.multiply(rate, scale, dtype=np.float64)
    past_seconds = _past_seconds(trace)
    middles = (np.arange(len(rate), dtype=np.float64) + 0.5) * trace.step_seconds
    seconds = np.arange(int(trace.seconds) - past_seconds) + 0.5 + past_seconds
    expected, prompt_tokens, output_tokens = (
        np.interp(seconds, middles, values) for values in (rate, prompt, output)
    )
    arrivals = gamma_poisson(expected, platform.variance_ratio, np.random.default_rng((seed, 1)))
    at_start = expected[:60].max() / served_in_time(platform, prompt_tokens[0], output_tokens[0])
    replicas_at_start = min(max(ceil(at_start / 0.8), platform.replicas_min), platform.replicas_max)
    past = _past(past_seconds, middles, (rate, prompt, output), platform, seed)
    return ReplayInput(
        name=trace.name,
        platform=platform,
        mix=mix_of(past),
        start_up_seconds=start_up_seen(platform.fleet.start_up, replicas_at_start, seed=seed),
        arrivals=arrivals.astype(np.float64),
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        expected=expected,
        past=past,
        run_in_seconds=min(_RUN_IN_SECONDS, len(seconds) // 6),
        replicas_at_start=replicas_at_start,
        prior=prior,
        begin_seconds=None if trace.begin_seconds is None else trace.begin_seconds + past_seconds,
        gaps=tuple(
            (max(0.0, begin - past_seconds), end - past_seconds)
            for begin, end in trace.unknown()
            if end > past_seconds
        ),
    )


def mix_of(past: RateHistory) -> RequestMix:
    """Mean over the past's requests; a guess where there were none."""
    requests = float(past.requests_per_second.sum())
    if not requests:
        return RequestMix.constant(*_MIX_GUESS)
    return RequestMix.constant(
        float(past.prompt_tokens_per_second.sum()) / requests,
        float(past.generated_tokens_per_second.sum()) / requests,
    )


def start_up_seen(start_up: StartUp, replicas: int, *, seed: int) -> float:
    """Median over the start-ups of replicas that were started before the run."""
    generator = np.random.default_rng((seed, 4))
    return float(np.median([sum(start_up.draw(generator)) for _ in range(max(1, replicas))]))


def served_in_time(platform: Platform, prompt_tokens: float, output_tokens: float) -> float:
    """Requests a second that one replica serves in time."""
    mix = RequestMix.constant(float(prompt_tokens), float(output_tokens))
    return USED_RATIO * capacity(platform.profile, mix, itl_seconds=platform.objective.itl_seconds)


def _past_seconds(trace: Trace) -> int:
    """Whole days, at most a third of the trace; of a short trace a sixth, at most an hour."""
    days = min(_PAST_DAYS_MAX, int(trace.seconds * _PAST_SHARE_MAX // DAY_SECONDS))
    if days:
        return days * DAY_SECONDS
    return int(min(_SHORT_PAST_SECONDS_MAX, trace.seconds * _SHORT_PAST_SHARE)) // 60 * 60


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
