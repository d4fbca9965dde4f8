"""Our reading of SkyServe's autoscaler (`sky/serve/autoscalers.py`).

Written against the port for rules of your own, so `--rule replay/peers/sky_serve.py` runs it too.
"""

from math import ceil

from replay.policies.port import Known, Seen, rule_kind
from replay.policies.windows import Persistence


class Rule:
    """Requests a second over a rate that one replica serves; slow up, slower down."""

    name = "sky-qps"
    source = "SkyServe: requests of 60 s over a target rate, delays 300 s and 1200 s"
    knob = "share of a replica's profiled requests a second"
    usual = 1.0
    knobs = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    period_seconds = 20

    def __init__(self, known: Known, share: float) -> None:
        self._rate = share * known.replica_requests_per_second
        self._patience = Persistence(up_seconds=300, down_seconds=1200)

    def decide(self, seen: Seen) -> int:
        wish = ceil(seen.arrived_per_second / self._rate)
        return self._patience.allowed(seen.at_seconds, seen.replicas, wish)


KINDS = (rule_kind(Rule),)
