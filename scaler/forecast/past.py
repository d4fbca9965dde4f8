"""The past of a series in constant space: the state that all experts share.

It is kept at three resolutions: the last steps one by one, bins of about five minutes
over eight days for the day and week profiles, and exponentially weighted means from half a step
to thousands of steps. A gap repeats the last value in the steps, stays unknown in the bins and
leaves the means alone.

Lags of whole days use the workload's time zone: after a change to or from daylight saving time,
"yesterday at this time" is 23 or 25 hours ago.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from scaler.forecast.bfloat16 import Bfloat16, from_bfloat16, is_nan, to_bfloat16

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

DAY_SECONDS = 86_400.0
DAY_LAGS = (1, 2, 3, 7)
RECENT_STEPS = 1560
"""A day and two hours of one-minute steps; with shorter steps, yesterday comes from the bins."""
BIN_SECONDS = 300.0
BESIDE_BINS = np.array([-1.0, 0.0, 1.0])
HALF_LIVES_STEPS = np.exp2(np.arange(-1.0, 12.0))
CHANGE_HALF_LIVES_STEPS = np.array([2.0, 8.0, 64.0, 512.0])


def ew_rates(half_lives: Floats) -> Floats:
    """Share of the newest value in an exponentially weighted mean of these half-lives."""
    return 1.0 - np.exp2(-1.0 / half_lives)


EWMA_RATES = ew_rates(HALF_LIVES_STEPS)
CHANGE_RATES = ew_rates(CHANGE_HALF_LIVES_STEPS)
NOT_ASKED: tuple[Floats | None, Floats] = None, np.empty(0)


class Past:
    """Rings and running means of one series; `advance` is O(1) in its length."""

    def __init__(
        self, *, step_seconds: float, start: datetime | float | None, tz: str | None
    ) -> None:
        self.step_seconds = step_seconds
        self.zone = ZoneInfo(tz) if tz else None
        self.start_seconds = _unix(start)
        self._origin_seconds = 0.0
        self.bin_steps = max(1, round(BIN_SECONDS / step_seconds))
        self.bin_seconds = self.bin_steps * step_seconds
        bins = int((max(DAY_LAGS) * DAY_SECONDS + 7200) / self.bin_seconds) + 4
        self.step = -1
        self.measured = 0
        self.newest_measured_step = -1
        self.last = 0.0
        self.peak = 0.0
        self.recent: Singles = np.zeros(RECENT_STEPS, np.float32)
        self.bins: Bfloat16 = to_bfloat16(np.full(bins, np.nan))
        self.bin_sum = 0.0
        self.bin_count = 0
        self.leading = np.nan
        """The leading indicator at the newest step; NaN = none."""
        self.exogenous: Floats | None = None
        """An exogenous forecast made at the newest step, shape (horizons,)."""
        self.ewma = np.zeros(len(HALF_LIVES_STEPS))
        self.change = np.zeros(len(CHANGE_HALF_LIVES_STEPS))
        self.change_product = 0.0
        self.change_square = 0.0
        self.day_lags_seconds = np.array(DAY_LAGS) * DAY_SECONDS
        self.newest_change = 0.0
        self._other_days = NOT_ASKED

    def place(self, origin_seconds: float) -> None:
        """Set the time of step 0 of the samples; a snapshot does not hold it."""
        self._origin_seconds = origin_seconds

    def advance(self, value: float) -> None:
        """Advance one step; NaN is a gap."""
        self.step += 1
        self._other_days = NOT_ASKED
        if value == value:  # noqa: PLR0124 - the fastest test for NaN, on the hot path
            self._measure(value)
        self.recent[self.step % RECENT_STEPS] = self.last
        if (self.step + 1) % self.bin_steps == 0:
            self._close_bin()

    def forget_step(self) -> None:
        """Drop what was kept for the newest step only."""
        self.exogenous, self._other_days = None, NOT_ASKED

    def skip(self, steps: int) -> None:
        """Advance over many gaps in constant time."""
        passed = np.arange(self.step + 1, self.step + 1 + min(steps, RECENT_STEPS))
        self.recent[passed % RECENT_STEPS] = self.last
        self._other_days = NOT_ASKED
        first = (self.step + 1) // self.bin_steps
        self.step += steps
        last = (self.step + 1) // self.bin_steps
        closed = np.arange(max(first, last - len(self.bins)), last)
        if len(closed):
            self.bins[closed % len(self.bins)] = to_bfloat16(np.nan)
            self.bin_sum, self.bin_count = 0.0, 0
            self._read_clock()

    def close_gap(self, after: int, steps: int) -> None:
        """Take out the `steps` steps after the step `after`; later ones move to their place.

        The gap pushed as many of the oldest steps out of the ring; they come back from the bins.
        """
        newest = self.step - steps
        kept = np.arange(max(0, newest - RECENT_STEPS + 1), newest + 1)
        were = np.where(kept > after, kept + steps, kept)
        values = self.recent[were % RECENT_STEPS].astype(np.float64)
        gone = were <= self.step - RECENT_STEPS
        if gone.any():
            oldest = self.last if gone.all() else values[~gone][0]
            levels = self.binned((self.step - were[gone]) * self.step_seconds)
            values[gone] = np.where(np.isnan(levels), oldest, levels)
        self.recent[kept % RECENT_STEPS] = values
        self._close_gap_in_bins(after, steps)
        if self.newest_measured_step > after:
            self.newest_measured_step = max(after, self.newest_measured_step - steps)
        self.step = newest
        self._other_days = NOT_ASKED

    def _close_gap_in_bins(self, after: int, steps: int) -> None:
        """The same to the nearest bin."""
        size, moved = len(self.bins), round(steps / self.bin_steps)
        ended = (self.step + 1) // self.bin_steps
        end = (self.step - steps + 1) // self.bin_steps
        kept = np.arange(max(0, end - size), end)
        were = np.where(kept * self.bin_steps > after, kept + moved, kept)
        known = (were < ended) & (were >= ended - size)
        self.bins[kept % size] = np.where(known, self.bins[were % size], to_bfloat16(np.nan))

    def lagged(self, lags_steps: Indices) -> Floats:
        """Values at these lags in steps; NaN before the start or beyond the ring."""
        known = (lags_steps >= 0) & (lags_steps < RECENT_STEPS) & (lags_steps <= self.step)
        values = self.recent[(self.step - lags_steps) % RECENT_STEPS].astype(np.float64)
        return np.where(known, values, np.nan)

    def was_measured(self, lags_steps: Indices) -> npt.NDArray[np.bool_]:
        """Whether anything was measured in the bins of these steps, of at most eight days ago.

        The ring of steps repeats the last value in a gap. In the bin that is still open, all count.
        """
        bins = (self.step - lags_steps) // self.bin_steps
        opened = (self.step + 1) // self.bin_steps
        return (bins >= opened) | ~is_nan(self.bins.take(bins % len(self.bins)))

    def has_gaps(self, steps: int) -> bool:
        """Whether some bin of the last `steps` steps, of which there must be so many, has a gap.

        The bin that is still open has none; the steps are those of eight days at most.
        """
        size = len(self.bins)
        begin = (self.step - steps) // self.bin_steps
        begin, end = begin % size, begin % size + (self.step + 1) // self.bin_steps - begin
        closed = is_nan(self.bins[begin:end])
        return bool(closed.any() or is_nan(self.bins[: max(0, end - size)]).any())

    def tail(self, steps: int) -> Singles:
        """The last `count` steps, newest first, padded with the oldest."""
        reach = min(steps, RECENT_STEPS, self.step + 1)
        end = self.step % RECENT_STEPS + 1
        newest = self.recent[max(0, end - reach) : end][::-1]
        if reach <= end:
            return newest
        return np.concatenate((newest, self.recent[end - reach :][::-1]))

    def other_days(self, from_now_seconds: Floats) -> Floats:
        """Levels at the same time on other days, with neighbouring bins; NaN where not measured.

        Shape (moments, days, 3): one bin later, the bin itself, one bin earlier. Cached for a step,
        because two callers ask with the same array of moments.
        """
        asked, levels = self._other_days
        if asked is not from_now_seconds:
            ago = self.day_lags_seconds[:, None] - from_now_seconds[:, None, None]
            levels = self.binned(ago + BESIDE_BINS * self.bin_seconds)
            self._other_days = from_now_seconds, levels
        return levels

    def binned(self, ago_seconds: Floats) -> Floats:
        """The level this many seconds ago, linear between bin centres; NaN where not measured."""
        middle = (self.step + 0.5 - ago_seconds / self.step_seconds) / self.bin_steps - 0.5
        floor = np.floor(middle)
        below = floor.astype(np.intp)
        size, newest = len(self.bins), (self.step + 1) // self.bin_steps - 1
        known = (below >= max(0, newest - size + 1)) & (below < newest)
        if not known.any():
            return np.full_like(middle, np.nan)
        # numpy's own wrapping subtracts the size again and again, for ever from a step of 2**62.
        low = from_bfloat16(self.bins.take(below % size))
        high = from_bfloat16(self.bins.take((below + 1) % size))
        level = low + (middle - floor) * (high - low)
        half_known = np.isnan(level)
        if half_known.any():
            level = np.where(half_known, np.where(np.isnan(low), high, low), level)
        return np.where(known, level, np.nan)

    def _measure(self, value: float) -> None:
        if self.measured:
            change = value - self.last
            self.change += np.maximum(CHANGE_RATES, 1 / self.measured) * (abs(change) - self.change)
            self.change_product += CHANGE_RATES[2] * (
                change * self.newest_change - self.change_product
            )
            self.change_square += CHANGE_RATES[2] * (change * change - self.change_square)
            self.newest_change = change
        self.measured += 1
        self.newest_measured_step = self.step
        self.ewma += np.maximum(EWMA_RATES, 1 / self.measured) * (value - self.ewma)
        self.last = value
        self.peak = max(self.peak, value)
        self.bin_sum += value
        self.bin_count += 1

    def _close_bin(self) -> None:
        mean = self.bin_sum / self.bin_count if self.bin_count else np.nan
        self.bins[(self.step // self.bin_steps) % len(self.bins)] = to_bfloat16(mean)
        self.bin_sum, self.bin_count = 0.0, 0
        self._read_clock()

    def _read_clock(self) -> None:
        if self.zone is None or self.start_seconds is None:
            return
        seconds = self._origin_seconds + self.step * self.step_seconds
        now = datetime.fromtimestamp(self.start_seconds + seconds, tz=self.zone)
        offset = _offset_seconds(now)
        for i, days in enumerate(DAY_LAGS):
            then = (now.astimezone(UTC) - timedelta(days=days)).astimezone(self.zone)
            self.day_lags_seconds[i] = days * DAY_SECONDS - offset + _offset_seconds(then)


def _offset_seconds(moment: datetime) -> float:
    offset = moment.utcoffset()
    return offset.total_seconds() if offset is not None else 0.0


def _unix(start: datetime | float | None) -> float | None:
    return start.timestamp() if isinstance(start, datetime) else start
