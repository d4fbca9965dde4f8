"""`python -m bench peaks`: the forecast of the running maximum beside a rolling empirical one.

Each trace becomes the demand of an HPA that wants 8 replicas on average, and is streamed through
the forecaster; the first day is a past and is not judged. The baseline is the present plus the
empirical excess of the last two days. The shipped prior has seen the traces that are the default
here: `--priors` judges each with a prior that has not seen its family, which is the figure to
quote. `--shared N` forecasts the sum of N traces that share a pool, from the sum and from its
parts.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.progress import Progress

from bench._peaks_demand import SAMPLE_SECONDS, Floats, wanted
from bench._peaks_judging import MORE_GPUS, Said, rolling_excess, said, score
from bench._report import Row, show
from bench.forecast import TRACES, read
from scaler.forecast.maximum.forecaster import (
    DEFAULT_LEVELS,
    DEFAULT_WINDOWS_SECONDS,
    RunningMaximumForecaster,
)
from scaler.forecast.maximum.sums import sum_of
from scaler.forecast.running_maximum import MaximumForecast
from scaler.forecast.trees import Trees
from scaler.forecast.trees import read as read_trees

MEAN = 8.0
DAY_STEPS = 720
BASELINE_STEPS = 2 * DAY_STEPS
LEVELS = np.array(DEFAULT_LEVELS)
WINDOWS = np.round(np.array(DEFAULT_WINDOWS_SECONDS) / SAMPLE_SECONDS).astype(np.intp)
LOADS = ("inflight", "requests")


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    demands = {
        path.stem: demand
        for path in options.traces or sorted(TRACES.glob("*.csv"))
        if (demand := _demand(path, options.days)) is not None
    }
    if not demands:
        print(f"bench peaks: skipped, no trace of half a day in {TRACES}; give some with --traces")
        return
    rows: list[Row] = []
    with Progress(transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("forecasting", total=len(demands))
        for trace, demand in demands.items():
            rows += _judge(trace, demand, _prior(trace, options.priors))
            bar.advance(task)
    if options.shared:
        rows += _judge_shared(demands, options.shared, options.priors)
    show("peaks", vars(options), rows, options.json)
    show("peaks, means over the traces", {}, _summary(rows), None)


def _demand(path: Path, days: float | None) -> Floats | None:
    """The demand of a trace; None = it has no load, or not half a day of it."""
    columns = {series.name: series for series in read(path, LOADS) if series.name in LOADS}
    series = next((columns[name] for name in LOADS if name in columns), None)
    if series is None:
        return None
    demand = wanted(series.values, step_seconds=series.step_seconds, mean=MEAN)
    kept = demand if days is None else demand[-round(days * DAY_STEPS) :]
    return kept if len(kept) >= DAY_STEPS // 2 else None


def _first(demand: Floats) -> int:
    """The first judged step."""
    return min(DAY_STEPS, len(demand) // 4)


def _forecasts(demand: Floats, trees: Trees | None) -> tuple[list[MaximumForecast], float]:
    """One per step, and the CPU seconds of each."""
    forecaster = RunningMaximumForecaster(trees=trees)
    found = []
    before = time.process_time()
    for step, value in enumerate(demand.tolist()):
        forecaster.update(step * SAMPLE_SECONDS, value)
        forecast = forecaster.forecast()
        assert forecast is not None
        found.append(forecast)
    return found, (time.process_time() - before) / len(demand)


def _judge(trace: str, demand: Floats, trees: Trees | None) -> list[Row]:
    first = _first(demand)
    forecasts, seconds = _forecasts(demand, trees)
    baseline = rolling_excess(
        demand, windows=WINDOWS, levels=LEVELS, steps=BASELINE_STEPS, first=first
    )
    return _rows(trace, demand, said(forecasts[first:]), baseline, seconds)


def _judge_shared(demands: dict[str, Floats], count: int, priors: Path | None) -> list[Row]:
    """The sum of the first traces, forecast as one and from forecasts of its parts.

    The baseline of these rows is the forecast from the sum.
    """
    some = list(demands)[:count]
    steps = min(len(demands[trace]) for trace in some)
    total = np.sum([demands[trace][:steps] for trace in some], axis=0)
    first = _first(total)
    parts = [_forecasts(demands[trace][:steps], _prior(trace, priors))[0] for trace in some]
    from_parts = [sum_of(at) for at in zip(*(part[first:] for part in parts), strict=True)]
    whole, seconds = _forecasts(total, _prior(some[0], priors))
    return _rows(
        f"sum of {count}, from parts", total, said(from_parts), said(whole[first:]), seconds
    )


def _rows(trace: str, demand: Floats, ours: Said, baseline: Said, seconds: float) -> list[Row]:
    rows: list[Row] = []
    for column, window in enumerate(WINDOWS.tolist()):
        if len(demand) - len(ours.quantiles) >= len(demand) - window:
            continue
        mine, base = (
            score(one, demand, column=column, window=window, levels=LEVELS)
            for one in (ours, baseline)
        )
        ratio = mine.pinball / np.maximum(base.pinball, 1e-12)
        rows.append(
            {
                "trace": trace,
                "minutes": round(window * SAMPLE_SECONDS / 60),
                **{f"loss_{level:g}": float(r) for level, r in zip(LEVELS, ratio, strict=True)},
                "log_loss": mine.log_loss / base.log_loss if base.log_loss else None,
                **{f"covered_{level:g}": float(mine.covered[level == LEVELS][0])
                   for level in (0.5, 0.9, 0.99)},
                **{f"says_+{more}": float(mine.expected[i]) for i, more in enumerate(MORE_GPUS)},
                **{f"came_+{more}": float(mine.reached[i]) for i, more in enumerate(MORE_GPUS)},
                "ms": 1e3 * seconds,
            }
        )  # fmt: skip
    return rows


def _summary(rows: Sequence[Row]) -> list[Row]:
    """Geometric means of ratios to the baseline, and the worst trace, by window."""
    found: list[Row] = []
    alone = [row for row in rows if not str(row["trace"]).startswith("sum of")]
    fields = [*(f"loss_{level:g}" for level in LEVELS), "log_loss"]
    for minutes in dict.fromkeys(row["minutes"] for row in alone):
        mine = [row for row in alone if row["minutes"] == minutes]
        mean: dict[str, float | str | int | None] = {"minutes": minutes, "traces": len(mine)}
        for field in fields:
            ratios = np.array([row[field] for row in mine if row[field] is not None], float)
            mean[field] = float(np.exp(np.log(np.maximum(ratios, 1e-3)).mean()))
            if field == "log_loss":
                mean["worst_log_loss"] = float(ratios.max())
        found.append(mean)
    return found


def _prior(trace: str, folder: Path | None) -> Trees | None:
    if folder is None:
        return None
    families = [path for path in folder.glob("*.npz") if trace.startswith(path.stem)]
    if not families:
        sys.exit(f"bench peaks: no prior in {folder} leaves out {trace}")
    return read_trees(max(families, key=lambda path: len(path.stem)).read_bytes())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench peaks", description=__doc__)
    parser.add_argument("--traces", nargs="+", type=Path, metavar="PATH")
    parser.add_argument("--days", type=float, help="only the last days of each trace")
    parser.add_argument("--priors", type=Path, metavar="FOLDER",
                        help="FAMILY.npz grown by `peaks_prior --leave-out FAMILY`, each used "
                        "for the traces whose names begin so")  # fmt: skip
    parser.add_argument("--shared", type=int, metavar="N",
                        help="also the sum of the first N traces on one pool")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser
