"""How long each stage takes where nothing was seen yet, from published figures.

Each is log-normal, by its median and the value that nine of ten do not exceed; 50 moments of equal
shares stand for it. All stages of a machine together are slow or fast at once: its prior is the sum
of the stages' values at the same share, which errs to the long side.
"""

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Final

from fleet.account.stage_durations import LOAD, NODE_STAGES, POD_STAGES, TO_GPUS
from fleet.account.survival import Curve

MOMENTS: Final = 50
_Z90: Final = NormalDist().inv_cdf(0.9)

MEDIAN_AND_P90_SECONDS: Final[Mapping[str, tuple[float, float]]] = {
    # A machine and its kubelet together take 80–100 s (aws/karpenter-provider-aws 3102 and 6285),
    # 30 s with a small image; GPU machines run into the limit of 15 min (kubernetes-sigs/karpenter
    # 357, 1989, 2313).
    "launched": (5.0, 20.0),
    "registered": (80.0, 150.0),
    "node ready": (10.0, 40.0),
    # 20–40 s where the driver is in the image; the GPU operator takes 3–7 min on a fresh node.
    "initialized": (120.0, 360.0),
    # Of static pools; else they are there when the node is initialized.
    "GPUs": (5.0, 60.0),
    "scheduled": (1.0, 10.0),
    # 15–20 GB take 4–6 min (AWS on SOCI, 2026), 10 GB without it 7–10 min (Tensorfuse).
    "image pulled": (300.0, 600.0),
    "started": (2.0, 20.0),
    # Weights 8–84 s (Spheron, Run:ai Model Streamer, ServerlessLLM), CUDA graphs 12–30 s, the
    # cache's warm-up 5–10 s.
    "ready": (90.0, 300.0),
}
REFUSED_SHARE: Final = 0.03
"""Of orders that no machine is launched for, until Karpenter's launch limit."""
LOST_SHARE: Final = 0.02
"""Of launched machines that never give GPUs, until Karpenter's registration limit."""


def _log_normal(median: float, p90: float) -> tuple[float, ...]:
    sigma = math.log(p90 / median) / _Z90
    levels = ((at + 0.5) / MOMENTS for at in range(MOMENTS))
    return tuple(median * math.exp(sigma * NormalDist().inv_cdf(level)) for level in levels)


def _sum_of(stages: tuple[str, ...]) -> tuple[float, ...]:
    values = (_log_normal(*MEDIAN_AND_P90_SECONDS[stage]) for stage in stages)
    return tuple(map(math.fsum, zip(*values, strict=True)))


def _curve(seconds: tuple[float, ...]) -> Curve:
    return Curve(seconds=seconds, shares=(1.0 / MOMENTS,) * MOMENTS)


PRIORS: Final[Mapping[str, Curve]] = {
    **{stage: _curve(_log_normal(*pair)) for stage, pair in MEDIAN_AND_P90_SECONDS.items()},
    TO_GPUS: _curve(_sum_of(NODE_STAGES)),
    LOAD: _curve(_sum_of(POD_STAGES[1:])),
}
