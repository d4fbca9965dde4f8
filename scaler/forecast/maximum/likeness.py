"""How alike two moments are, as a weight from 0 to 1."""

import numpy as np

from scaler.forecast.past import Floats

HOUR_SECONDS = 3600.0


def bell(distance: Floats, width: float) -> Floats:
    """1 at no distance, and as a normal density of this standard deviation falls."""
    weight: Floats = np.exp(-0.5 * (distance / width) ** 2)
    return weight


def off_the_minute(lag_seconds: Floats) -> Floats:
    """Seconds between a moment so long ago and the nearest same minute of an hour."""
    off: Floats = (lag_seconds + HOUR_SECONDS / 2) % HOUR_SECONDS - HOUR_SECONDS / 2
    return off
