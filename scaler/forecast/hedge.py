"""Who is listened to: weights by discounted loss, one set per horizon and quantile level.

Bernstein online aggregation (Wintenberger 2017) on the pinball loss made linear at the mixture
(Berrisch & Ziel 2023, "CRPS learning"): an expert's regret is the slope of the loss at the
mixture times its distance from the mixture, and its learning rate falls with the variance of its
regrets, so that an expert with wild days needs more evidence. Three things make evidence honest:

* forecasts h steps ahead that overlap are wrong together: evidence counts as n ÷ h;
* the past is forgotten with a half-life, and a fixed share keeps everyone alive (Herbster &
  Warmuth 1998), so that a change of regime is noticed;
* an expert starts from a prior weight, which it must lose before anybody else gains.
"""

import numpy as np
import numpy.typing as npt

from scaler.forecast.once import once

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

RATE_MAX = 0.5
FIXED_SHARE = 0.01
REGRET_MAX = 8.0
"""Regrets are in units of the local scale; one surprise may not undo a week of evidence."""


EVERY = slice(None)


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
        self._levels = once(levels)
        self._log_prior = once(np.log(prior))
        self._prior = once(prior)
        self._keep = once(np.exp2(-1.0 / half_life_steps)[:, None, None])
        self._overlap = once(overlap[:, None, None])
        self.regret: Singles = np.zeros(shape, np.float32)
        self.variance: Singles = np.zeros(shape, np.float32)

    def weights(self, due: Indices | slice = EVERY) -> Floats:
        """Shape (horizons, levels, experts), of the horizons `due`; experts sum to 1."""
        regret, overlap = self.regret[due], self._overlap[due]
        log_weight = self._log_prior + self._rate(self.variance[due], overlap) * regret
        log_weight -= log_weight.max(axis=2, keepdims=True)
        weight = np.exp(log_weight)
        weight /= weight.sum(axis=2, keepdims=True)
        return (1 - FIXED_SHARE) * weight + FIXED_SHARE * self._prior

    def mix(self, advice: Floats) -> Floats:
        """The mixture of advice (horizons, levels, experts)."""
        mixture: Floats = np.einsum("hqk,hqk->hq", self.weights(), advice)
        return mixture

    def learn(self, due: Indices, advice: Floats, outcome: Floats) -> None:
        """Take in an outcome; it and the advice in units of a usual error then.

        Args:
            due: the horizons whose forecast for this moment is judged, shape (n,).
            advice: what the experts had said, shape (n, levels, experts).
            outcome: what came, shape (n,).
        """
        mixture = np.einsum("hqk,hqk->hq", self.weights(due), advice)
        slope = (outcome[:, None] < mixture) - self._levels
        regret = slope[:, :, None] * (mixture[:, :, None] - advice)
        np.clip(regret, -REGRET_MAX, REGRET_MAX, out=regret)
        keep = self._keep[due]
        self.variance[due] = variance = keep * self.variance[due] + regret * regret
        rate = self._rate(variance, self._overlap[due])
        self.regret[due] = keep * self.regret[due] + regret - rate * regret * regret

    def _rate(self, variance: Floats | Singles, overlap: Floats) -> Floats:
        evidence = overlap * variance + 1e-12
        rate: Floats = np.minimum(RATE_MAX, np.sqrt(np.log(len(self._prior) + 1.0) / evidence))
        return rate
