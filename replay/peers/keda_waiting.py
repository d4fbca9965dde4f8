"""The KEDA tutorial of vLLM's production stack: `vllm:num_requests_waiting` over 5 a replica.

Source: vllm-project/production-stack, tutorial on autoscaling with KEDA (2026-08-05): polling 15 s,
cooldown 360 s, the HPA's default behavior. An empty vector counts as 0 (`ignoreNullValues`).
"""

from replay.keda import ScaledObject
from replay.policies.keda_driven import Metric, keda_kind
from replay.replay_input import ReplayInput


def _waiting(_replay_input: ReplayInput, target: float) -> Metric:
    return lambda seen: (seen.waiting, target)


KINDS = (
    keda_kind(
        name="keda-waiting",
        source="vLLM production-stack's KEDA tutorial: waiting requests, polling 15 s, "
        "cooldown 360 s",
        knob="waiting requests a replica",
        usual=5.0,
        knobs=(0.25, 0.5, 1.0, 2.0, 5.0, 10.0),
        metric=_waiting,
        scaled=ScaledObject(polling_interval_seconds=15, cooldown_period_seconds=360),
    ),
)
