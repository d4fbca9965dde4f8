"""How long something takes, from durations of which some are known only as bounds.

Exact durations and lower bounds alone give the product-limit estimator (Kaplan & Meier, JASA 53,
1958). Where some lie in an interval or have only an upper bound, it is repeated on the expected
number of ends at each duration until it repeats itself (Turnbull, JASA 69, 1974; JRSS B 38, 1976):
the EM algorithm for the nonparametric likelihood.

A prior curve counts like `prior_weight` durations that were seen: the posterior mean under a
Dirichlet process (Susarla & Van Ryzin, JASA 71, 1976), with the prior's mass on a grid.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

_ROUNDS_MAX: Final = 200
_CHANGE_MAX: Final = 1e-10
"""Of a share in one round, below which the curve repeats itself."""
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """A duration in seconds: more than `over`, and at most `up_to`; exact where they are equal."""

    over: float
    up_to: float
    """Infinite = there is only a lower bound."""
    weight: float = 1.0

    @property
    def exact(self) -> bool:
        return self.over == self.up_to

    def weighted(self, weight: float) -> "Duration":
        return replace(self, weight=self.weight * weight)

    @property
    def open(self) -> bool:
        """It has not ended, as far as is known."""
        return math.isinf(self.up_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The share of durations that end at each moment."""

    seconds: tuple[float, ...]
    """Ascending."""
    shares: tuple[float, ...]
    beyond: float = 0.0
    """The share of which it is known only that it took longer than all these."""
    beyond_seconds: float = 0.0
    """The longest lower bound among them."""

    def quantile(self, level: float) -> float:
        """The duration that a share of `level` does not exceed.

        Of a level within `beyond` it is the least that it can be (Efron, 1967).
        """
        for seconds, share in zip(self.seconds, accumulate(self.shares), strict=True):
            if share >= level - _ROUNDING:
                return seconds
        return max(self.beyond_seconds, self.seconds[-1] if self.seconds else 0.0)

    def mean(self, at_most_seconds: float) -> float:
        """The mean, a longer duration counting as `at_most_seconds` (Irwin, J. Hygiene 47, 1949).

        One machine that hung for a day moves it no further than one that took the limit.
        """
        ended = zip(self.seconds, self.shares, strict=True)
        whole = math.fsum(min(seconds, at_most_seconds) * share for seconds, share in ended)
        return whole + self.beyond * at_most_seconds


NOTHING: Final = Curve(seconds=(), shares=(), beyond=1.0)
"""Of no duration: it may take any time."""


def curve_of(
    durations: Iterable[Duration], prior: Curve = NOTHING, prior_weight: float = 0.0
) -> Curve:
    """The curve of durations in any order.

    Args:
        durations: those that were seen.
        prior: the curve without them.
        prior_weight: the number of durations that it counts like.
    """
    seen = [one for one in (*durations, *_as_durations(prior, prior_weight)) if one.weight > 0]
    # Sums of floats depend on their order, and readings come in any.
    seen.sort(key=lambda one: (one.over, one.up_to, one.weight))
    grid = _grid(seen)
    between = [
        (bisect_right(grid, one.over), bisect_right(grid, one.up_to), one.weight)
        for one in seen
        if not one.exact and not one.open
    ]
    exact, unended = [0.0] * len(grid), [0.0] * (len(grid) + 1)
    for one in seen:
        if one.exact:
            exact[bisect_right(grid, one.over) - 1] += one.weight
        elif one.open:
            # The number of moments that it has outlasted.
            unended[bisect_right(grid, one.over)] += one.weight
    shares, beyond = _self_consistent(exact, unended, between)
    return Curve(
        seconds=tuple(grid),
        shares=tuple(shares),
        beyond=beyond,
        beyond_seconds=max((one.over for one in seen if one.open), default=0.0),
    )


def _as_durations(curve: Curve, weight: float) -> Iterable[Duration]:
    for seconds, share in zip(curve.seconds, curve.shares, strict=True):
        yield Duration(over=seconds, up_to=seconds, weight=weight * share)
    if curve.beyond > 0:
        yield Duration(over=curve.beyond_seconds, up_to=math.inf, weight=weight * curve.beyond)


def _grid(seen: Sequence[Duration]) -> list[float]:
    """The moments at which something may end.

    They are the exact ones; of an interval without any it is the upper bound, which promises least.
    """
    grid = sorted({one.over for one in seen if one.exact})
    intervals = [one for one in seen if not one.exact and not one.open]
    for one in sorted(intervals, key=lambda each: (each.up_to, each.over)):
        if bisect_right(grid, one.over) == bisect_right(grid, one.up_to):
            grid.insert(bisect_right(grid, one.up_to), one.up_to)
    return grid


def _self_consistent(
    exact: Sequence[float], unended: Sequence[float], between: Sequence[tuple[int, int, float]]
) -> tuple[list[float], float]:
    """The share that ends at each moment, and the one that outlasts them all."""
    ends = list(exact)
    for first, behind, weight in between:
        # A moment that begins without a share would never get one.
        if not all(exact[first:behind]):
            for at in range(first, behind):
                ends[at] += weight / (behind - first)
    shares, beyond = _product_limit(ends, unended)
    for _ in range(_ROUNDS_MAX if between else 0):
        before = shares
        shares, beyond = _product_limit(_expected(exact, shares, between), unended)
        if max(abs(a - b) for a, b in zip(before, shares, strict=True)) < _CHANGE_MAX:
            break
    return shares, beyond


def _expected(
    exact: Sequence[float], shares: Sequence[float], between: Sequence[tuple[int, int, float]]
) -> list[float]:
    """The ends at each moment: the exact ones, and of each interval its parts by the shares."""
    sums = [0.0, *accumulate(shares)]
    rates = [0.0] * (len(shares) + 1)
    for first, behind, weight in between:
        inside = sums[behind] - sums[first]
        if inside > 0:
            rates[first] += weight / inside
            rates[behind] -= weight / inside
    per_share = accumulate(rates)
    return [
        count + share * rate for count, share, rate in zip(exact, shares, per_share, strict=False)
    ]


def _product_limit(ends: Sequence[float], unended: Sequence[float]) -> tuple[list[float], float]:
    at_risk = list(accumulate(reversed(unended[1:])))[::-1]
    later = list(accumulate(reversed(ends)))[::-1]
    left, shares = 1.0, []
    for count, still, running in zip(ends, later, at_risk, strict=True):
        all_at_risk = still + running
        ending = left * count / all_at_risk if all_at_risk > 0 else 0.0
        shares.append(ending)
        left -= ending
    return shares, max(0.0, left)
