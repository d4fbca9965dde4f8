"""llm-d's token-aware KEDA blueprint: 1.5 s of prefill backlog, or 0.8 of a KV cache, a replica.

Source: llm-d/llm-d `guides/workload-autoscaling/keda-epp-token-aware/optimized-baseline/base/
scaledobject.yaml` (04c0115) and its README (560d420, 2026-09, experimental):

    replicas = max(ceil(uncached prompt tokens in flight / V_P / 1.5), ceil(sum of KV use / 0.8))

V_P is calibrated as its README tells: one chunk of `max_num_batched_tokens` over its time to first
token on an idle replica. One pod is added in 180 s and one removed in 300 s, the window down is
300 s. The knob multiplies both thresholds.
"""

from replay import hpa
from replay.keda import ScaledObject
from replay.policies.keda_driven import Metric, keda_kind, the_larger
from replay.policies.port import Seen
from replay.profile import EngineProfile
from replay.replay_input import ReplayInput

BACKLOG_SECONDS = 1.5
KV_TARGET = 0.8
_BEHAVIOR = hpa.Behavior(
    scale_up=hpa.ScalingRules(
        policies=(hpa.Policy(kind=hpa.PolicyKind.PODS, value=1, period_seconds=180),),
        stabilization_window_seconds=0,
    ),
    scale_down=hpa.ScalingRules(
        policies=(hpa.Policy(kind=hpa.PolicyKind.PODS, value=1, period_seconds=300),),
        stabilization_window_seconds=300,
    ),
)


def prefill_tokens_per_second(profile: EngineProfile) -> float:
    """V_P: what the guide's calibration reads on an idle replica."""
    return profile.batched_tokens_max / (profile.fixed_seconds + profile.chunk_seconds)


def _backlog_or_kv(replay_input: ReplayInput, scale: float) -> Metric:
    profile = replay_input.platform.profile
    velocity = prefill_tokens_per_second(profile)

    def metric(seen: Seen) -> tuple[float, float]:
        uncached = seen.waiting * seen.prompt_tokens * (1 - profile.prefix_hit_ratio)
        return the_larger(
            (uncached / velocity, scale * BACKLOG_SECONDS),
            (seen.kv_use_ratio * seen.ready, scale * KV_TARGET),
        )

    return metric


KINDS = (
    keda_kind(
        name="llmd-token-aware",
        source="llm-d's token-aware KEDA blueprint: 1.5 s of prefill backlog or .8 of the KV cache",
        knob="multiple of both thresholds",
        usual=1.0,
        knobs=(0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0),
        metric=_backlog_or_kv,
        scaled=ScaledObject(polling_interval_seconds=15),
        behavior=_BEHAVIOR,
    ),
)
