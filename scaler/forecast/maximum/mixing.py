"""Weights of the forecasters of a probability, per window and threshold, by what came.

The same aggregation as for quantiles (`hedge`), on the logarithmic loss: .02 where the truth is .1
may cost a node, although the square of the difference is small.
"""

import numpy as np

from scaler.forecast.hedge import Hedge
from scaler.forecast.past import Floats, Indices, Singles

VARIANCE_MIN = 0.03
"""Of an outcome; bounds the weight of what is nearly certain."""
HALF_LIFE_DAYS = 4.0


class ProbabilityMix:
    def __init__(
        self, *, prior: Floats, thresholds: int, overlap: Floats, half_life_steps: Floats
    ) -> None:
        """Start from the prior weights of the experts, shape (experts,)."""
        self.hedge = Hedge(
            levels=np.zeros(thresholds),
            prior=prior,
            half_life_steps=half_life_steps,
            overlap=overlap,
        )

    def mix(self, advice: Floats) -> Floats:
        """The mixture of advice (windows, thresholds, experts)."""
        return self.hedge.mix(advice)

    def learn(self, due: Indices, advice: Singles, reached: Singles) -> None:
        """Update with outcomes.

        Args:
            due: the windows whose outcome is known now, shape (n,).
            advice: what the experts forecast for them, shape (n, thresholds, experts).
            reached: 1 where the threshold was reached, else 0, shape (n, thresholds).
        """
        mixture: Singles = np.einsum("hqk,hqk->hq", self.hedge.weights[due], advice)
        variance = np.maximum(mixture * (1 - mixture), np.float32(VARIANCE_MIN))
        self.hedge.follow(due, advice, mixture, (mixture - reached) / variance)
