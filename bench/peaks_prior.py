"""`python -m bench peaks_prior`: grow the running maximum's prior again, or without a family.

Every trace becomes the demand of an HPA, and is streamed through the forecaster itself, so that
what the trees learn from is what they will be shown. Besides a mean of 8 replicas there are pools
three times as large, generated shapes, and short cold starts. `--leave-out wc98,nab`
grows one prior that has never seen the traces whose name begins with wc98, and one for nab: that is
how to judge what the prior is worth on traffic of an unknown kind.
"""

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.progress import track

from bench._peaks_demand import SAMPLE_SECONDS, Floats, wanted
from bench._peaks_forest import GROWTH, ReachRows, grow
from bench.forecast import TRACES, read
from replay.generated import SHAPES, generated
from scaler.forecast.maximum.forecaster import DEFAULT_WINDOWS_SECONDS, RunningMaximumForecaster
from scaler.forecast.maximum.thresholds import COUNT
from scaler.forecast.past import DAY_SECONDS
from scaler.forecast.trees import nothing

MEAN = 8.0
LARGE_MEAN = 24.0
OTHER_WEIGHT = 0.35
DAY_STEPS = 720
DAYS_MAX, SEVERAL_DAYS, OTHER_DAYS = 10, 5, 3
"""Of a series; of one of several of a trace; of one of another mean, or generated."""
MANY, COLUMNS_MAX = 4, 5
"""Columns that make a trace one of many series, and how many of them are streamed."""
REQUESTS = "requests"
ROWS_MAX = 16_000
ORIGINS = 1500
THRESHOLDS_DRAWN = 3
COLD_STARTS, COLD_WEIGHT, COLD_STEPS = 40, 0.1, (60, 500)
SEED = 7
WINDOWS = np.round(np.array(DEFAULT_WINDOWS_SECONDS) / SAMPLE_SECONDS).astype(np.intp)
_DRAW = np.array([4.0, 2.5, 2.0, 1.5, 1.2, 1.0, 1.0, 1.0, 0.7])
"""How often a threshold is drawn: one node more or less is decided at the first ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One series of demand to stream, and what it counts."""

    trace: str
    demand: Floats
    weight: float
    first_step: int = 5
    every: int | None = None
    rows_max: int = ROWS_MAX


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    paths = [p for p in options.traces or sorted(TRACES.glob("*.csv")) if _is_trace(p)]
    if not paths:
        sys.exit(f"bench peaks_prior: no traces in {TRACES}; give some with --traces PATH...")
    left_out = options.leave_out.split(",") if options.leave_out else []
    for family in left_out:
        if not any(path.stem.startswith(family) for path in paths):
            sys.exit(f"bench peaks_prior: no trace's name begins with {family!r}")
    lessons = list(_lessons(paths))
    with ProcessPoolExecutor(options.jobs) as pool:
        streamed = pool.map(_rows, lessons, range(len(lessons)))
        rows = list(track(streamed, "streaming", len(lessons), disable=not sys.stderr.isatty()))
    parts = list(zip(lessons, rows, strict=True))
    if not left_out:
        print(_grow_from(parts, options.trees, options.out))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    for family in left_out:
        others = [part for part in parts if not part[0].trace.startswith(family)]
        print(_grow_from(others, options.trees, options.out / f"{family}.npz"), flush=True)


def _grow_from(parts: list[tuple[Lesson, ReachRows]], trees: int, out: Path) -> str:
    weight = np.concatenate([part.weight for _, part in parts])
    together = ReachRows(
        features=np.concatenate([part.features for _, part in parts]),
        logit=np.concatenate([part.logit for _, part in parts]),
        reached=np.concatenate([part.reached for _, part in parts]),
        weight=weight * len(weight) / weight.sum(),
    )
    forest = grow(together, replace(GROWTH, trees=trees))
    np.savez_compressed(
        out,
        feature=forest.feature,
        threshold=forest.threshold,
        leaf=forest.leaf.astype(np.float16),
    )
    return f"{trees} trees from {len(weight)} rows of {len(parts)} series: {out}"


def _is_trace(path: Path) -> bool:
    return not path.stem.startswith("raw_")


def _lessons(paths: list[Path]) -> Iterator[Lesson]:
    random = np.random.default_rng(SEED)
    found = [lesson for path in paths for lesson in _of_trace(path)]
    found += [
        Lesson(trace=f"generated {shape}", weight=OTHER_WEIGHT, demand=wanted(
            generated(seed=SEED, days=OTHER_DAYS, shape=shape).requests_per_second,
            step_seconds=10.0, mean=MEAN))
        for shape in SHAPES
    ]  # fmt: skip
    yield from found
    for number in range(COLD_STARTS):
        whole = found[number % len(found)]
        length = int(random.integers(*COLD_STEPS))
        first = int(random.integers(0, max(1, len(whole.demand) - length)))
        yield replace(
            whole,
            demand=whole.demand[first : first + length],
            weight=COLD_WEIGHT,
            first_step=1,
            every=2,
            rows_max=ROWS_MAX // 10,
        )


def _of_trace(path: Path) -> Iterator[Lesson]:
    columns = [series for series in read(path, None) if np.nansum(series.values) > 0]
    columns.sort(key=lambda series: -float(np.nansum(series.values)))
    many = len(columns) > MANY
    days = SEVERAL_DAYS if len(columns) > 1 else DAYS_MAX
    weight = 2.0 / min(len(columns), COLUMNS_MAX) if many else 1.0 / len(columns)
    for series in columns[:COLUMNS_MAX] if many else columns:
        if series.step_seconds * len(series.values) < SAMPLE_SECONDS * 2 * int(WINDOWS[-1]):
            continue
        demand = wanted(series.values, step_seconds=series.step_seconds, mean=MEAN)
        # A client's rate is traffic of its model's family.
        trace = f"servegen_{series.name}" if "clients" in path.stem else path.stem
        yield Lesson(trace=trace, demand=demand[: days * DAY_STEPS], weight=weight)
        if series.name == REQUESTS:
            part = series.values[: round(OTHER_DAYS * DAY_SECONDS / series.step_seconds)]
            demand = wanted(part, step_seconds=series.step_seconds, mean=LARGE_MEAN)
            yield Lesson(trace=trace, demand=demand, weight=OTHER_WEIGHT * weight)


def _rows(lesson: Lesson, seed: int) -> ReachRows:
    """Stream a series and pair what was known at each step with what came."""
    random = np.random.default_rng((SEED, seed))
    forecaster = RunningMaximumForecaster(trees=nothing(levels=1))
    demand, count = lesson.demand, len(lesson.demand)
    every = lesson.every or max(1, count // ORIGINS)
    features, logits, reached = [], [], []
    for step, value in enumerate(demand.tolist()):
        forecaster.update(step * SAMPLE_SECONDS, value)
        if step < lesson.first_step or step % every:
            continue
        inputs, logit, thresholds = forecaster.prior_inputs()
        for number, window in enumerate(WINDOWS.tolist()):
            if step + window >= count:
                continue
            drawn = random.choice(COUNT, THRESHOLDS_DRAWN, replace=False, p=_DRAW / _DRAW.sum())
            top = demand[step : step + window + 1].max()
            features.append(inputs[number * COUNT + drawn].astype(np.float32))
            logits.append(logit[number * COUNT + drawn])
            reached.append(top >= value + thresholds[drawn])
    rows = np.concatenate(features), np.concatenate(logits), np.concatenate(reached)
    some = np.arange(len(rows[0]))
    if len(some) > lesson.rows_max:
        some = random.choice(some, lesson.rows_max, replace=False)
    return ReachRows(
        features=rows[0][some],
        logit=rows[1][some].astype(np.float32),
        reached=rows[2][some].astype(np.float32),
        weight=np.full(len(some), lesson.weight / len(some)),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench peaks_prior", description=__doc__)
    parser.add_argument("--traces", nargs="+", type=Path, metavar="PATH")
    parser.add_argument("--leave-out", metavar="FAMILY,...",
                        help="beginnings of trace names: a prior without each")  # fmt: skip
    parser.add_argument("--jobs", type=int, metavar="N", help="processes; default one per CPU")
    parser.add_argument("--trees", type=int, default=GROWTH.trees)
    parser.add_argument("--out", type=Path, default=Path("prior.npz"),
                        help="a file; a folder with --leave-out")  # fmt: skip
    return parser
