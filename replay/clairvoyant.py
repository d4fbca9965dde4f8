"""The bound that a forecast can work towards: a rule that knows the rate.

It reads the expected rate of the traffic, flash crowd and all, and orders what the highest of it
within the start-up ahead will need. What it does not know are the bursts inside a second and the
lengths of single requests. It is a reference and no policy; nor is it the cheapest schedule there
is, which would need a search (an oracle keeps a replica through a short dip, this rule does not).
"""

from functools import partial

import numpy as np

from replay import hpa
from replay.generated_day import GeneratedDay
from replay.keda import ScaledObject, ScalerAnswer, Value
from replay.profile import EngineProfile, capacity_requests_per_second
from replay.rules import Rule
from replay.traffic import Floats, Traffic
from replay.world import Scrape

_GRID_SECONDS = 60
_START_UP_RATIO = 1.4
"""Nine start-ups of ten take less than this multiple of the median."""
_AT_ONCE = hpa.ScalingRules(
    policies=(hpa.Policy(kind=hpa.PolicyKind.PERCENT, value=900),),
    stabilization_window_seconds=0,
    tolerance_ratio=0.0,
)


def clairvoyant(scenario: GeneratedDay, traffic: Traffic, *, load_ratio: float = 0.85) -> Rule:
    """Replicas loaded to `load_ratio` of what they serve within the objective's ITL."""
    minutes = np.arange(0, scenario.seconds, _GRID_SECONDS, dtype=np.float64)
    capacity = np.array(
        [
            capacity_requests_per_second(
                scenario.profile, traffic.mix_at(at), itl_seconds=scenario.objective.itl_seconds
            )
            for at in minutes.tolist()
        ]
    )
    need = traffic.requests_per_second(minutes) / (load_ratio * capacity)
    ahead_seconds = scenario.fleet.start_up.median_seconds * _START_UP_RATIO
    ahead = 1 + int(ahead_seconds // _GRID_SECONDS)
    padded = np.pad(need, (0, ahead), mode="edge")
    highest = np.lib.stride_tricks.sliding_window_view(padded, ahead + 1).max(axis=1)
    return Rule(
        name=f"clairvoyant-{load_ratio:g}",
        source="the expected rate itself, a start-up ahead; a bound, not a policy",
        answer=partial(_looked_up, replicas_by_minute=np.ceil(highest)),
        scaled=ScaledObject(polling_interval_seconds=15),
        behavior=hpa.Behavior(scale_up=_AT_ONCE, scale_down=_AT_ONCE),
    )


def _looked_up(
    scrape: Scrape, _profile: EngineProfile, *, replicas_by_minute: Floats
) -> ScalerAnswer:
    minute = min(int(scrape.at_seconds // _GRID_SECONDS), len(replicas_by_minute) - 1)
    return Value(total=float(replicas_by_minute[minute]), target=1, is_active=True)
