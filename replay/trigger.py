"""The trigger and the HPA behavior an operator would write who measured one replica."""

from replay import hpa
from replay.profile import (
    EngineProfile,
    RequestMix,
    capacity_requests_per_second,
    work_seconds,
)
from replay.replay_input import USED_RATIO
from replay.score import Objective
from scaler.trigger import Mode

_AT_ONCE = hpa.ScalingRules(
    policies=(
        hpa.Policy(kind=hpa.PolicyKind.PERCENT, value=900),
        hpa.Policy(kind=hpa.PolicyKind.PODS, value=100),
    ),
    stabilization_window_seconds=0,
    tolerance_ratio=0.0,
)
BEHAVIOR = hpa.Behavior(
    scale_up=_AT_ONCE,
    scale_down=hpa.ScalingRules(
        policies=(hpa.Policy(kind=hpa.PolicyKind.PERCENT, value=100),),
        stabilization_window_seconds=0,
        tolerance_ratio=0.0,
    ),
)
"""As in deploy/examples/scaledobject.yaml: Foresail holds, the HPA follows."""


def metadata_of(
    profile: EngineProfile,
    mix: RequestMix,
    objective: Objective,
    *,
    lead_seconds: float,
    replicas: tuple[int, int],
) -> dict[str, str]:
    """Trigger metadata, as text.

    Args:
        replicas: the least and the most.
    """
    # A mean-field figure without waiting; what is served in time is less.
    rate = USED_RATIO * capacity_requests_per_second(
        profile, mix, itl_seconds=objective.itl_seconds
    )
    prefill = profile.per_prefill_token_seconds * mix.prompt_tokens / work_seconds(profile, mix)
    return {
        "scalerAddress": "foresail:6500",
        "model": profile.model_name,
        "mode": Mode.ACT,
        "leadTime": f"{lead_seconds:.0f}s",
        "ttft": f"{objective.ttft_seconds:g}s",
        "itl": f"{objective.itl_seconds * 1000:.0f}ms",
        "minReplicas": str(replicas[0]),
        "maxReplicas": str(replicas[1]),
        "replicaPromptTokensPerSecond": f"{rate * mix.prompt_tokens:.0f}",
        "replicaGeneratedTokensPerSecond": f"{rate * mix.output_tokens:.0f}",
        "prefillShare": f"{prefill:.2f}",
        "replicaRequests": str(profile.sequences_max),
    }
