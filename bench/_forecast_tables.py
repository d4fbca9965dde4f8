"""`bench forecast` for people: losses beside the last value's, and the worst misses."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from bench._forecast_judging import LEVELS, Score

FILE_COLUMNS = 140
SHOWN = 0.9
INPUT_LEVELS = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One method at one horizon of one series."""

    trace: str
    series: str
    is_long: bool
    step_seconds: float
    horizon_seconds: float
    method: str
    score: Score
    cpu_seconds_per_refresh: float


def show_summary(judged: Sequence[Judged], methods: Sequence[str]) -> None:
    """Losses relative to the last value's, geometric means, and how the coverage held."""
    anchor = {
        (one.trace, one.series, one.horizon_seconds): one.score
        for one in judged
        if one.method == "last"
    }
    if not anchor:
        return
    table = Table(title="relative to the last value", title_justify="left")
    for field in (
        "method", "series", "rows", ".5", ".9", ".95", ".99", "worst .9", "worst .99",
        ".9 covered", ".99 covered", "ms a refresh",
    ):  # fmt: skip
        table.add_column(field, justify="right")
    for method in methods:
        for label, only_long in (("all", False), ("> 1 h", True)):
            mine = [one for one in judged if one.method == method and one.is_long >= only_long]
            if mine:
                base = [anchor[one.trace, one.series, one.horizon_seconds] for one in mine]
                table.add_row(method, label, *_summary_cells(mine, base))
    _print(table)


def show_traces(judged: Sequence[Judged], methods: Sequence[str]) -> None:
    """Each trace's 0.9 loss relative to the last value's, method beside method."""
    anchor = {
        (one.trace, one.series, one.horizon_seconds): one.score.pinball[SHOWN]
        for one in judged
        if one.method == "last"
    }
    table = Table(
        title=f"{SHOWN:g} loss relative to the last value, by trace", title_justify="left"
    )
    for field in ("trace", "rows", *methods):
        table.add_column(field, justify="right")
    for trace in dict.fromkeys(one.trace for one in judged if anchor):
        means = {}
        for method in methods:
            ratios = [
                one.score.pinball[SHOWN] / base
                for one in judged
                if (one.trace, one.method) == (trace, method)
                if (base := anchor[one.trace, one.series, one.horizon_seconds]) > 0
                and one.score.pinball[SHOWN] > 0
            ]
            means[method] = f"{np.exp(np.log(ratios).mean()):.3f}" if ratios else "-"
        rows = sum((one.trace, one.method) == (trace, methods[0]) for one in judged)
        table.add_row(trace, str(rows), *means.values())
    _print(table)


def show_jumps(judged: Sequence[Judged], count: int) -> None:
    """Where demand came out furthest above the forecast's .99, relative to it."""
    worst = sorted(
        ((jump, one) for one in judged if one.method == "foresail" for jump in one.score.jumps),
        key=lambda pair: -pair[0].outcome / (pair[0].top + 1e-9),
    )
    table = Table(title="worst misses of the .99", title_justify="left")
    for field in (
        "trace", "series", "horizon s", "came at s", "known: last", "known: top of 60 steps",
        "median said", ".99 said", "came",
    ):  # fmt: skip
        table.add_column(field, justify="right")
    for jump, one in worst[:count]:
        numbers = (jump.last, jump.recent_top, jump.median, jump.top, jump.outcome)
        table.add_row(
            one.trace,
            one.series,
            f"{one.horizon_seconds:g}",
            f"{jump.step * one.step_seconds:g}",
            *(f"{number:,.4g}" for number in numbers),
        )
    _print(table)


def _summary_cells(mine: Sequence[Judged], base: Sequence[Score]) -> Iterator[str]:
    yield str(len(mine))
    ratios = np.array(
        [
            [one.score.pinball[p] / anchor.pinball[p] for p in INPUT_LEVELS]
            for one, anchor in zip(mine, base, strict=True)
            if all(one.score.pinball[p] > 0 and anchor.pinball[p] > 0 for p in LEVELS)
        ]
    ).reshape(-1, len(INPUT_LEVELS))
    if len(ratios):
        yield from (f"{mean:.3f}" for mean in np.exp(np.log(ratios).mean(axis=0)))
        yield from (f"{worst:.2f}" for worst in ratios.max(axis=0)[[1, 3]])
    else:
        yield from ("-",) * (len(INPUT_LEVELS) + 2)
    for level, steps in ((0.9, 500), (0.99, 2000)):
        covered = [one.score.coverage[level] for one in mine if one.score.steps >= steps]
        yield f"{min(covered):.3f}-{max(covered):.3f}" if covered else "-"
    yield f"{1e3 * float(np.mean([one.cpu_seconds_per_refresh for one in mine])):.3g}"


def _print(table: Table) -> None:
    # A file has no width of its own, and a cut column is no figure.
    Console(width=None if sys.stdout.isatty() else FILE_COLUMNS).print(table)
