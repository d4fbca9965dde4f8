"""keda-inference-scaler (kedacore/external-scalers#34): max(queue / 3, KV use / 0.7)."""

from replay.policies.keda_driven import Metric, keda_kind
from replay.replay_input import ReplayInput


def _composite(_replay_input: ReplayInput, scale: float) -> Metric:
    return lambda seen: (max(seen.waiting / 3, seen.kv_use_ratio * seen.ready / 0.7), scale)


KINDS = (
    keda_kind(
        name="keda-composite",
        source="keda-inference-scaler: max(queue / 3, KV / 0.7)",
        knob="value that means one replica is full",
        usual=1.0,
        knobs=(0.3, 0.4, 0.5, 0.6, 0.8, 1.0),
        metric=_composite,
    ),
)
