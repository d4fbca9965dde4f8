"""What to take away from a replay, in sentences, over every rule that its table shows."""

from collections.abc import Iterable, Iterator

from foresail.replaying.report import FORESAIL, Report, percent
from replay.frontier import Point, at_attainment
from replay.peers import static
from replay.simulate import Result


def verdict(report: Report) -> Iterator[str]:
    """Sentences that name cost together with attainment; none where the run is not valid."""
    if not report.is_valid:
        return
    ours = report.usual[FORESAIL]
    others = [result for name, result in report.usual.items() if name != FORESAIL]
    as_good = [result for result in others if _shown(result) >= _shown(ours)]
    yield _own(report, ours)
    if as_good:
        yield _as_good(as_good, ours, len(others))
    elif others:
        yield _nearest(others, ours)
    kept = [r for r in others if r not in as_good and r.attainment >= report.attainment]
    if cheaper := [result for result in kept if result.gpu_hours < ours.gpu_hours]:
        yield (
            f"Less often in time, but still the {percent(report.attainment)} asked, and cheaper:"
            f" {_beside(_cheapest(cheaper), ours)}."
        )
    if report.sweeps:
        yield _in_hindsight(report)


def _own(report: Report, ours: Result) -> str:
    ratio = report.ratio(ours)
    beside = f", {ratio:.2f} times the cheapest schedule found for that share" if ratio else ""
    missed = (
        f", where {percent(report.attainment)} in time was asked"
        if ours.attainment < report.attainment
        else ""
    )
    return f"Foresail as it ships: {_told(ours)}{beside}{missed}."


def _as_good(as_good: list[Result], ours: Result, count: int) -> str:
    first = _cheapest(as_good)
    said = (
        f"{len(as_good)} of {count} other rules shown {'was' if len(as_good) == 1 else 'were'}"
        f" in time at least as often{',' if len(as_good) == 1 else ', the cheapest of them'}"
        f" {_beside(first, ours)}"
    )
    acting = [result for result in as_good if not _knows_all(result)]
    if _knows_all(first) and acting:
        return f"{said}, and of those that act as they go {_beside(_cheapest(acting), ours)}."
    return f"{said}."


def _nearest(others: list[Result], ours: Result) -> str:
    nearest = max(others, key=lambda result: (_shown(result), -result.gpu_hours))
    if len(others) == 1:
        return f"The other rule shown was not in time as often: {_beside(nearest, ours)}."
    return (
        f"None of {len(others)} other rules shown was in time as often; the nearest was"
        f" {_beside(nearest, ours)}."
    )


def _in_hindsight(report: Report) -> str:
    at = {
        name: point
        for name, results in report.sweeps.items()
        if (point := at_attainment(results, report.attainment))
    }
    ours = at.pop(FORESAIL, None)
    own = f"Foresail took {_at(ours)}" if ours else "no setting of Foresail got there"
    rest = "no setting of another rule got there"
    if at:
        first = min(at, key=lambda name: at[name].gpu_hours)
        rest = f"the cheapest other rule, {first}, {_at(at[first])}"
    return (
        f"With each rule's setting chosen in hindsight for {percent(report.attainment)} in time"
        f" {own}; {rest}."
    )


def _cheapest(results: Iterable[Result]) -> Result:
    return min(results, key=lambda result: result.gpu_hours)


def _shown(result: Result) -> float:
    """Per cent as the table rounds it: a difference that cannot be seen there is none."""
    return float(f"{result.attainment:.2%}".rstrip("%"))


def _knows_all(result: Result) -> bool:
    """Sized by somebody who had seen the whole trace."""
    return result.policy in static.NAMES


def _told(result: Result) -> str:
    return f"{result.attainment:.2%} in time for {result.gpu_hours:,.1f} GPU-hours"


def _at(point: Point) -> str:
    return f"{point.gpu_hours:,.1f} GPU-hours ({point.attainment:.2%})"


def _beside(result: Result, ours: Result) -> str:
    """A rule with its share in time, its cost, and how that compares with ours."""
    more = result.gpu_hours / ours.gpu_hours - 1 if ours.gpu_hours else 0.0
    compared = (
        "as much as Foresail"
        if abs(more) < 0.005  # noqa: PLR2004 - rounds to no per cent
        else f"{abs(more):.0%} {'more' if more > 0 else 'less'} than Foresail"
    )
    known = ", sized with the traffic known" if _knows_all(result) else ""
    return f"{result.policy} ({_told(result)}, {compared}{known})"
