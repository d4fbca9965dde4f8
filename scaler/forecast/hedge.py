"""Expert weights from discounted loss, one set per horizon and quantile level.

Bernstein online aggregation (Wintenberger 2017) on the pinball loss made linear at the mixture
(Berrisch & Ziel 2023, "CRPS learning"): an expert's regret is the slope of the loss at the
mixture times its distance from the mixture, and its learning rate falls with the variance of its
regrets, so that a volatile expert needs more evidence. Three corrections apply:

* overlapping forecasts h steps ahead have correlated errors: n of them count as n ÷ h;
* evidence decays with a half-life, and a fixed share keeps every expert alive (Herbster & Warmuth
  1998), so that the weights follow a change of regime;
* the weights start from a prior.
"""

import numpy as np
import numpy.typing as npt

from scaler.forecast.clip import clip
from scaler.forecast.shared_constant import shared_constant

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

RATE_MAX = 0.5
FIXED_SHARE = 0.01
REGRET_MAX = 8.0
"""In units of the local scale, so that one outlier cannot undo a week of evidence."""
VARIANCE_MIN = 1e-12


class Hedge:
    """Weights (horizons, levels, experts) of a mixture of experts."""

    def __init__(
        self, *, levels: Floats, prior: Floats, half_life_steps: Floats, overlap: Floats
    ) -> None:
        """Start from the prior weights.

        Args:
        prior: shape (experts,), sums to 1.
        half_life_steps: shape (horizons,), in learning steps.
        overlap: shape (horizons,), how many learning steps in a row share their errors.
        """
        shape = (len(half_life_steps), len(levels), len(prior))
        evidence_per_variance = overlap / np.log(len(prior) + 1.0)
        self._levels = _single(levels)
        self._log_prior = _single(np.log(prior))
        self._shared = _single(FIXED_SHARE * prior)
        self._keep = _single(np.exp2(-1.0 / half_life_steps)[:, None, None])
        self._evidence_per_variance = _single(evidence_per_variance[:, None, None])
        self.regret: Singles = np.zeros(shape, np.float32)
        self.variance: Singles = np.zeros(shape, np.float32)
        self.weights: Singles = np.full(shape, prior, np.float32)
        """Experts sum to 1."""

    def mix(self, advice: Floats) -> Floats:
        """The mixture of advice (horizons, levels, experts)."""
        mixture: Floats = np.einsum("hqk,hqk->hq", self.weights, advice)
        return mixture

    def learn(self, due: Indices, advice: Singles, outcome: Singles) -> Singles:
        """Update with an outcome; outcome and advice are in units of the local scale.

        Args:
            due: the horizons whose forecast is for this step, shape (n,).
            advice: the experts' predictions, shape (n, levels, experts).
            outcome: the measured value, shape (n,).

        Returns: the mixture before the update, shape (n, levels).
        """
        mixture: Singles = np.einsum("hqk,hqk->hq", self.weights[due], advice)
        slope = (outcome[:, None] < mixture) - self._levels
        self.follow(due, advice, mixture, slope)
        return mixture

    def follow(self, due: Indices, advice: Singles, mixture: Singles, slope: Singles) -> None:
        """Update with the slope of any convex loss at the mixture, shape (n, levels)."""
        regret = clip(slope[:, :, None] * (mixture[:, :, None] - advice), REGRET_MAX)
        keep, square = self._keep[due], regret * regret
        variance = keep * self.variance[due] + square
        evidence = self._evidence_per_variance[due] * variance + VARIANCE_MIN
        rate = np.minimum(1.0 / np.sqrt(evidence), RATE_MAX)
        total = keep * self.regret[due] + regret - rate * square
        self.variance[due], self.regret[due] = variance, total
        self.weights[due] = self._softmax(rate * total)

    def _softmax(self, evidence: Singles) -> Singles:
        log_weight = self._log_prior + evidence
        log_weight -= np.maximum.reduce(log_weight, axis=2, keepdims=True)
        weight: Singles = np.exp(log_weight)
        weight *= (1 - FIXED_SHARE) / np.add.reduce(weight, axis=2, keepdims=True)
        weight += self._shared
        return weight


def _single(numbers: Floats) -> Singles:
    return shared_constant(numbers.astype(np.float32))
