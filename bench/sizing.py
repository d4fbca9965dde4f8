"""`python -m bench sizing`: what one pair of servers takes for each workload, and for thousands.

Each part is measured at two sizes, in a process of its own, so that it shows whether it grows in
proportion. `each` is what one more workload (or node) takes, from the difference of both sizes;
`fixed` is what is left at none. The second table is `fixed + each × number`. Seconds are of one
processor core; on a busy machine they are up to three times those of a quiet one.
"""

import argparse
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import structlog

from bench._report import Row, show
from bench._sizing_parts import (
    Figures,
    console,
    controller,
    forecasts,
    kept_decisions,
    page,
    planned,
    reads,
)
from bench._sizing_serve import served


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Something whose cost is measured at two sizes, and computed for others."""

    name: str
    measure: Callable[[int], Figures]
    sizes: tuple[int, int]
    others: tuple[int, ...] = (300, 2_000, 10_000)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench sizing", description=__doc__)
    names = [one.name for one in parts(quick=False)]
    parser.add_argument("--only", choices=names, action="append", help="parts to measure")
    parser.add_argument(
        "--sizes",
        type=int,
        nargs=2,
        metavar=("SMALL", "LARGE"),
        help="the two sizes, with one --only",
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes and shorter pasts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the rows as JSON")
    options = parser.parse_args(arguments)
    try:
        asked = asked_parts(options.only, options.sizes, quick=options.quick)
    except ValueError as error:
        parser.error(str(error))
    rows: list[Row] = []
    computed: list[Row] = []
    for part in asked:
        small, large = (_apart(part.measure, size) for size in part.sizes)
        for figure in small:
            line = Line.through(part.sizes, (small[figure], large[figure]))
            rows.append(_row(part, figure, line))
            computed.append(_computed(part, figure, line))
    show("sizing", vars(options), rows, options.json, further={"one pair": computed})


def asked_parts(
    only: Sequence[str] | None, sizes: tuple[int, int] | None, *, quick: bool
) -> Sequence[Part]:
    """Those of these names, or all; one at sizes of its own.

    Raises:
        ValueError: the sizes are for one part, the smaller one first.
    """
    asked = [one for one in parts(quick=quick) if only is None or one.name in only]
    if sizes is None:
        return asked
    small, large = sizes
    if len(asked) != 1 or not 0 < small < large:
        raise ValueError("--sizes takes one --only, and a size above 0 and a larger one")
    return [replace(asked[0], sizes=(small, large))]


def parts(*, quick: bool) -> Sequence[Part]:
    """All parts."""
    hours, days, seconds, minutes = (0.3, 0.1, 30.0, 5) if quick else (2.0, 3.0, 60.0, 20)
    scale = 1 if quick else 4
    return (
        Part(name="serve", measure=partial(served, seconds=seconds), sizes=_of(50, 150, scale)),
        Part(name="reads", measure=reads, sizes=_of(50, 150, scale)),
        Part(name="plan", measure=partial(planned, hours=hours), sizes=_of(25, 75, scale)),
        Part(name="page", measure=partial(page, hours=hours), sizes=_of(250, 500, scale)),
        Part(name="forecasts", measure=partial(forecasts, days=days), sizes=_of(100, 400, scale)),
        Part(
            name="decisions",
            measure=partial(kept_decisions, minutes=minutes),
            sizes=_of(250, 750, scale),
        ),
        Part(name="console", measure=partial(console, hours=0.2), sizes=_of(250, 750, scale)),
        Part(
            name="controller",
            measure=controller,
            sizes=_of(250, 1250, scale),
            others=(1000, 5000, 10_000),
        ),
    )


def _of(small: int, large: int, scale: int) -> tuple[int, int]:
    return small * scale, large * scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A straight line through two measurements."""

    sizes: tuple[int, int]
    values: tuple[float, float]
    each: float
    fixed: float

    @classmethod
    def through(cls, sizes: tuple[int, int], values: tuple[float, float]) -> "Line":
        each = (values[1] - values[0]) / (sizes[1] - sizes[0])
        return cls(sizes=sizes, values=values, each=each, fixed=values[0] - each * sizes[0])

    def at(self, size: int) -> float:
        return self.fixed + self.each * size


def _row(part: Part, figure: str, line: Line) -> Row:
    (small, large), (at_small, at_large) = line.sizes, line.values
    return {
        "part": part.name,
        "figure": figure,
        "sizes": f"{small:,} and {large:,}",
        "small_over_its_size": at_small / small,
        "large_over_its_size": at_large / large,
        "each": line.each,
        "fixed": line.fixed,
    }


def _computed(part: Part, figure: str, line: Line) -> Row:
    return {"figure": figure} | {
        f"{place}": f"{size:,}: {line.at(size):,.4g}"
        for place, size in zip(("few", "many", "most"), part.others, strict=True)
    }


def _apart(measure: Callable[[int], Figures], size: int) -> Figures:
    """Measure in a new process: memory that an earlier measurement freed is not taken again."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_quietly, measure, size).result()


def _quietly(measure: Callable[[int], Figures], size: int) -> Figures:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    return measure(size)
