"""`python -m bench forecast_prior`: grow the shipped prior again, or one without a family.

Every trace is streamed through the forecaster itself, so what the trees learn from is exactly what
they will be shown. Besides the traces as they are, each gives coarser versions of itself and short
cold starts, because most workloads are young. A family is weighed by its number of series, not by
its length. `--leave-out wc98,nab` grows one prior that has never seen the traces whose name begins
with wc98, and one for nab, from one streaming: that is how to judge what the prior is worth on
traffic of an unknown kind.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import track

from bench._forecast_forest import Growth, Rows, grow
from bench.forecast import TRACES, Series, read
from scaler.forecast.ensemble import Ensemble
from scaler.forecast.experts.port import Task
from scaler.forecast.features import Features
from scaler.forecast.levels import LEVELS
from scaler.forecast.past import Past
from scaler.forecast.trees import nothing

Floats = npt.NDArray[np.float64]
HORIZONS = {
    10: (30.0, 60.0, 120.0, 300.0, 600.0),
    60: (60.0, 180.0, 300.0, 600.0, 900.0, 1800.0),
    300: (300.0, 900.0, 1800.0),
    600: (600.0, 1800.0),
}
SEED = 7
OUTCOME_MAX = 40.0
LONG_STEPS = 5000
ROWS_MAX = 26_000
LAST_COLUMN = 13
MINUTE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One series to stream, and what it counts."""

    series: Series
    family: str
    weight: float
    rows_max: int


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    paths = options.traces or sorted(TRACES.glob("*.csv"))
    series = [
        replace(s, values=s.values[: options.steps_max]) for path in paths for s in read(path, None)
    ]
    if not series:
        sys.exit(f"bench forecast_prior: no traces in {TRACES}; give some with --traces PATH...")
    left_out = options.leave_out.split(",") if options.leave_out else []
    for family in left_out:
        if not any(_is_of(s, family) for s in series):
            sys.exit(f"bench forecast_prior: no trace's name begins with {family!r}")
    random = np.random.default_rng(SEED)
    lessons = [lesson for s in series for lesson in _lessons(s, random)]
    share = Counter(_kind(lesson) for lesson in lessons)
    weights = [lesson.weight / np.sqrt(share[_kind(lesson)]) for lesson in lessons]
    with ProcessPoolExecutor(options.jobs) as pool:
        streamed = pool.map(_rows, lessons, weights, range(SEED, SEED + len(lessons)))
        rows = list(track(streamed, "streaming", len(lessons), disable=not sys.stderr.isatty()))
        parts = [(lesson.series, part) for lesson, part in zip(lessons, rows, strict=True)]
        if not left_out:
            print(_grow_from(parts, options.trees, options.out))
            return
        options.out.mkdir(parents=True, exist_ok=True)
        growing = []
        for family in left_out:
            others = [part for part in parts if not _is_of(part[0], family)]
            out = options.out / f"{family}.npz"
            growing.append(pool.submit(_grow_from, others, options.trees, out))
        for grown in as_completed(growing):
            print(grown.result(), flush=True)


def _grow_from(parts: list[tuple[Series, Rows | None]], trees: int, out: Path) -> str:
    rows = _together([part for _, part in parts if part is not None])
    forest = grow(rows, LEVELS, Growth(trees=trees))
    np.savez_compressed(
        out,
        feature=forest.feature,
        threshold=forest.threshold,
        leaf=forest.leaf.astype(np.float16),
    )
    return f"{trees} trees from {len(rows.outcome)} rows of {len(parts)} series: {out}"


def _is_of(series: Series, family: str) -> bool:
    return series.trace.startswith(family) or (
        "clients" in series.trace and series.name.startswith(family.removeprefix("servegen_"))
    )


def _kind(lesson: Lesson) -> tuple[str, float]:
    return lesson.family, lesson.weight


def _lessons(series: Series, random: np.random.Generator) -> Iterator[Lesson]:
    # "nab_mentions_10x_5m" and "wc98_a_1m" are of the families "nab" and "wc98".
    family = re.split(r"[_\d]", series.trace)[0] + series.trace.split("_")[1][:3]
    if "clients" in series.trace:
        yield Lesson(series=series, family=family, weight=0.7, rows_max=3000)
        return
    yield Lesson(series=series, family=family, weight=1.0, rows_max=ROWS_MAX)
    count = len(series.values)
    if series.step_seconds == MINUTE_SECONDS and count > LONG_STEPS:
        for factor in (5, 10):
            whole = series.values[: count // factor * factor].reshape(-1, factor)
            measured = (~np.isnan(whole)).sum(axis=1)
            mean = np.where(
                measured > 0, np.nansum(whole, axis=1) / np.maximum(measured, 1), np.nan
            )
            coarse = replace(series, values=mean, step_seconds=MINUTE_SECONDS * factor)
            yield Lesson(series=coarse, family=family, weight=0.4, rows_max=ROWS_MAX // 2)
    starts = 1 if count < LONG_STEPS else 8 if series.step_seconds == MINUTE_SECONDS else 2
    for number in range(starts):
        length = int(random.integers(300, 900))
        first = int(random.integers(0, max(1, count - length)))
        step = 10.0 if number % 2 == 0 else series.step_seconds
        piece = replace(series, values=series.values[first : first + length], step_seconds=step)
        yield Lesson(series=piece, family=family, weight=0.5, rows_max=ROWS_MAX)


def _rows(lesson: Lesson, weight: float, seed: int) -> Rows | None:
    """Stream a series and pair what was known at each step with what came."""
    random = np.random.default_rng(seed)
    series = lesson.series
    step = series.step_seconds
    ahead = np.array(HORIZONS[round(step)]) / step
    task = Task(step_seconds=step, horizons_steps=np.round(ahead).astype(np.intp))
    past = Past(step_seconds=step, start=None, tz=None)
    ensemble, features = Ensemble(task, past, nothing()), Features(task)
    every = max(1, len(series.values) * len(ahead) // (2 * lesson.rows_max))
    shown, origins = [], []
    for i, value in enumerate(series.values):
        ensemble.step(float(value))
        if past.measured >= 5 and i % every == 0:  # noqa: PLR2004 - before that nothing is known
            assert ensemble.situation is not None
            now = ensemble.situation
            shown.append((features.of(now), now.mixture, now.centre, now.scale))
            origins.append(i)
    if len(origins) < 50:  # noqa: PLR2004 - too little to weigh
        return None
    inputs, mixture, centre, scale = (np.array(part) for part in zip(*shown, strict=True))
    at = np.array(origins)[:, None] + task.horizons_steps
    outcome = np.where(
        at < len(series.values), series.values[np.minimum(at, len(series.values) - 1)], np.nan
    )
    last = centre + inputs[:, :, LAST_COLUMN] * scale
    usual = np.nanmean(np.abs(outcome - last), axis=0) + 1e-12
    # A step counts by its share of the series' whole loss, as it will in the judgement.
    importance = np.minimum(scale / usual, 20.0)
    row, column = np.nonzero(np.isfinite(outcome) & (importance > 0))
    if len(row) > lesson.rows_max:
        some = random.choice(len(row), lesson.rows_max, replace=False)
        row, column = row[some], column[some]
    centre, scale = centre[row, column], scale[row, column]
    total = importance[row, column].sum()
    return Rows(
        features=inputs[row, column].astype(np.float32),
        start=((mixture[row, column] - centre[:, None]) / scale[:, None]).astype(np.float32),
        outcome=np.clip((outcome[row, column] - centre) / scale, -OUTCOME_MAX, OUTCOME_MAX).astype(
            np.float32
        ),
        weight=importance[row, column] / total * weight,
    )


def _together(parts: list[Rows]) -> Rows:
    weight = np.concatenate([part.weight for part in parts])
    return Rows(
        features=np.concatenate([part.features for part in parts]),
        start=np.concatenate([part.start for part in parts]),
        outcome=np.concatenate([part.outcome for part in parts]),
        weight=weight * len(weight) / weight.sum(),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench forecast_prior", description=__doc__)
    parser.add_argument(
        "--traces", nargs="+", type=Path, metavar="PATH", help="CSVs of series to grow it from"
    )
    parser.add_argument("--leave-out", metavar="FAMILY,...",
                        help="beginnings of trace names: a prior without each")  # fmt: skip
    parser.add_argument("--steps-max", type=int, metavar="N",
                        help="only the first N steps of each series: done sooner")  # fmt: skip
    parser.add_argument("--jobs", type=int, metavar="N", help="processes; default one per CPU")
    parser.add_argument("--trees", type=int, default=Growth().trees, help="of each forest")
    parser.add_argument("--out", type=Path, default=Path("prior.npz"),
                        help="a file; a folder with --leave-out")  # fmt: skip
    return parser
