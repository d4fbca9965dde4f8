"""The wall clock: the one place that reads it."""

import time


def wall_clock() -> float:
    """Unix time in seconds."""
    return time.time()  # noqa: TID251 this is the Clock that the others take
