"""The bound that a forecast can work towards: a rule that knows the rate.

It reads the expected rate of the traffic, flash crowd and all, and orders what the highest of it
within the start-up ahead will need. What it does not know are the bursts inside a second and the
lengths of single requests. It is a reference and no policy; nor is it the cheapest schedule there
is, which would need a search (an oracle keeps a replica through a short dip, this rule does not).
"""

import numpy as np

from replay import hpa
from replay.generated_day import GeneratedDay, traffic_of
from replay.keda import ScaledObject
from replay.policies.keda_driven import KedaDriven, Metric
from replay.policies.port import Seen
from replay.profile import capacity_requests_per_second
from replay.replay_input import ReplayInput
from replay.traffic import Floats

NAME = "clairvoyant-0.85"
LOAD_RATIO = 0.85
_GRID_SECONDS = 60
_START_UP_RATIO = 1.4
"""Nine start-ups of ten take less than this multiple of the median."""
_AT_ONCE = hpa.ScalingRules(
    policies=(hpa.Policy(kind=hpa.PolicyKind.PERCENT, value=900),),
    stabilization_window_seconds=0,
    tolerance_ratio=0.0,
)


def clairvoyant(
    day: GeneratedDay, replay_input: ReplayInput, *, seed: int, load_ratio: float = LOAD_RATIO
) -> KedaDriven:
    """Replicas loaded to `load_ratio` of what they serve within the objective's ITL."""
    traffic, platform = traffic_of(day, seed=seed), day.platform
    minutes = np.arange(0, day.seconds, _GRID_SECONDS, dtype=np.float64)
    capacity = np.array(
        [
            capacity_requests_per_second(
                platform.profile, traffic.mix_at(at), itl_seconds=platform.objective.itl_seconds
            )
            for at in minutes.tolist()
        ]
    )
    need = traffic.requests_per_second(minutes) / (load_ratio * capacity)
    ahead_seconds = platform.fleet.start_up.median_seconds * _START_UP_RATIO
    ahead = 1 + int(ahead_seconds // _GRID_SECONDS)
    padded = np.pad(need, (0, ahead), mode="edge")
    highest = np.lib.stride_tricks.sliding_window_view(padded, ahead + 1).max(axis=1)
    return KedaDriven(
        _looked_up(np.ceil(highest)),
        replay_input,
        scaled=ScaledObject(polling_interval_seconds=15),
        behavior=hpa.Behavior(scale_up=_AT_ONCE, scale_down=_AT_ONCE),
    )


def _looked_up(replicas_by_minute: Floats) -> Metric:
    def metric(seen: Seen) -> tuple[float, float]:
        minute = min(seen.at_seconds // _GRID_SECONDS, len(replicas_by_minute) - 1)
        return float(replicas_by_minute[minute]), 1.0

    return metric
