"""Generated traffic as traces: to tune on, and to test a rule against one pattern at a time.

Every shape is a day or more of bins of ten seconds, made from a seed; the rate is around one, for a
replay_input scales it. Lengths move over the day as in `replay.traffic`.
"""

from collections.abc import Callable

import numpy as np

from replay.traces import Trace
from replay.traffic import DAY_SECONDS, FlashCrowd, Floats, Traffic, TrafficSettings

STEP_SECONDS = 10
_CROWD_HOURS = 11.3
_CALLS, _CALL_SECONDS = 20, 15
"""Of an agent's session: calls, and the time from one to the next."""
_SESSIONS_AT_ONCE = 3
_ON_SECONDS = 1200


def generated(*, seed: int, days: int, shape: str = "flash-crowd") -> Trace:
    """Whole days of one of the `SHAPES`."""
    middles = np.arange(STEP_SECONDS / 2, days * DAY_SECONDS, STEP_SECONDS, dtype=np.float64)
    traffic = _traffic(seed, days)
    mixes = [traffic.mix_at(at) for at in middles[::6].tolist()]
    generator = np.random.default_rng((seed, 3))
    return Trace(
        name=f"{shape}-{days}d-{seed}",
        step_seconds=STEP_SECONDS,
        requests_per_second=SHAPES[shape](middles, traffic, generator),
        prompt_tokens=np.repeat([mix.prompt_tokens for mix in mixes], 6),
        output_tokens=np.repeat([mix.output_tokens for mix in mixes], 6),
    )


def _traffic(seed: int, days: int) -> Traffic:
    settings = TrafficSettings(peak_requests_per_second=1)
    return Traffic(settings, seed=seed, seconds=days * DAY_SECONDS, days_before=0)


def _diurnal(at: Floats, traffic: Traffic, _: np.random.Generator) -> Floats:
    """Peak to trough 4 to 1, weekends at 60 %, a slow drift of 7 %."""
    return traffic.requests_per_second(at)


def _flash_crowd(at: Floats, traffic: Traffic, _: np.random.Generator) -> Floats:
    """Diurnal, and on the last day 70 % more within three minutes, for fifteen, fading."""
    last = float(at[-1] // DAY_SECONDS * DAY_SECONDS)
    crowd = FlashCrowd(at_seconds=last + _CROWD_HOURS * 3600, ratio=1.7)
    rising = np.clip((at - crowd.at_seconds) / crowd.ramp_seconds, 0, 1)
    fading = np.exp(
        -np.clip(at - crowd.at_seconds - crowd.ramp_seconds - crowd.hold_seconds, 0, None)
        / crowd.fade_seconds
    )
    return traffic.requests_per_second(at) * (1 + (crowd.ratio - 1) * rising * fading)


def _bursts(at: Floats, traffic: Traffic, generator: np.random.Generator) -> Floats:
    """Diurnal, and about twice an hour 40 to 120 % more at once, for two to ten minutes."""
    rate = traffic.requests_per_second(at)
    for _ in range(generator.poisson(2 * len(at) * STEP_SECONDS / 3600)):
        begin = generator.uniform(0, at[-1])
        inside = (at >= begin) & (at < begin + generator.uniform(120, 600))
        rate = np.where(inside, rate * (1 + generator.uniform(0.4, 1.2)), rate)
    return rate


def _step(at: Floats, _: Traffic, __: np.random.Generator) -> Floats:
    """Even, then double from the middle on: a launch."""
    return np.where(at < (at[-1] + at[0]) / 2, 1.0, 2.0)


def _on_off(at: Floats, _: Traffic, __: np.random.Generator) -> Floats:
    """A batch from each full hour on for twenty minutes, and next to nothing between."""
    return np.where(at % 3600 < _ON_SECONDS, 1.0, 0.02)


def _agentic(at: Floats, traffic: Traffic, generator: np.random.Generator) -> Floats:
    """Sessions of 20 calls, 15 s apart, that begin at random: a few sessions make the load."""
    day = traffic.requests_per_second(at)
    begins = generator.poisson(
        day / day.mean() * _SESSIONS_AT_ONCE * STEP_SECONDS / (_CALLS * _CALL_SECONDS)
    )
    running = np.convolve(begins, np.ones(_CALLS * _CALL_SECONDS // STEP_SECONDS))[: len(at)]
    # A little background, for a trace must have traffic to be scaled.
    return running.astype(np.float64) / _SESSIONS_AT_ONCE + 0.01


SHAPES: dict[str, Callable[[Floats, Traffic, np.random.Generator], Floats]] = {
    "diurnal": _diurnal,
    "flash-crowd": _flash_crowd,
    "bursts": _bursts,
    "step": _step,
    "on-off": _on_off,
    "agentic": _agentic,
}
