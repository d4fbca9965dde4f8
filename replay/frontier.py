"""Cost at equal attainment, and a knob that is picked anew each night."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from replay.policies.behaviors import OWN
from replay.simulate import Day, Result

NIGHTS_BEFORE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A place on a rule's frontier."""

    knob: float
    behavior: str = OWN
    gpu_hours: float
    attainment: float


def at_attainment(results: Sequence[Result], attainment: float) -> Point | None:
    """Where a rule's frontier reaches `attainment`; None where no setting does.

    Settings of one HPA behavior are joined by straight lines in the order of their knobs: a curve
    through them would promise what no setting has shown.
    """
    by_behavior: dict[str, list[Point]] = defaultdict(list)
    for result in sorted(results, key=lambda result: result.knob):
        by_behavior[result.behavior].append(_point(result))
    reached = [point for points in by_behavior.values() for point in _reached(points, attainment)]
    return min(reached, key=lambda point: point.gpu_hours, default=None)


def _reached(points: Sequence[Point], attainment: float) -> list[Point]:
    """Where a line of settings reaches `attainment`: at them, and between them."""
    reached = [point for point in points if point.attainment >= attainment]
    for one, other in pairwise(points):
        low, high = sorted((one, other), key=lambda point: point.attainment)
        if low.attainment < attainment <= high.attainment:
            share = (attainment - low.attainment) / (high.attainment - low.attainment)
            reached.append(
                Point(
                    knob=low.knob + share * (high.knob - low.knob),
                    behavior=low.behavior,
                    gpu_hours=low.gpu_hours + share * (high.gpu_hours - low.gpu_hours),
                    attainment=attainment,
                )
            )
    return reached


def cheapest_known(
    oracle: Sequence[Result], rules: Sequence[Result], attainment: float
) -> Point | None:
    """The cheapest way known to be in time so often, or else the one that comes nearest.

    A rule's own run is a schedule too, so no rule is ever better than this.
    """
    ways = [_point(rule) for rule in rules if rule.attainment >= attainment]
    if best := at_attainment(oracle, attainment):
        ways.append(best)
    if ways:
        return min(ways, key=lambda way: (way.gpu_hours, -way.attainment))
    ways = [_point(result) for result in (*oracle, *rules)]
    return max(ways, key=lambda way: (way.attainment, -way.gpu_hours), default=None)


def cheapest(results: Sequence[Result], attainment: float) -> Result:
    """The setting that reaches `attainment` for the least, or else the one that comes nearest."""
    reached = [result for result in results if result.attainment >= attainment]
    if reached:
        return min(reached, key=lambda result: result.gpu_hours)
    return max(results, key=lambda result: result.attainment)


def without_first_day(result: Result) -> Result:
    """The same run judged from its second day on, as `picked_nightly` judges."""
    days = result.days[1:]
    return replace(
        result,
        days=days,
        attainment=_share(days),
        gpu_hours=sum(day.gpu_seconds for day in days) / 3600,
    )


def picked_nightly(results: Sequence[Result], attainment: float) -> Point | None:
    """Each day under the setting that was cheapest over the days before it.

    Every night the runs of all settings over the last `NIGHTS_BEFORE` days are compared; the day
    then counts as it went under the setting picked, without the change-over at midnight. Judged
    from the second day on; None where there is no such day.
    """
    count = len(results[0].days)
    chosen = [
        _cheapest_of(results, range(max(0, day - NIGHTS_BEFORE), day), attainment).days[day]
        for day in range(1, count)
    ]
    if not chosen:
        return None
    return Point(
        knob=float("nan"),
        behavior="any",
        gpu_hours=sum(day.gpu_seconds for day in chosen) / 3600,
        attainment=_share(chosen),
    )


def _cheapest_of(results: Sequence[Result], days: range, attainment: float) -> Result:
    def known(result: Result) -> list[Day]:
        return [result.days[day] for day in days]

    reached = [result for result in results if _share(known(result)) >= attainment]
    if reached:
        return min(reached, key=lambda result: sum(day.gpu_seconds for day in known(result)))
    return max(results, key=lambda result: _share(known(result)))


def _share(days: Sequence[Day]) -> float:
    requests = sum(day.requests for day in days)
    return sum(day.in_time for day in days) / requests if requests else 1.0


def _point(result: Result) -> Point:
    return Point(
        knob=result.knob,
        behavior=result.behavior,
        gpu_hours=result.gpu_hours,
        attainment=result.attainment,
    )
