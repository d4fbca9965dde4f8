"""The trigger and the HPA behavior an operator would write who measured one replica.

Operators guess, too: `Overrides` turns that trigger into one with wrong, missing or other keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from replay import hpa
from replay.policies.without import Part
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
        replicas: the least and the most of the workload.
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
        "leadTime": f"{max(lead_seconds, 1.0):.0f}s",  # the least that a trigger may say
        "ttft": f"{objective.ttft_seconds:g}s",
        "itl": f"{objective.itl_seconds * 1000:.0f}ms",
        "minReplicas": str(max(1, replicas[0])),  # an engine's metrics end with its last pod
        "maxReplicas": str(replicas[1]),
        "replicaPromptTokensPerSecond": f"{rate * mix.prompt_tokens:.0f}",
        "replicaGeneratedTokensPerSecond": f"{rate * mix.output_tokens:.0f}",
        "prefillShare": f"{prefill:.2f}",
        "replicaRequests": str(profile.sequences_max),
    }


_SPEEDS: Final = ("replicaPromptTokensPerSecond", "replicaGeneratedTokensPerSecond")
_CAPACITY: Final = (*_SPEEDS, "prefillShare", "replicaRequests")
_LEAD: Final = "leadTime"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """How a trigger departs from the one that tells the truth."""

    capacity: float | None = 1.0
    """Factor on the speeds of a replica; None = no key of its capacity is given."""
    lead: float | None = 1.0
    """Factor on the lead time; None = not given."""
    keys: tuple[tuple[str, str], ...] = ()
    """Trigger keys and their values."""
    without: Part | None = None
    """Switched off, though no trigger can."""

    def metadata(self, truth: Mapping[str, str]) -> dict[str, str]:
        """The trigger's metadata, from that of `metadata_of`."""
        changed = dict(truth)
        if self.capacity is None:
            changed = {key: text for key, text in truth.items() if key not in _CAPACITY}
        else:
            changed |= {key: f"{float(truth[key]) * self.capacity:g}" for key in _SPEEDS}
        if self.lead is None:
            del changed[_LEAD]
        else:
            changed[_LEAD] = f"{float(truth[_LEAD].removesuffix('s')) * self.lead:g}s"
        return changed | dict(self.keys)
