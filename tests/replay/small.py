"""A small course: three hours at a few replicas, with a jump that comes and goes."""

import numpy as np

from replay.course import Course, Platform, course, fixed_start_up
from replay.fleet import FleetSettings
from replay.traces import Trace

MINUTES = 180
START_UP_SECONDS = 180


def small_course(*, seed: int = 1, jump: float = 2.5) -> Course:
    rate = np.ones(MINUTES)
    rate[60:110] = jump
    trace = Trace(
        name="small",
        step_seconds=60.0,
        requests_per_second=rate,
        prompt_tokens=np.full(MINUTES, 800.0),
        output_tokens=np.full(MINUTES, 300.0),
    )
    start_up = fixed_start_up(START_UP_SECONDS)
    platform = Platform(fleet=FleetSettings(start_up=start_up, rows=64), replicas_max=24)
    return course(trace, platform, seed=seed, replicas_mean=4)
