"""What was learned of an engine as bytes, under 1 KiB, and back; what is doubtful is refused.

Losing it costs an hour of accuracy, so a reader begins anew rather than trust a wrong number.
"""

import math
import struct
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scaler.bounds import BOUNDS
from scaler.learning.engine import ITL_SECONDS_MIN, EngineLearner
from scaler.learning.engine_fit import TERMS
from scaler.learning.engine_tail import LOADS
from scaler.signals import Signal

VERSION: Final = 1
_PAIRS: Final = [(row, column) for row in range(TERMS) for column in range(row, TERMS)]
_FIT: Final = ("minutes", "error", "shift")
_LIMITS: Final = (
    *("running_max", "slots", "context_tokens", "prompt_tokens", "kv_tokens"),
    *("queue_minutes", "queue_prompt_tokens", "queue_generated_tokens"),
)
_NUMBERS: Final = len(_FIT) + len(_PAIRS) + TERMS + len(_LIMITS) + 4
_FORMAT: Final = f"<{_NUMBERS}d{2 * len(LOADS)}f"
_ROW_MAX: Final = (
    1 / ITL_SECONDS_MIN,
    BOUNDS[Signal.GENERATED_TOKENS].most,
    BOUNDS[Signal.GENERATED_TOKENS].most * BOUNDS[Signal.KV_CAPACITY].most,
    BOUNDS[Signal.PROMPT_TOKENS].most,
)
"""What one minute can show: 1 ÷ ITL, generated tokens, the same times their context, prompts."""
_MINUTES_MAX: Final = 1e5
"""More than evidence that loses half its weight within three days can be."""
_LIMITS_MAX: Final = {
    "running_max": BOUNDS[Signal.RUNNING].most,
    "slots": BOUNDS[Signal.RUNNING].most,
    "context_tokens": BOUNDS[Signal.KV_CAPACITY].most,
    "prompt_tokens": BOUNDS[Signal.KV_CAPACITY].most,
    "kv_tokens": BOUNDS[Signal.KV_CAPACITY].most,
    "queue_prompt_tokens": BOUNDS[Signal.PROMPT_TOKENS].most,
    "queue_generated_tokens": BOUNDS[Signal.GENERATED_TOKENS].most,
}
_CLOCK_SECONDS_MAX: Final = 60.0
"""Clocks of two nodes may differ so much."""


def encode(learner: EngineLearner) -> bytes:
    fit, objective = learner.fit, learner.objective
    numbers = [
        *(getattr(fit, name) for name in _FIT),
        *(fit.products[pair] for pair in _PAIRS),
        *fit.targets,
        *(getattr(learner.limits, name) for name in _LIMITS),
        *(objective.ttft_seconds, objective.itl_seconds, float(learner.has_latencies)),
        -1.0 if learner.at_seconds is None else learner.at_seconds,
    ]
    return struct.pack(_FORMAT, *numbers, *learner.tail.minutes, *learner.tail.late)


def resume(learner: EngineLearner, payload: bytes, *, version: int, now_seconds: float) -> None:
    """Continue from what `encode` wrote; for a learner that knows nothing yet.

    The tail of another objective is left out.

    Raises:
        ValueError: not such bytes, or numbers that no learner has; the learner is unchanged.
    """
    taken = iter(_numbers(payload, version))
    fit = {name: next(taken) for name in _FIT}
    products, targets = np.zeros((TERMS, TERMS)), np.zeros(TERMS)
    for row, column in _PAIRS:
        products[row, column] = products[column, row] = next(taken)
    targets[:] = [next(taken) for _ in range(TERMS)]
    limits = {name: next(taken) for name in _LIMITS}
    ttft, itl, has_latencies, at_seconds = (next(taken) for _ in range(4))
    minutes, late = ([next(taken) for _ in LOADS] for _ in range(2))
    amounts = [fit["minutes"], fit["error"], *targets, *limits.values(), *minutes, *late]
    doubt = _doubt(amounts, products, list(zip(late, minutes, strict=True)))
    if max(fit["minutes"], *minutes) > _MINUTES_MAX:
        doubt = doubt or "more minutes than are remembered"
    doubt = doubt or _doubt_of_sums(fit["minutes"], products, targets)
    doubt = doubt or _doubt_of_limits(limits)
    if at_seconds > now_seconds + _CLOCK_SECONDS_MAX:
        doubt = f"it is of {at_seconds - now_seconds:.0f} s from now"
    if doubt:
        raise ValueError(doubt)
    for record, values in ((learner.fit, fit), (learner.limits, limits)):
        for name, value in values.items():
            setattr(record, name, value)
    learner.fit.products, learner.fit.targets = products, targets
    learner.has_latencies = bool(has_latencies)
    learner.at_seconds = None if at_seconds < 0 else at_seconds
    own = learner.objective
    if math.isclose(ttft, own.ttft_seconds) and math.isclose(itl, own.itl_seconds):
        learner.tail.minutes, learner.tail.late = minutes, late


def _numbers(payload: bytes, version: int) -> list[float]:
    if version != VERSION or len(payload) != struct.calcsize(_FORMAT):
        message = f"version {version} of {len(payload)} bytes, not {VERSION}"
        raise ValueError(message)
    numbers = list(struct.unpack(_FORMAT, payload))
    if not all(math.isfinite(number) for number in numbers):
        message = "a number that is not finite"
        raise ValueError(message)
    return numbers


def _doubt(
    amounts: list[float], products: NDArray[np.float64], late_of: list[tuple[float, float]]
) -> str:
    """Why no learner has these numbers; empty where one may."""
    if min(amounts) < 0 or np.linalg.eigvalsh(products).min() < -1e-6 * np.trace(products):
        return "an amount below zero"
    # The shares are kept in single precision.
    if any(late > minutes * 1.001 for late, minutes in late_of):
        return "more late minutes than minutes"
    return ""


def _doubt_of_sums(
    minutes: float, products: NDArray[np.float64], targets: NDArray[np.float64]
) -> str:
    """Why they are no sums w, w·x and w·x² of evidence: these keep (Σ w·x)² ≤ Σ w · Σ w·x²."""
    if (np.diag(products) > minutes * np.square(_ROW_MAX) * 1.001).any():
        return "sums that no engine makes"
    if (targets**2 > minutes * np.diag(products) * 1.001).any():
        return "sums of evidence that contradict each other"
    return ""


def _doubt_of_limits(limits: Mapping[str, float]) -> str:
    beyond = [name for name, most in _LIMITS_MAX.items() if limits[name] > most]
    return f"{beyond[0].replace('_', ' ')} of {limits[beyond[0]]:.3g}" if beyond else ""
