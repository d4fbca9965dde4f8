"""An engine's iteration time as a robust recursive regression with non-negative coefficients.

`T = a + b·n + c·KV + d·p·T` divided by T is linear in what a minute's counters show of one replica:

    1 = a ÷ T + b·g + c·g·context + d·p

because the running requests n gain n ÷ T = g tokens a second. T is the mean of the ITL histogram's
increase, g and p are rates of the same minute, so no gauge of one moment enters. Sums of products
are all that is kept; the prior joins them when the coefficients are asked for, so that workloads
with different figures can share a feed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scaler.learning.engine_prior import EnginePrior, IterationTime

TERMS: Final = 4
HALF_LIFE_MINUTES: Final = 24 * 60.0
"""Of evidence: an engine's shape changes with releases, not with hours."""
NOISE_MIN: Final = 0.02
"""Least relative error of one minute's measurement: demand moves inside it."""
MISFIT_MAX: Final = 0.2
"""Relative residual above which the formula does not describe the engine."""
_OUTLIER: Final = 2.0
"""Errors beyond so many mean ones count less, as Huber's."""
_ERROR_MINUTES: Final = 20.0
_SHIFTED: Final = 0.12
"""Mean signed error of the last minutes from which the engine is taken for another one."""
_SHIFT_MINUTES: Final = 5.0
_JUDGING_MINUTES: Final = 10.0
"""Evidence from which it says which measurement is an outlier; before, the prior would."""
_FLOOR: Final = 1e-12

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficients:
    """The coefficients in the light of prior and evidence."""

    iteration: IterationTime
    covariance: _Floats
    """Of a, b, c and d."""
    residual: float
    """Relative, root mean square: what the formula leaves unexplained."""

    @property
    def fits(self) -> bool:
        """Whether the engine behaves as the formula says."""
        return self.residual <= MISFIT_MAX

    def deviation(self, direction: Sequence[float]) -> float:
        """Standard deviation of the sum of the coefficients, each times its weight."""
        weights = np.asarray(direction)
        return math.sqrt(max(0.0, float(weights @ self.covariance @ weights)))


@dataclass(slots=True, kw_only=True)
class IterationFit:
    """Sums of what the engine showed; the newest count most."""

    minutes: float = 0.0
    """Evidence, by its age."""
    products: _Floats = field(default_factory=lambda: np.zeros((TERMS, TERMS)))
    targets: _Floats = field(default_factory=lambda: np.zeros(TERMS))
    error: float = 0.05
    """Mean absolute relative error of late, of measurements before they were taken."""
    shift: float = 0.0
    """Mean signed error of the last minutes."""
    _solved: tuple[EnginePrior, Coefficients] | None = field(
        default=None, init=False, repr=False, compare=False
    )
    """Of the sums as they are: a look asks three times, and each time costs most of it."""

    def take(self, row: Sequence[float], prior: EnginePrior, *, minutes: float) -> None:
        """Account for a measurement.

        Args:
            row: what a, b, c and d are multiplied with to make 1.
            prior: for as long as little is known.
            minutes: new evidence in it, at most 1.
        """
        values, weight = np.asarray(row), minutes
        if self.minutes >= _JUDGING_MINUTES:
            explained = float(values @ _vector(self.solve(prior).iteration))
            error = 1 - explained
            usual = max(self.error, NOISE_MIN)
            self._follow(error, minutes)
            weight *= min(1.0, _OUTLIER * usual / max(abs(error), _FLOOR))
            # An ITL of a hundredth makes a row a hundred times as long, which is squared below.
            weight /= max(1.0, explained) ** 2
            if abs(self.shift) > _SHIFTED:
                self._forget(0.5)
        self._solved = None
        self._forget(0.5 ** (minutes / HALF_LIFE_MINUTES))
        self.products += weight * np.outer(values, values)
        self.targets += weight * values
        self.minutes += weight

    def solve(self, prior: EnginePrior) -> Coefficients:
        """The most likely coefficients, none below 0."""
        if self._solved is None or self._solved[0] != prior:
            self._solved = prior, self._solve(prior)
        return self._solved[1]

    def _solve(self, prior: EnginePrior) -> Coefficients:
        scale = np.maximum(_vector(prior.iteration), _FLOOR)
        matrix, target = self.products * np.outer(scale, scale), self.targets * scale
        ratios, inverse = _non_negative(matrix, target, ridge=(NOISE_MIN / prior.spread) ** 2)
        residual = 0.0
        if self.minutes:
            squares = self.minutes - 2 * ratios @ target + ratios @ matrix @ ratios
            residual = math.sqrt(max(0.0, float(squares)) / self.minutes)
        noise = max(residual, NOISE_MIN)
        if noise > NOISE_MIN:
            ratios, inverse = _non_negative(matrix, target, ridge=(noise / prior.spread) ** 2)
        return Coefficients(
            iteration=_iteration(ratios * scale),
            covariance=noise**2 * inverse * np.outer(scale, scale),
            residual=residual,
        )

    def _follow(self, error: float, minutes: float) -> None:
        within = min(abs(error), 1.0)
        self.error += (within - self.error) * min(1.0, minutes / _ERROR_MINUTES)
        self.shift += (math.copysign(within, error) - self.shift) * min(
            1.0, minutes / _SHIFT_MINUTES
        )

    def _forget(self, keep: float) -> None:
        self.products *= keep
        self.targets *= keep
        self.minutes *= keep


def _non_negative(matrix: _Floats, target: _Floats, *, ridge: float) -> tuple[_Floats, _Floats]:
    """The coefficients, in units of the prior's, and the inverse of what they solve.

    The most negative one is held at 0 until none is left; its variance stays the prior's.
    """
    wanted, sums = matrix + ridge * np.eye(TERMS), target + ridge
    free = list(range(TERMS))
    while True:
        inverse = np.linalg.inv(wanted[np.ix_(free, free)])
        solved = inverse @ sums[free]
        least = int(solved.argmin())
        if solved[least] >= 0 or len(free) == 1:
            break
        del free[least]
    ratios, whole = np.zeros(TERMS), np.eye(TERMS) / ridge
    ratios[free] = np.maximum(solved, 0.0)
    whole[np.ix_(free, free)] = inverse
    return ratios, whole


def _vector(iteration: IterationTime) -> _Floats:
    return np.array(
        (
            iteration.fixed_seconds,
            iteration.per_sequence_seconds,
            iteration.per_kv_token_seconds,
            iteration.per_prompt_token_seconds,
        )
    )


def _iteration(values: _Floats) -> IterationTime:
    fixed, per_sequence, per_kv_token, per_prompt_token = values.tolist()
    return IterationTime(
        fixed_seconds=fixed,
        per_sequence_seconds=per_sequence,
        per_kv_token_seconds=per_kv_token,
        per_prompt_token_seconds=per_prompt_token,
    )
