"""An HPA on the mean use of the KV cache, target 0.7."""

from replay.peers.hpa_inflight import RATIOS
from replay.policies.keda_driven import Metric, keda_kind
from replay.replay_input import ReplayInput


def _kv_use(_replay_input: ReplayInput, target: float) -> Metric:
    return lambda seen: (seen.kv_use_ratio * seen.ready, target)


KINDS = (
    keda_kind(
        name="hpa-kv",
        source="HPA on mean KV-cache use",
        knob="target ratio",
        usual=0.7,
        knobs=RATIOS,
        metric=_kv_use,
    ),
)
