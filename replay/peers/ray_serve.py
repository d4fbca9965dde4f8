"""Our reading of Ray Serve's autoscaler (`python/ray/serve/autoscaling_policy.py`, `config.py`).

Written against the port for rules of your own, so `--rule replay/peers/ray_serve.py` runs it too.
"""

from math import ceil

from replay.policies.port import Known, Seen, rule_kind
from replay.policies.windows import Persistence, Window


class Rule:
    """Ongoing requests a replica, averaged over a look-back, acted on when the wish lasts."""

    name = "ray-ongoing"
    source = "Ray Serve: target 2 ongoing requests, look-back 30 s, delays 30 s and 600 s"
    knob = "ongoing requests a replica"
    usual = 2.0
    knobs = (2.0, 8.0, 16.0, 24.0, 32.0, 40.0, 48.0)
    period_seconds = 10
    _LOOK_BACK_SECONDS = 30

    def __init__(self, _known: Known, target: float) -> None:
        self._target = target
        self._ongoing = Window(self._LOOK_BACK_SECONDS)
        self._patience = Persistence(up_seconds=30, down_seconds=600)

    def decide(self, seen: Seen) -> int:
        self._ongoing.add(seen.at_seconds, seen.in_flight)
        wish = ceil(self._ongoing.mean() / self._target)
        return self._patience.allowed(seen.at_seconds, seen.replicas, wish)


KINDS = (rule_kind(Rule),)
