"""`python -m bench forecast_clients`: is a service's sum forecast better knowing its clients?

The target is the sum of all client columns whose names share a prefix. Its forecaster runs twice:
alone, and with the sum of its largest clients' medians (the rest are one more part) as `exogenous`.
A ratio below 1 says that the clients help.

The shipped prior was grown on the default trace, too: `--priors` judges with one that has not seen
its family, which is the figure to quote.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench._forecast_judging import LEVELS, Floats, score
from bench._report import Row, show
from bench.forecast import TRACES, prior_without, read
from scaler.forecast.forecaster import Forecaster
from scaler.forecast.record import DemandForecast
from scaler.forecast.trees import Trees, shipped
from scaler.forecast.trees import read as read_trees

DEFAULT = TRACES / "servegen_clients_small_mid_10m_d0_9.csv"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench forecast_clients", description=__doc__)
    parser.add_argument(
        "--trace", type=Path, default=DEFAULT, help="CSV with a column for each client"
    )
    parser.add_argument(
        "--prefixes",
        default="m_small,m_mid",
        help="of column names, with commas: each is one target",
    )
    parser.add_argument("--horizons", default="600,1800", help="seconds, with commas")
    parser.add_argument("--largest", type=int, default=12, help="clients with their own forecaster")
    parser.add_argument(
        "--train-fraction", type=float, default=0.3, help="share of the trace that is not judged"
    )
    parser.add_argument(
        "--priors", type=Path, metavar="FOLDER",
        help="FAMILY.npz grown by `forecast_prior --leave-out FAMILY`, one of them the trace's",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the rows as JSON")
    options = parser.parse_args(arguments)
    if not options.trace.exists():
        print(f"bench forecast_clients: skipped, no {options.trace}; give one with --trace")
        return
    prior = _prior(options.trace, options.priors)
    columns = list(read(options.trace, None))
    horizons = tuple(float(horizon) for horizon in options.horizons.split(","))
    rows: list[Row] = []
    for prefix in options.prefixes.split(","):
        clients = np.stack([c.values for c in columns if c.name.startswith(prefix)], axis=1)
        step = columns[0].step_seconds
        total, parts = _parts(clients, options.largest)
        alone, knowing = _both(total, parts, step, horizons, prior)
        for i, horizon in enumerate(horizons):
            ahead, first = round(horizon / step), int(len(total) * options.train_fraction)
            origins = np.arange(len(total))
            one, two = (
                score(predictions[:, i], origins, total, ahead=ahead, first=first)
                for predictions in (alone, knowing)
            )
            rows.append({
                "clients": prefix,
                "horizon_seconds": horizon,
                "steps": two.steps,
                **{f"ratio_{p:g}": two.pinball[p] / one.pinball[p] for p in (0.5, 0.9, 0.99)},
            })  # fmt: skip
    show("forecast_clients", vars(options), rows, options.json)


def _parts(clients: Floats, largest: int) -> tuple[Floats, list[Floats]]:
    """The sum, its largest parts and all others as one part; unknown where nobody was measured."""
    silent = np.isnan(clients).all(axis=1)
    order = np.argsort(-np.nanmean(clients, axis=0))
    rest = np.where(silent, np.nan, np.nansum(clients[:, order[largest:]], axis=1))
    total = np.where(silent, np.nan, np.nansum(clients, axis=1))
    return total, [*(clients[:, i] for i in order[:largest]), rest]


def _prior(trace: Path, folder: Path | None) -> Trees:
    if folder is None:
        return shipped()
    held_out = prior_without(trace.stem, folder)
    if held_out is None:
        sys.exit(
            f"bench forecast_clients: {folder} has no prior for {trace.stem}: no FAMILY.npz there"
            " whose name begins the trace's. Grow it: python -m bench forecast_prior --leave-out"
            " FAMILY"
        )
    return read_trees(held_out.read_bytes())


def _both(
    total: Floats,
    parts: list[Floats],
    step_seconds: float,
    horizons: tuple[float, ...],
    prior: Trees,
) -> tuple[Floats, Floats]:
    def forecaster() -> Forecaster:
        return Forecaster(
            signal="requests",
            step_seconds=step_seconds,
            horizons_seconds=horizons,
            levels=LEVELS,
            trees=prior,
        )

    alone, knowing, each = forecaster(), forecaster(), [forecaster() for _ in parts]
    predictions: tuple[list[Floats], list[Floats]] = ([], [])
    for step, value in enumerate(total):
        for part, series in zip(each, parts, strict=True):
            part.update(step * step_seconds, float(series[step]))
        exogenous = summed_medians([part.forecast() for part in each])
        alone.update(step * step_seconds, float(value))
        knowing.update(step * step_seconds, float(value), exogenous=exogenous)
        predictions[0].append(alone.quantiles())
        predictions[1].append(knowing.quantiles())
    return np.array(predictions[0]), np.array(predictions[1])


def summed_medians(parts: Sequence[DemandForecast]) -> tuple[float, ...]:
    """The parts' medians added up, per horizon, as an exogenous forecast of their sum.

    Medians do not add up exactly; the expert's own errors correct the difference.
    """
    horizons = parts[0].horizons_seconds
    return tuple(
        sum(part.at(horizon_seconds=horizon, level=0.5) for part in parts) for horizon in horizons
    )
