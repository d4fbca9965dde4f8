"""llm-d's KEDA blueprint on pool saturation: 0.7 of it, or 16 running requests a replica.

Source: llm-d/llm-d `guides/workload-autoscaling/keda-epp/optimized-baseline/overlays/k8s/
saturation/scaledobject.yaml` (321a7e8, 2026-09). Saturation is the mean over the replicas of
max(queue / 5, KV use / 0.8), and reads 1 where there is none to ask. The query takes `max(...)` of
the pool's one figure with an AverageValue of 0.7, so this trigger asks for saturation / 0.7
replicas whatever the fleet, two as a rule; beyond them the running requests decide.
"""

from replay.peers.llmd_queue import BEHAVIOR, RUNNING, SCALED
from replay.policies.keda_driven import Metric, keda_kind, the_larger
from replay.policies.port import Seen
from replay.replay_input import ReplayInput

SATURATION_TARGET = 0.7
_QUEUE_FULL, _KV_FULL = 5.0, 0.8


def _saturation(seen: Seen) -> float:
    if not seen.ready:
        return 1.0
    return max(seen.waiting / seen.ready / _QUEUE_FULL, seen.kv_use_ratio / _KV_FULL)


def _saturation_or_running(_replay_input: ReplayInput, running: float) -> Metric:
    return lambda seen: the_larger((_saturation(seen), SATURATION_TARGET), (seen.running, running))


KINDS = (
    keda_kind(
        name="llmd-saturation",
        source="llm-d's KEDA blueprint: pool saturation .7 or running 16 a replica, windows 300 s",
        knob="running requests a replica",
        usual=16.0,
        knobs=RUNNING,
        metric=_saturation_or_running,
        scaled=SCALED,
        behavior=BEHAVIOR,
    ),
)
