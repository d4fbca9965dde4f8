"""How far ahead a workload's forecasts look: as far as its lead time, whatever the step."""

from collections.abc import Iterator

STEPS = (1, 3, 5, 10, 15, 30)
"""In steps of the series; with steps of a minute half an hour, which the prior was fitted to."""


def horizons_seconds(*, lead_seconds: float, step_seconds: float) -> tuple[float, ...]:
    """The horizons of all workloads with about this lead time, ascending; the last one reaches it.

    Beyond half an hour of one-minute steps the reach doubles until it does. So workloads whose lead
    times differ a little have equal horizons and share one feed's forecasts, and a long lead time
    changes no digit of another workload's forecast.
    """
    return tuple(steps * step_seconds for steps in _steps(lead_seconds / step_seconds))


def _steps(lead_steps: float) -> Iterator[int]:
    yield from STEPS
    reach = STEPS[-1]
    while reach < lead_steps:
        reach *= 2
        yield reach
