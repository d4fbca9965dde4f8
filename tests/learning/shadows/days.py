"""Made-up looks and books for tests of shadows."""

import numpy as np

from scaler.learning.shadows.books import EMPTY, Books, Days, Minute
from scaler.learning.shadows.look import ShadowedLook
from scaler.learning.shadows.settings import SETTINGS, SHADOWS

MONDAY = 1_772_409_600.0  # 2026-03-02 00:00 UTC
A_DAY = 720
"""Minutes that make a whole day of the books."""


def look(
    at: float,
    work: float,
    *,
    ready: float | None = 10.0,
    planned: int = 10,
    late: float | None = 0.0,
    requests: float | None = 20.0,
) -> ShadowedLook:
    return ShadowedLook(
        at_seconds=at,
        work=work,
        slots=0.0,
        running=work * 30,
        requests=requests,
        residence_seconds=0.0,
        ready=ready,
        paid=ready,
        planned=planned,
        late=late,
    )


def books(
    hours: dict[int, float],
    late: dict[int, list[float]],
    *,
    measured: float | None = 0.002,
    modelled: float | None = 0.002,
    planned: float = 100.0,
    shadowed: float = 100.0,
) -> Days:
    """Whole days in which settings cost `hours` a day, and `late` each day; the plan `planned`.

    Settings that are not named cost 100 GPU-hours a day and are never late.
    """
    made: Books = EMPTY
    for day in range(len(next(iter(late.values())))):
        gpu = np.full(SHADOWS, 100.0)
        shares = np.zeros(SHADOWS)
        for place in range(SETTINGS):
            gpu[place] = hours.get(place, 100.0)
            shares[place] = late[place][day] if place in late else 0.0
        made = made.opened(day)
        for _ in range(A_DAY):
            made = made.with_minute(
                gpu * 60 / A_DAY,
                shares,
                Minute(
                    load=5.0,
                    paid=10.0,
                    planned=planned * 60 / A_DAY,
                    comparable=True,
                    shadowed=shadowed * 60 / A_DAY,
                    late=measured,
                    modelled=modelled,
                    counted=True,
                ),
            )
    return made.opened(made.days[0] + 1).closed()
