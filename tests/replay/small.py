"""A small replay input, with a jump that comes and goes, and the run of a rule as it ships."""

import numpy as np

from replay.fleet import FleetSettings
from replay.policies.catalogue import KINDS
from replay.replay_input import Platform, ReplayInput, draw_input, fixed_start_up
from replay.served import Served
from replay.simulate import Result, simulate
from replay.traces import Trace

MINUTES, PAST_MINUTES = 180, 36
START_UP_SECONDS = 180


def as_shipped(name: str, replay_input: ReplayInput, *, served: Served | None = None) -> Result:
    """The run of a rule with its usual knob."""
    kind = KINDS[name]
    return simulate(
        replay_input,
        kind.make(replay_input, kind.usual),
        name=name,
        knob=kind.usual,
        seed=1,
        marks=True,
        served=served,
    )


def small_input(*, seed: int = 1, jump: float = 2.5) -> ReplayInput:
    rate = np.ones(PAST_MINUTES + MINUTES)
    rate[PAST_MINUTES + 60 : PAST_MINUTES + 110] = jump
    trace = Trace(
        name="small",
        step_seconds=60.0,
        requests_per_second=rate,
        prompt_tokens=np.full(len(rate), 800.0),
        output_tokens=np.full(len(rate), 300.0),
    )
    start_up = fixed_start_up(START_UP_SECONDS)
    platform = Platform(fleet=FleetSettings(start_up=start_up, rows=64), replicas_max=24)
    return draw_input(trace, platform, seed=seed, replicas_mean=4)
