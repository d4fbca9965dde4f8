"""`python -m bench forecast`: pinball losses of the forecast beside methods everybody knows.

Rolling origin and strictly causal: the forecast is fed one value at a time, as the streaming
adapter does; every other method gets the same rolling conformal quantiles from its own past
errors. The shipped prior was grown on the public traces that are the default here: `--priors`
judges each trace with a prior that has not seen its family, which is the figure to quote.
Losses are in the series' own unit; the table for people divides them by the last value's.
Methods that statsforecast refits at each origin are asked at some origins only, and all methods
are then judged at those origins alone, so that every row of a run is about the same moments.
"""

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from rich.progress import Progress

from bench._forecast_anchors import CHEAP, DEAR, refitted
from bench._forecast_judging import LEVELS, Floats, dressed, score
from bench._forecast_tables import Judged, show_jumps, show_summary, show_traces
from bench._report import Row, show
from scaler.forecast.forecaster import Forecaster
from scaler.forecast.trees import Trees, shipped
from scaler.forecast.trees import read as read_trees

TRACES = Path(__file__).parents[2] / "shared" / "data" / "traces"
DEFAULT_HORIZONS = {10: (30, 60, 120, 300, 600), 60: (60, 180, 300, 600, 900, 1800)}
QUICK_STEPS = 2500
LONG_SECONDS = 3700.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    trace: str
    name: str
    step_seconds: float
    values: Floats
    leading: Floats | None = None
    """A signal of the same trace that runs ahead, given to the forecast along with the values."""

    def is_long(self) -> bool:
        """More than an hour, the facts' boundary between noise and a history."""
        return len(self.values) * self.step_seconds > LONG_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One method's quantiles at its origins: shape (origins, horizons, levels)."""

    origins: npt.NDArray[np.intp]
    quantiles: Floats
    cpu_seconds_per_refresh: float


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    methods = options.methods.split(",")
    _refuse_unknown(methods)
    paths = options.traces or sorted(TRACES.glob("*.csv"))
    if not paths:
        print(f"bench forecast: skipped, no traces in {TRACES}; give some with --traces PATH...")
        return
    columns = options.columns.split(",") if options.columns else None
    leading_columns = dict(pair.split("=") for pair in options.leading.split(",") if pair)
    work = [
        series
        for path in paths
        for series in read(path, columns, leading_columns)
        if not series.trace.startswith("raw_")
    ]
    if options.quick:
        work = [_shortened(s) for s in work[:: max(1, len(work) // 8)]]
    judged: list[Judged] = []
    with Progress(transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("forecasting", total=len(work) * len(methods))
        for series in work:
            horizons = _horizons(options.horizons, series.step_seconds)
            judged += _judge(series, horizons, methods, options, lambda: bar.advance(task))
    show("forecast", vars(options), [_row(entry) for entry in judged], options.json)
    show_summary(judged, methods)
    show_traces(judged, methods)
    if options.jumps:
        show_jumps(judged, options.jumps)


def read(
    path: Path,
    columns: Sequence[str] | None,
    leading_columns: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Series]:
    """The numeric columns of a trace; an empty cell is a step that was not measured.

    Args:
        leaders: which column runs ahead of another.
    """
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.reader(file)
        header = next(table)
        if header[0] != "t_s":
            return
        rows = [[float(cell) if cell else np.nan for cell in row] for row in table]
    data = np.array(rows)
    for at, name in enumerate(header[1:], start=1):
        if columns is None or name in columns:
            yield Series(
                trace=path.stem,
                name=name,
                step_seconds=float(data[1, 0] - data[0, 0]),
                values=data[:, at],
                leading=data[:, header.index(leading_columns[name])]
                if name in leading_columns
                else None,
            )


def foresail(
    series: Series,
    horizons: Sequence[float],
    *,
    start: datetime | None,
    tz: str | None,
    prior: Trees,
) -> Said:
    """What `scaler.forecast.streaming:factory` says, with a prior of the caller's choice."""
    forecaster = Forecaster(
        signal=series.name,
        step_seconds=series.step_seconds,
        horizons_seconds=horizons,
        levels=LEVELS,
        start=start,
        tz=tz,
        trees=prior,
    )
    quantiles = np.empty((len(series.values), len(horizons), len(LEVELS)))
    leading = np.full(len(series.values), np.nan) if series.leading is None else series.leading
    started = time.process_time()
    for i, (value, leader) in enumerate(zip(series.values, leading, strict=True)):
        forecaster.update(i * series.step_seconds, float(value), leading=float(leader))
        quantiles[i] = forecaster.quantiles()
    return Said(
        origins=np.arange(len(series.values)),
        quantiles=quantiles,
        cpu_seconds_per_refresh=(time.process_time() - started) / len(series.values),
    )


def _judge(
    series: Series,
    horizons: tuple[float, ...],
    methods: Sequence[str],
    options: argparse.Namespace,
    advance: Callable[[], None],
) -> Iterator[Judged]:
    ahead = np.maximum(1, np.round(np.array(horizons) / series.step_seconds)).astype(np.intp)
    count = len(series.values)
    first = int(count * options.train_fraction)
    every = 1
    if any(method in DEAR for method in methods):
        every = max(1, count // options.origins)
    asked = np.arange(every, count, every)
    for method in methods:
        predictions = _predictions(method, series, horizons, ahead, asked, options)
        kept = (
            np.isin(predictions.origins, asked)
            if every > 1
            else np.ones(len(predictions.origins), bool)
        )
        for column, horizon in enumerate(horizons):
            result = score(
                predictions.quantiles[kept, column],
                predictions.origins[kept],
                series.values,
                ahead=int(ahead[column]),
                first=first,
            )
            if result.steps:
                yield Judged(
                    trace=series.trace,
                    series=series.name,
                    is_long=series.is_long(),
                    step_seconds=series.step_seconds,
                    horizon_seconds=horizon,
                    method=method,
                    score=result,
                    cpu_seconds_per_refresh=predictions.cpu_seconds_per_refresh,
                )
        advance()


def _predictions(
    method: str,
    series: Series,
    horizons: tuple[float, ...],
    ahead: npt.NDArray[np.intp],
    asked: npt.NDArray[np.intp],
    options: argparse.Namespace,
) -> Said:
    if method == "foresail":
        prior = _prior(series, options.priors)
        return foresail(series, horizons, start=options.start, tz=options.tz, prior=prior)
    if method in CHEAP:
        points = CHEAP[method](series.values, ahead, series.step_seconds)
    else:
        points = refitted(method, series.values, ahead, series.step_seconds, asked.tolist())
    columns = [dressed(points, series.values, int(h), i) for i, h in enumerate(ahead)]
    return Said(
        origins=points.origins,
        quantiles=np.stack(columns, axis=1),
        cpu_seconds_per_refresh=points.cpu_seconds_per_refresh,
    )


def _prior(series: Series, folder: Path | None) -> Trees:
    """The shipped prior, or the one grown without this trace's family."""
    held_out = prior_without(series.trace, folder)
    return read_trees(held_out.read_bytes()) if held_out else shipped()


def prior_without(trace: str, folder: Path | None) -> Path | None:
    """The file that `forecast_prior` grew without the trace's family, if the folder has one.

    Raw requests of a family (`raw_azure_...`) are of it too.
    """
    grown = sorted(folder.glob("*.npz")) if folder else []
    name = trace.removeprefix("raw_")
    held_out = [path for path in grown if name.startswith(path.stem)]
    return held_out[-1] if held_out else None


def _row(judged: Judged) -> Row:
    result = judged.score
    return {
        "trace": judged.trace,
        "series": judged.series,
        "horizon_seconds": judged.horizon_seconds,
        "method": judged.method,
        "steps": result.steps,
        "pinball_50": result.pinball[0.5],
        "pinball_90": result.pinball[0.9],
        "pinball_95": result.pinball[0.95],
        "pinball_99": result.pinball[0.99],
        "wape": result.wape,
        "coverage_90": result.coverage[0.9],
        "coverage_99": result.coverage[0.99],
        "refresh_cpu_seconds": judged.cpu_seconds_per_refresh,
    }


def _horizons(asked: str | None, step_seconds: float) -> tuple[float, ...]:
    if asked:
        return tuple(sorted(float(horizon) for horizon in asked.split(",")))
    known = DEFAULT_HORIZONS.get(round(step_seconds))
    return known or tuple(sorted({step_seconds, max(900.0, step_seconds), 1800.0}))


def _shortened(series: Series) -> Series:
    return Series(
        trace=series.trace,
        name=series.name,
        step_seconds=series.step_seconds,
        values=series.values[:QUICK_STEPS],
        leading=None if series.leading is None else series.leading[:QUICK_STEPS],
    )


def _refuse_unknown(methods: Sequence[str]) -> None:
    known = ("foresail", *CHEAP, *DEAR)
    for method in methods:
        if method not in known:
            sys.exit(f"bench forecast: no method {method!r}; there are {', '.join(known)}")
    if any(method in DEAR for method in methods):
        try:
            import statsforecast  # noqa: F401, PLC0415 - only to say clearly that it is missing
        except ModuleNotFoundError:
            sys.exit(
                f"bench forecast: {', '.join(m for m in methods if m in DEAR)} need statsforecast, "
                "the bench extra: make .venv/.bench, or pip install statsforecast"
            )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench forecast", description=__doc__)
    parser.add_argument("--traces", nargs="+", type=Path, metavar="PATH", help="CSV: t_s, series…")
    parser.add_argument("--columns", help="only these, with commas between")
    parser.add_argument("--horizons", help="seconds, with commas; default by the trace's step")
    parser.add_argument("--methods", default="foresail,last,seasonal-naive,ewma,holt",
                        help=f"of foresail, {', '.join((*CHEAP, *DEAR))}")  # fmt: skip
    parser.add_argument("--train-fraction", type=float, default=0.3,
                        help="share of each series that is not judged")  # fmt: skip
    parser.add_argument("--origins", type=int, default=1000,
                        help="origins per series, once a method is refitted at each")  # fmt: skip
    parser.add_argument("--start", type=datetime.fromisoformat, help="time of t_s = 0, with zone")
    parser.add_argument("--tz", help="IANA zone whose days the traffic follows")
    parser.add_argument("--priors", type=Path, metavar="FOLDER",
                        help="FAMILY.npz grown by `forecast_prior --leave-out FAMILY`, each used "
                        "for the traces whose names begin so")  # fmt: skip
    parser.add_argument("--leading", default="", metavar="COLUMN=LEADER,...",
                        help="columns that are forecast knowing one that runs ahead")  # fmt: skip
    parser.add_argument("--jumps", type=int, default=0, metavar="N",
                        help="list the N worst misses of the .99, with what was known")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="a few short series: under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the rows as JSON")
    return parser
