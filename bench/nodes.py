"""`python -m bench nodes`: when empty GPU nodes go, and what is ordered ahead, rule by rule.

Each trace becomes the replicas that an HPA wants of it, 8 on average, on one pool of nodes. A node
boots in 4 to 8 minutes, 5 % of launches fail and are noticed after 5 to 15, images are pulled in 2.
Cost = idle GPU time + rho x delayed pod time, as a share of the GPU time that was wanted; rho is
the idle GPU-minutes that one delayed pod-minute is worth, the operator's number. The oracle knows
the demand and lets no pod wait. "Fixed" is the one consolidateAfter that is cheapest on the other
traces. Only the rows named oracle and perfect know the future.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.progress import Progress

from bench._nodes_demand import STEP_SECONDS, Demand, read_demand
from bench._nodes_policies import NAMES, USUALLY, Draw, Runs, forecasts_of
from bench._nodes_run import Place
from bench._nodes_table import NIGHTLY, TUNED, USUAL, Summary, rows_of
from bench._report import Row, show
from bench._seeds import seeds
from bench._traces import DAY_LONG
from bench.forecast import TRACES
from bench.peaks import prior_of
from policies.rounds import ROUND_SECONDS
from replay.cluster.settings import NodeStartUp
from replay.traces import TraceError

_VIEWS = (USUAL, TUNED, NIGHTLY)
_DAYS = 8.0
_QUICK_DAYS = 1.0
_SHARED_DAYS_MIN = 3.0
"""Services that share a pool are of traces of which at least so many days are played."""
_SHARED = "shared pool"


def main(arguments: list[str]) -> None:
    options = _options(arguments)
    demands = _demands(options)
    if not demands:
        print("bench nodes: skipped, no trace is left")
        return
    groups: dict[str, tuple[Demand, ...]] = {one.trace: (one,) for one in demands}
    shared = _shared(options, demands)
    if len(shared) > 1:
        groups[_SHARED] = shared
    with Progress(transient=True) as progress:
        sizes = _places(options, groups, progress)
        rows, further = _judge(options, sizes, len(demands), progress)
    asked = vars(options) | {"trace": [demand.trace for demand in demands]}
    show("nodes", asked, rows, options.json, further=further)


def _places(
    options: argparse.Namespace, groups: dict[str, tuple[Demand, ...]], progress: Progress
) -> list[list[Runs]]:
    """By size of node, one place a trace and the shared one; forecasts are made once for all."""
    rounds = sum(group[0].steps for group in groups.values()) * STEP_SECONDS / ROUND_SECONDS
    task = progress.add_task("forecasts", total=rounds)
    sizes: list[list[Runs]] = [[] for _ in options.gpus_per_node]
    for name, group in groups.items():
        place = Place(
            name=name,
            demands=group,
            gpus_per_node=1,
            start_up=options.node_startup,
            pod_seconds=options.pod_startup,
        )
        trees = prior_of(group[0].trace, options.priors)
        forecast = forecasts_of(place, trees, lambda: progress.advance(task))
        for size, gpus in zip(sizes, options.gpus_per_node, strict=True):
            sized = [replace(place, gpus_per_node=gpus, seed=seed) for seed in options.seeds]
            size.append(Runs([Draw(place=one, forecast=forecast) for one in sized]))
    return sizes


def _judge(
    options: argparse.Namespace, sizes: list[list[Runs]], traces: int, progress: Progress
) -> tuple[list[Row], dict[str, list[Row]]]:
    total = len(options.rho) * sum(map(len, sizes))
    task = progress.add_task("policies", total=total)
    rows: list[Row] = []
    further: dict[str, list[Row]] = {}
    for places in sizes:
        summary = Summary(places[:traces], options.policies)
        for runs in places:
            for rho in options.rho:
                rows += rows_of(runs, summary, rho, options.view, options.gpu_usd_hour)
                progress.advance(task)
        for title, more in summary.tables(options.rho, options.view).items():
            further.setdefault(title, []).extend(more)
    return rows, further


def _demands(options: argparse.Namespace) -> list[Demand]:
    if options.trace:
        return [_demand(path, options) for path in options.trace]
    found: list[Demand] = []
    for name in DAY_LONG:
        path = options.data / f"{name}.csv"
        if path.exists():
            found.append(_demand(path, options))
        else:
            print(f"bench nodes: {name} is skipped, there is no {path}; --data FOLDER says where")
    return found


def _demand(path: Path, options: argparse.Namespace) -> Demand:
    try:
        return read_demand(path, mean=options.replicas_mean, days=options.days)
    except (OSError, TraceError) as error:
        sys.exit(f"bench nodes: {error}")


def _shared(options: argparse.Namespace, demands: Sequence[Demand]) -> tuple[Demand, ...]:
    """Services on one pool, each at half of its replicas, over the days that all of them have."""
    long = [one for one in demands if one.days >= min(_SHARED_DAYS_MIN, options.days)]
    steps = min((one.steps for one in long), default=0)
    past = min((len(one.past) for one in long), default=0)
    return tuple(one.halved().last(steps, past) for one in long)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench nodes", description=__doc__)
    parser.add_argument("--data", type=Path, default=TRACES, help="folder of the public traces")
    parser.add_argument("--trace", type=Path, nargs="+", metavar="CSV", help="these instead")
    parser.add_argument(
        "--priors", type=Path, metavar="FOLDER",
        help="FAMILY.npz grown by `peaks_prior --leave-out FAMILY`: each trace is judged with a "
        "prior that has not seen it; the shipped one has seen the public traces",
    )  # fmt: skip
    parser.add_argument("--policies", type=_policies, default=list(USUALLY), help="with commas")
    parser.add_argument("--rho", type=_numbers, default=[3.0, 10.0, 30.0], help="with commas")
    parser.add_argument("--gpus-per-node", type=_counts, default=[1, 8], help="with commas")
    parser.add_argument(
        "--node-startup", type=_start_up, default=NodeStartUp(), metavar="LOW-HIGH", help="seconds"
    )
    parser.add_argument("--pod-startup", type=float, default=120.0, help="seconds")
    parser.add_argument(
        "--seeds",
        type=seeds,
        default=[1, 2, 3],
        metavar="LIST",
        help="of the times that launches take, and which fail: such as 1-3; figures are means",
    )
    parser.add_argument("--replicas-mean", type=float, default=8.0, help="of each trace")
    parser.add_argument("--days", type=float, default=_DAYS, help="the last ones of each trace")
    parser.add_argument("--view", type=_views, default=[USUAL, TUNED], help="with commas")
    parser.add_argument("--tune", action="store_true", help="all three views")
    parser.add_argument("--gpu-usd-hour", type=float, help="fills cost_usd")
    parser.add_argument("--quick", action="store_true", help="one day, at rho 10")
    parser.add_argument("--json", type=Path, help="also write the rows here")
    options = parser.parse_args(arguments)
    if options.quick:
        options.days, options.rho = _QUICK_DAYS, [10.0]
    if options.tune:
        options.view = list(_VIEWS)
    return options


def _policies(text: str) -> list[str]:
    return _among(text, NAMES)


def _views(text: str) -> list[str]:
    return _among(text, _VIEWS)


def _among(text: str, known: Sequence[str]) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
    return names


def _numbers(text: str) -> list[float]:
    numbers = [float(part) for part in text.split(",")]
    if not all(number > 0 for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} has a number that is not above 0")
    return numbers


def _counts(text: str) -> list[int]:
    counts = [int(part) for part in text.split(",")]
    if not all(count > 0 for count in counts):
        raise argparse.ArgumentTypeError(f"{text!r} has a count that is not above 0")
    return counts


def _start_up(text: str) -> NodeStartUp:
    """`240-480`, or `300`."""
    low, _, high = text.partition("-")
    times = float(low), float(high or low)
    if not 0 < times[0] <= times[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of seconds such as 240-480")
    return NodeStartUp(boot_seconds=times)
