"""Our reading of SkyServe's autoscaler (`sky/serve/autoscalers.py`)."""

from math import ceil

from replay.policies.port import PolicyKind, Seen
from replay.policies.windows import Persistence
from replay.replay_input import ReplayInput


class SkyServe:
    """Requests a second over a rate that one replica serves; slow up, slower down."""

    period_seconds = 20

    def __init__(self, replay_input: ReplayInput, share: float) -> None:
        self._rate = share * replay_input.replica_requests_per_second
        self._patience = Persistence(up_seconds=300, down_seconds=1200)

    def decide(self, seen: Seen) -> int:
        wish = ceil(seen.arrived_per_second / self._rate)
        return self._patience.allowed(seen.at_seconds, seen.replicas, wish)


KINDS = (
    PolicyKind(
        name="sky-qps",
        source="SkyServe: requests of 60 s over a target rate, delays 300 s and 1200 s",
        knob="share of a replica's profiled requests a second",
        usual=1.0,
        knobs=(0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        make=SkyServe,
    ),
)
