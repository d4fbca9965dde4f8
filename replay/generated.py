"""Days of the traffic that `replay.traffic` draws, as a trace: to tune on what is nobody's."""

import numpy as np

from replay.traces import Trace
from replay.traffic import DAY_SECONDS, FlashCrowd, Traffic, TrafficSettings

_STEP_SECONDS = 60
_CROWD_HOURS = 11.3


def generated(*, seed: int, days: int) -> Trace:
    """Whole days in bins of a minute, lengths that move over the day, a flash crowd on the last."""
    crowd = FlashCrowd(at_seconds=(days - 1) * DAY_SECONDS + _CROWD_HOURS * 3600, ratio=1.7)
    settings = TrafficSettings(peak_requests_per_second=60, flash_crowds=(crowd,))
    traffic = Traffic(settings, seed=seed, seconds=days * DAY_SECONDS, days_before=0)
    middles = np.arange(_STEP_SECONDS / 2, days * DAY_SECONDS, _STEP_SECONDS, dtype=np.float64)
    mixes = [traffic.mix_at(at) for at in middles.tolist()]
    return Trace(
        name=f"generated-{days}d-{seed}",
        step_seconds=_STEP_SECONDS,
        requests_per_second=traffic.requests_per_second(middles),
        prompt_tokens=np.array([mix.prompt_tokens for mix in mixes]),
        output_tokens=np.array([mix.output_tokens for mix in mixes]),
    )
