"""An HPA on requests in flight, running and waiting, as Knative counts concurrency.

The target is a share of the streams that one replica runs at its capacity, read off a load test at
the past's mix. 70 % is Knative's `container-concurrency-target-percentage`; the rest is the HPA's
default.
"""

from functools import partial

from replay.policies.keda_driven import Metric, keda_kind
from replay.policies.port import Seen
from replay.replay_input import ReplayInput

RATIOS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def in_flight_metric(replay_input: ReplayInput, share: float) -> Metric:
    """Requests in flight over a share of what one replica's load test read."""
    return partial(_in_flight, target=share * replay_input.replica_streams)


def _in_flight(seen: Seen, *, target: float) -> tuple[float, float]:
    return seen.in_flight, target


KINDS = (
    keda_kind(
        name="hpa-inflight",
        source="HPA on requests in flight, at the 70 % of Knative's target utilization",
        knob="share of a replica's profiled concurrency",
        usual=0.7,
        knobs=RATIOS,
        metric=in_flight_metric,
    ),
)
