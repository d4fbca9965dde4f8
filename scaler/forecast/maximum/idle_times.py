"""Probabilities by idle time: how often a value came after it was not reached for so long.

The idle time of a value is how long demand has been below it. Of the past steps at which it was
about what it is now, some were followed by the value within a window; that share is the hazard of
the histogram of idle times by which functions are kept warm (Shahrad et al., USENIX ATC 2020). It
sees what returns after a usual time, whatever the clock says. A second kernel takes only the steps
at the same minute of the hour, because what is scheduled begins at a minute.
"""

from dataclasses import dataclass

import numpy as np

from scaler.forecast.maximum.likeness import bell, off_the_minute
from scaler.forecast.maximum.thinned import Thinned
from scaler.forecast.maximum.wanted_past import WantedPast
from scaler.forecast.past import Floats, Singles
from scaler.forecast.shared_constant import shared_constant

KERNELS = ("idle", "idle-minute")
IDLE_WIDTH = 0.35
"""Of the logarithm: an idle time a third longer or shorter is alike."""
MINUTE_WIDTH_SECONDS = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mass:
    """Weight of past steps, shape (windows, thresholds, kernels)."""

    known: Floats
    """Of those of which it is known whether the value came."""
    reached: Floats
    """Of those after which it came."""


class IdleTimes:
    def __init__(self, *, capacity: int, step_seconds: float) -> None:
        """Weigh up to `capacity` past steps."""
        lag: Floats = np.arange(capacity) * np.float64(step_seconds)
        alike = bell(off_the_minute(lag), MINUTE_WIDTH_SECONDS)
        self._minute: Singles = shared_constant(alike[::-1].astype(np.float32))
        logs = np.log(np.arange(capacity + 1) + 1.0) / IDLE_WIDTH
        self._log_idle: Singles = shared_constant(logs.astype(np.float32))

    def mass(self, past: WantedPast, thresholds: Floats, counted: Thinned) -> Mass:
        """Weigh the counted steps of the past.

        Args:
            thresholds: the values, above the present demand.
        """
        length = past.length
        values = (past.last + thresholds).astype(np.float32)[:, None]
        place = np.arange(length, dtype=np.int32)
        reached = np.where(past.wanted[:length] >= values, place, np.int32(-1))
        # A value that was never reached counts as reached before the oldest step.
        idle = place - np.maximum.accumulate(reached, axis=1)
        then = counted.of(idle)
        distance = self._log_idle[then] - self._log_idle[idle[:, -1:]]
        alike = np.exp(-0.5 * distance * distance)
        alike[then == 0] = 0.0
        weights = np.empty((*alike.shape, len(KERNELS)), np.float32)
        of_step = counted.weighted(np.ones(length, np.float32))
        np.multiply(alike, of_step, out=weights[:, :, 0])
        minute = counted.of(self._minute[len(self._minute) - length :])
        np.multiply(weights[:, :, 0], minute, out=weights[:, :, 1])
        excess = counted.of(past.excess[:, :length])
        top = excess + counted.of(past.wanted[:length])
        came = (top >= values[:, None]).astype(np.float32)
        known = (excess >= 0).astype(np.float32)
        return Mass(known=_by_window(known @ weights), reached=_by_window(came @ weights))


def _by_window(mass: Singles) -> Floats:
    """From (thresholds, windows, kernels)."""
    return np.swapaxes(mass, 0, 1).astype(np.float64)
