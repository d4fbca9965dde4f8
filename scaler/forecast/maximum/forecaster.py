"""The forecaster of the running maximum of one pool's demand: samples in, `MaximumForecast` out.

1. Kernels over the pool's own past say how often a threshold was reached in like situations
   (`analogues`).
2. They are mixed per window and threshold by their losses (`mixing`). Up to here only this pool
   is used.
3. The prior (trees trained on many families of traffic and shipped with the program) corrects the
   logit of that mixture; so do the prior recalibrated on this pool (`recalibration`) and the same
   trees with leaves adapted to it (`adapted`). These are mixed once more, so that a prior without
   skill on this pool loses its weight.

It reads no clock and does no I/O. A forecast is judged when its window has passed, so no value is
used before it is due.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np

from scaler.forecast.grid import Grid
from scaler.forecast.maximum import analogues
from scaler.forecast.maximum.adapted import TREES, AdaptedLeaves
from scaler.forecast.maximum.analogues import Analogues
from scaler.forecast.maximum.features import Features, logit
from scaler.forecast.maximum.mixing import HALF_LIFE_DAYS, ProbabilityMix
from scaler.forecast.maximum.recalibration import Recalibration
from scaler.forecast.maximum.thresholds import COUNT, in_order, quantiles, thresholds
from scaler.forecast.maximum.wanted_past import UNKNOWN, WantedPast
from scaler.forecast.past import DAY_SECONDS, Floats
from scaler.forecast.pending import Pending
from scaler.forecast.running_maximum import MaximumForecast
from scaler.forecast.snapshot import dump, load
from scaler.forecast.trees import Bytes, Trees, read

DEFAULT_WINDOWS_SECONDS = (600.0, 1200.0, 2400.0, 4800.0, 9600.0)
DEFAULT_LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
DEFAULT_STEP_SECONDS = 120.0
PROBABILITY_MIN = 1e-4
FINAL = ("own-past", "own-recalibrated", "prior", "prior-recalibrated", "prior-adapted")
FINAL_PRIOR = np.array([0.1, 0.05, 0.25, 0.1, 0.5])
_OWN, _PRIOR, _ADAPTED = 0, 2, 4


class RunningMaximumForecaster:
    def __init__(
        self,
        *,
        step_seconds: float = DEFAULT_STEP_SECONDS,
        windows_seconds: Sequence[float] = DEFAULT_WINDOWS_SECONDS,
        levels: Sequence[float] = DEFAULT_LEVELS,
        tz: str | None = None,
        trees: Trees | None = None,
    ) -> None:
        """Start with an empty history.

        Args:
            step_seconds: between samples; a sample is the largest demand since the last one.
            windows_seconds: ascending, in whole steps.
            tz: IANA name of the zone whose days the demand follows; None = UTC.
            trees: the prior; None = the shipped one.

        Raises:
            ValueError: the windows or levels are not ascending, or out of range.
        """
        self._windows_seconds = tuple(float(window) for window in windows_seconds)
        self._levels = tuple(float(level) for level in levels)
        if not _ascending(self._windows_seconds) or self._windows_seconds[0] < step_seconds:
            raise ValueError(
                f"windows {self._windows_seconds} s do not ascend from a step of {step_seconds} s"
            )
        if not _ascending(self._levels) or not 0 < self._levels[0] <= self._levels[-1] < 1:
            raise ValueError(f"levels {self._levels} are not ascending inside (0, 1)")
        self._grid = Grid(step_seconds)
        windows = np.round(np.array(self._windows_seconds) / step_seconds).astype(np.intp)
        self._past = WantedPast(step_seconds=step_seconds, windows_steps=windows)
        zone = ZoneInfo(tz) if tz else None
        self._analogues = Analogues(past=self._past, windows_steps=windows, zone=zone)
        self._trees = trees or shipped()
        self._has_prior = bool(self._trees.leaf.any())
        self._features = Features(step_seconds=step_seconds, windows_steps=windows)
        self._pending = Pending(
            windows,
            (
                (COUNT * analogues.COUNT, np.float16),
                (COUNT * len(FINAL), np.float16),
                (COUNT * TREES, np.uint8),
                (COUNT, np.float32),
            ),
        )
        stride = self._pending.stride
        half_life = np.full(len(windows), HALF_LIFE_DAYS * DAY_SECONDS / step_seconds) / stride
        overlap = windows / stride
        self._own_mix, self._mix = (
            ProbabilityMix(
                prior=prior, thresholds=COUNT, overlap=overlap, half_life_steps=half_life
            )
            for prior in (np.full(analogues.COUNT, 1 / analogues.COUNT), FINAL_PRIOR)
        )
        self._own_recalibration, self._recalibration = (
            Recalibration(windows=len(windows), thresholds=COUNT, overlap=overlap) for _ in range(2)
        )
        self._adapted = AdaptedLeaves(self._trees, overlap)
        self._thresholds: Floats = thresholds(1.0)
        self._own: Floats = np.zeros((len(windows), COUNT, analogues.COUNT))
        self._probabilities: Floats = np.zeros((len(windows), COUNT))

    def update(self, t_seconds: float, value: float | None) -> None:
        """Consume a sample; None, NaN, infinities and negative numbers are gaps."""
        placed = self._grid.place(t_seconds, value)
        if placed is None:
            return
        if placed.gaps:
            self._past.skip(placed.gaps)
        self._past.advance(placed.value)
        self._learn()
        if self._past.measured:
            self._predict()

    def forecast(self) -> MaximumForecast | None:
        """The forecast from the newest sample; None = nothing was measured yet."""
        past = self._past
        if not past.measured:
            return None
        excess = quantiles(self._thresholds, self._probabilities, np.array(self._levels))
        return MaximumForecast(
            made_at_seconds=self._grid.seconds_at(past.step - past.missing),
            last_value=past.last,
            windows_seconds=self._windows_seconds,
            levels=self._levels,
            quantiles=tuple(tuple(row) for row in (past.last + excess).tolist()),
            reach_values=tuple((past.last + self._thresholds).tolist()),
            reach_probabilities=tuple(tuple(row) for row in self._probabilities.tolist()),
        )

    @property
    def measured_seconds(self) -> float:
        """How much of its past was measured."""
        return self._past.measured * self._past.step_seconds

    @property
    def highest(self) -> float:
        """The largest demand of the days that are kept; 0 where nothing was measured."""
        return self._past.highest

    def past(self) -> tuple[Floats, Floats]:
        """The demand of the days that are kept, the oldest first: times in seconds, and values.

        A value that is not known is NaN; a gap of a few steps repeats the value before it.
        """
        past = self._past
        steps = range(past.step + 1 - past.length, past.step + 1)
        times = np.array([self._grid.seconds_at(step) for step in steps], dtype=np.float64)
        return times, past.wanted[: past.length].astype(np.float64)

    def snapshot(self) -> bytes:
        """The learned state, for `restore` on a forecaster made with the same arguments."""
        return dump(self)

    def restore(self, snapshot: bytes) -> None:
        """Continue from a snapshot, with equal forecasts.

        Raises:
            ValueError: the snapshot is of a forecaster made with other arguments.
        """
        load(self, snapshot)
        if self._past.measured:
            self._predict(keep=False)

    def prior_inputs(self) -> tuple[Floats, Floats, Floats]:
        """What the prior is trained on: features, the logits it corrects, and the thresholds.

        One row for each window and threshold, thresholds varying fastest.
        """
        mixture = self._own_mix.mix(self._own)
        rows = self._features.of(self._past, self._thresholds, self._own, mixture)
        return rows, logit(mixture).ravel(), self._thresholds

    def _learn(self) -> None:
        due, (own, final, leaves, excesses) = self._pending.due(self._past.step)
        outcome = self._past.outcomes(due)
        known = outcome != UNKNOWN
        if not known.any():
            return
        due, reached = due[known], (outcome[known, None] >= excesses[known]).astype(np.float32)
        own, final, leaves = (
            part[known].reshape(len(due), COUNT, -1) for part in (own, final, leaves)
        )
        own, final = own.astype(np.float32), final.astype(np.float32)
        self._own_mix.learn(due, own, reached)
        self._own_recalibration.learn(due, final[:, :, _OWN], reached)
        if self._has_prior:
            self._recalibration.learn(due, final[:, :, _PRIOR], reached)
            self._adapted.learn(due, leaves, final[:, :, _ADAPTED], reached)
        self._mix.learn(due, final, reached)

    def _predict(self, *, keep: bool = True) -> None:
        past = self._past
        self._analogues.follow_clock(self._grid.seconds_at(past.step))
        self._thresholds = thresholds(past.scale)
        self._own = self._analogues.probabilities(past, self._thresholds)
        final, leaves = self._experts()
        mixture = self._mix.mix(final)
        self._probabilities = in_order(np.clip(mixture, PROBABILITY_MIN, 1 - PROBABILITY_MIN))
        if keep:
            rows = (
                self._own.astype(np.float16),
                final.astype(np.float16),
                leaves,
                np.tile(self._thresholds, (len(final), 1)).astype(np.float32),
            )
            self._pending.keep(past.step, tuple(part.reshape(len(final), -1) for part in rows))

    def _experts(self) -> tuple[Floats, Bytes]:
        """The probabilities by expert, shape (windows, thresholds, experts), and the leaves."""
        own = self._own_mix.mix(self._own)
        shape = own.shape
        recalibrated = self._own_recalibration.correct(own)
        if not self._has_prior:
            nowhere = np.zeros((*shape, TREES), np.uint8)
            return np.stack((own, recalibrated, own, recalibrated, own), axis=2), nowhere
        rows, logits, _ = self.prior_inputs()
        leaves = self._trees.leaves(rows)
        logits += self._trees.sum_at(leaves)[:, 0]
        prior = _probability(logits).reshape(shape)
        adapted = _probability(logits + self._adapted.sum_at(leaves)).reshape(shape)
        final = (own, recalibrated, prior, self._recalibration.correct(prior), adapted)
        kept = np.zeros((len(leaves), TREES), np.uint8)
        kept[:, : leaves.shape[1]] = leaves[:, :TREES]
        return np.stack(final, axis=2), kept.reshape(*shape, TREES)


@cache
def shipped() -> Trees:
    """The prior shipped with the program, made by `python -m bench peaks_prior`.

    Trained on demand derived from the public traffic that the prior of demand was trained on. It
    holds thresholds of features and corrections of logits, no data of theirs.
    """
    return read(files("scaler.forecast.maximum").joinpath("prior.npz").read_bytes())


def _probability(logits: Floats) -> Floats:
    probability: Floats = 1.0 / (1.0 + np.exp(-logits))
    return probability


def _ascending(numbers: Sequence[float]) -> bool:
    return bool(numbers) and all(a < b for a, b in pairwise(numbers))
