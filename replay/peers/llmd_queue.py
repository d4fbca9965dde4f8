"""llm-d's KEDA blueprint on the picker's queue: 1 waiting or 16 running requests a replica.

Source: llm-d/llm-d `guides/workload-autoscaling/keda-epp/optimized-baseline/overlays/k8s/queue/
scaledobject.yaml` (057abb4, 2026-09): two triggers of type AverageValue, polling 15 s, and both
stabilization windows 300 s, so that a replica that loads its model is not ordered twice. The guide
calls 16 the figure of its example; the knob is that figure, and the queue's target stays 1.
"""

from replay import hpa
from replay.keda import ScaledObject
from replay.policies.keda_driven import Metric, keda_kind, the_larger
from replay.replay_input import ReplayInput

QUEUE_TARGET = 1.0
RUNNING = (12.0, 16.0, 20.0, 24.0, 32.0, 40.0, 48.0)
SCALED = ScaledObject(polling_interval_seconds=15)
_DOUBLE = (hpa.Policy(kind=hpa.PolicyKind.PERCENT, value=100),)
BEHAVIOR = hpa.Behavior(
    scale_up=hpa.ScalingRules(policies=_DOUBLE, stabilization_window_seconds=300),
    scale_down=hpa.ScalingRules(policies=_DOUBLE, stabilization_window_seconds=300),
)


def _queue_or_running(_replay_input: ReplayInput, running: float) -> Metric:
    return lambda seen: the_larger((seen.waiting, QUEUE_TARGET), (seen.running, running))


KINDS = (
    keda_kind(
        name="llmd-queue",
        source="llm-d's KEDA blueprint: queue 1 or running 16 a replica, both windows 300 s",
        knob="running requests a replica",
        usual=16.0,
        knobs=RUNNING,
        metric=_queue_or_running,
        scaled=SCALED,
        behavior=BEHAVIOR,
    ),
)
