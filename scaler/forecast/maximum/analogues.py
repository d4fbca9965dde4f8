"""Probabilities of an excess from the pool's own past: kernels over the steps that are kept.

Each kernel weighs the past steps by their likeness to now: how long ago, at which time of day, at
which minute of the hour, at which level and trend. The probability that the maximum of a window
exceeds the present by a threshold is the weighted share of the past steps after which it did,
shrunk towards a wider kernel while few independent steps carry the weight. Two more kernels weigh
steps by how long demand had been below the value (`idle_times`).
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from scaler.forecast.maximum import idle_times
from scaler.forecast.maximum.idle_times import IdleTimes
from scaler.forecast.maximum.likeness import bell, off_the_minute
from scaler.forecast.maximum.thinned import thinned
from scaler.forecast.maximum.wanted_past import DAYS, EXCESS_MAX, WantedPast
from scaler.forecast.past import DAY_SECONDS, Floats, Indices, Singles
from scaler.forecast.shared_constant import shared_constant

_BY_STEP = ("all", "recent", "moment", "day", "hour", "alike", "alike-day")
KERNELS = (*_BY_STEP, *idle_times.KERNELS)
COUNT = len(KERNELS)
_ALL, _RECENT, _MOMENT, _DAY, _HOUR, _ALIKE, _ALIKE_DAY, _IDLE, _IDLE_MINUTE = range(COUNT)
RECENT_SECONDS = 14_400.0
MOMENT_WIDTH_SECONDS = 180.0
DAY_WIDTH_SECONDS = 2_400.0
ALIKE_DAY_WIDTH_SECONDS = 7_200.0
HOUR_WIDTH_SECONDS = 240.0
HOUR_MEMORY_SECONDS = 86_400.0
DAY_MEMORY_DAYS = 6.0
TREND_SECONDS = (600.0, 3600.0)
ALIKE_WIDTHS = (1.5, 1.0, 2.0)
"""Of the level and of the two trends, in the past's scale."""
PRIOR_STEPS = 4.0
"""Independent steps that the wider kernel counts as."""
RISES = np.array([0.12, 0.2, 0.3, 0.4, 0.5])
"""How often the demand rises within 10, 20, 40, 80 and 160 minutes, before any evidence."""
RISES_SECONDS = np.array([600.0, 1200.0, 2400.0, 4800.0, 9600.0])
RISE_SCALES = 1.5


class Analogues:
    """Weights of the past steps; only a change of daylight saving time alters the fixed ones."""

    def __init__(self, *, past: WantedPast, windows_steps: Indices, zone: ZoneInfo | None) -> None:
        self._zone = zone
        step = past.step_seconds
        self._overlap = np.sqrt(windows_steps.astype(np.float64))[:, None]
        self._lag_seconds: Floats = np.arange(past.capacity) * np.float64(step)
        self._trends = tuple(max(1, round(span / step)) for span in TREND_SECONDS)
        self._rise = np.interp(windows_steps * step, RISES_SECONDS, RISES)[:, None]
        self._shift_seconds = np.zeros(DAYS + 1)
        self._fixed = self._weigh()
        self._idle = IdleTimes(capacity=past.capacity, step_seconds=step)

    def follow_clock(self, now_seconds: float) -> None:
        """Take the time zone's changes of the last days into account."""
        if self._zone is None:
            return
        now = datetime.fromtimestamp(now_seconds, tz=self._zone)
        ago = np.zeros(DAYS + 1)
        for days in range(1, DAYS + 1):
            then = (now.astimezone(UTC) - timedelta(days=days)).astimezone(self._zone)
            ago[days] = _offset_seconds(then) - _offset_seconds(now)
        if not np.array_equal(ago, self._shift_seconds):
            self._shift_seconds = ago
            self._fixed = self._weigh()

    def probabilities(self, past: WantedPast, thresholds: Floats) -> Floats:
        """Shape (windows, thresholds, kernels)."""
        length, counted = past.length, thinned(past)
        weights = counted.weighted(self._fixed[:, past.capacity - length :])
        weights[(_ALIKE, _ALIKE_DAY), :] *= counted.of(self._likeness(past))
        excess = counted.of(past.excess[:, :length])
        # An excess of 0 or more is one that is known.
        asked = np.minimum(np.concatenate(([0.0], thresholds)), EXCESS_MAX).astype(np.int16)
        reached = excess[:, None] >= asked[:, None]
        mass = (reached.astype(np.float32) @ weights.T).astype(np.float64)
        idle = self._idle.mass(past, thresholds, counted)
        known = np.repeat(mass[:, :1], len(thresholds), axis=1)
        return self._shrunk(
            np.concatenate((known, idle.known), axis=2),
            np.concatenate((mass[:, 1:], idle.reached), axis=2),
            thresholds / past.scale,
        )

    def _shrunk(self, known: Floats, above: Floats, heights: Floats) -> Floats:
        independent = known / self._overlap[:, None]
        share = above / np.maximum(known, 1e-9)
        trust = independent / (independent + PRIOR_STEPS)
        guess = self._rise * np.exp((heights[0] - heights) / RISE_SCALES)
        found = np.empty_like(share)
        found[..., _ALL] = guess + trust[..., _ALL] * (share[..., _ALL] - guess)
        wide = found[..., _ALL, None]
        rest = slice(_ALL + 1, _IDLE_MINUTE)
        found[..., rest] = wide + trust[..., rest] * (share[..., rest] - wide)
        last = slice(_IDLE_MINUTE, None)
        wide = found[..., _IDLE, None]
        found[..., last] = wide + trust[..., last] * (share[..., last] - wide)
        return found

    def _likeness(self, past: WantedPast) -> Floats:
        length, scale, wanted = past.length, past.scale, past.wanted
        distance = ((wanted[:length] - past.last) / (ALIKE_WIDTHS[0] * scale)) ** 2
        for lag, width in zip(self._trends, ALIKE_WIDTHS[1:], strict=True):
            if lag >= length:
                continue
            trend = wanted[lag:length] - wanted[: length - lag]
            now = past.last - float(past.latest(lag + 1)[0])
            distance[lag:] += ((trend - now) / (width * scale)) ** 2
        alike: Floats = np.exp(-0.5 * distance)
        return np.where(np.isnan(alike), 0.0, alike)

    def _weigh(self) -> Singles:
        """The fixed weights, oldest step first, shape (kernels, capacity)."""
        lag = self._lag_seconds
        days = np.minimum(np.round(lag / DAY_SECONDS).astype(np.intp), DAYS)
        off = lag - days * DAY_SECONDS - self._shift_seconds[days]
        other_day = (days > 0) * np.exp2(-(days - 1) / DAY_MEMORY_DAYS)
        weights = np.empty((len(_BY_STEP), len(lag)))
        weights[_ALL] = weights[_ALIKE] = 1.0
        weights[_RECENT] = np.exp2(-lag / RECENT_SECONDS)
        weights[_MOMENT] = other_day * bell(off, MOMENT_WIDTH_SECONDS)
        weights[_DAY] = other_day * bell(off, DAY_WIDTH_SECONDS)
        weights[_HOUR] = np.exp2(-lag / HOUR_MEMORY_SECONDS) * bell(
            off_the_minute(lag), HOUR_WIDTH_SECONDS
        )
        weights[_ALIKE_DAY] = other_day * bell(off, ALIKE_DAY_WIDTH_SECONDS)
        return shared_constant(weights[:, ::-1].astype(np.float32))


def _offset_seconds(moment: datetime) -> float:
    offset = moment.utcoffset()
    return offset.total_seconds() if offset is not None else 0.0
