"""The clocks: the one place that reads them."""

import time


def wall_clock() -> float:
    """Unix time in seconds."""
    return time.time()  # noqa: TID251 this is the Clock that the others take


def steady_clock() -> float:
    """Seconds since some moment; never goes back."""
    return time.monotonic()  # noqa: TID251 this is the Clock that the others take
