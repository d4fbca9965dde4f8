"""The shipped rule beside the rules people use, on one trace: what was in time, and what it cost.

Three views: each rule at its usual setting; the cost of the same attainment, with the knob chosen
on other traces and, marked as hindsight, on this one; and the knob picked each night from the days
before. In the last two the HPA's behavior behind a rule is chosen with its knob. The oracle is the
best schedule found by somebody who knows every arrival.

The shipped forecast prior was grown on public traces: judge them with `--priors`, each with one
that has not seen its family.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from pydantic import TypeAdapter
from rich.progress import Progress

from bench._autoscale_table import NIGHTLY, PEERS, Runs, Table
from bench._report import Row, show
from bench.forecast import prior_without
from fleet.objective import ITL_SECONDS, TTFT_SECONDS
from replay.contest import ORACLE, Entry, Scenario, contest, settings
from replay.fleet import FleetSettings
from replay.generated import generated
from replay.limits import limits_of
from replay.nodes import NodePool
from replay.oracle import RHOS
from replay.policies.catalogue import KINDS
from replay.profile import QWEN3_32B_FP8_H100, EngineProfile
from replay.replay_input import REPLICAS_MAX, Platform, fixed_start_up
from replay.score import Objective
from replay.simulate import Result
from replay.start_up import FIVE_MINUTES, StartUp
from replay.traces import Trace, TraceError, read

_VIEWS = ("usual", "equal", NIGHTLY)
_GENERATED_DAYS = 6


def main(arguments: list[str]) -> None:
    options = _options(arguments)
    platform = Platform(
        profile=options.replica,
        objective=Objective(ttft_seconds=options.ttft, itl_seconds=options.itl),
        fleet=FleetSettings(
            start_up=options.startup, rows=2 * options.replicas_max, nodes=options.nodes
        ),
        replicas_max=options.replicas_max,
    )
    here, *elsewhere = (
        Scenario(
            trace=trace,
            platform=platform,
            replicas_mean=options.replicas_mean,
            days_max=options.days,
            prior=_prior(trace, options.priors),
        )
        for trace in (options.trace, *(options.tune_on or [_generated()]))
    )
    for limit in limits_of(here.draw(options.seeds[0])):
        print(limit.what)
    views = _VIEWS if options.tune else options.view
    sweep = "equal" in views or NIGHTLY in views
    policies = [name for name in options.policies if name != ORACLE]
    entries = [
        Entry(scenario=place, policy=name, knob=knob, behavior=behavior, seed=seed)
        for place in range(1 + len(elsewhere) * ("equal" in views))
        for name in policies
        for knob, behavior in settings(name, sweep=sweep)
        for seed in (options.seeds[:1] if place else options.seeds)
    ]
    entries += [
        Entry(scenario=0, policy=ORACLE, knob=rho, seed=seed)
        for seed in options.seeds
        for rho in RHOS
        if ORACLE in options.policies
    ]
    with Progress(transient=True) as progress:
        task = progress.add_task("replaying", total=len(entries))
        results = contest(
            [here, *elsewhere],
            entries,
            kept=options.kept,
            progress=lambda: progress.advance(task),
        )
    scenarios = [_runs(results, place) for place in range(1 + len(elsewhere))]
    here_runs, others = scenarios[0], scenarios[1:]
    table = Table(here_runs, options.seeds, options.attainment, options.gpu_usd_hour)
    rows: list[Row] = []
    if "usual" in views:
        rows += [table.usual(name) for name in policies]
        if ORACLE in options.policies:
            rows.append(table.oracle_at(options.attainment))
    if "equal" in views:
        rows += [table.elsewhere(name, others) for name in policies]
        rows += [table.hindsight(name) for name in (*policies, ORACLE) if name in options.policies]
    if NIGHTLY in views:
        peers = [name for name in policies if name != "foresail"]
        rows += [row for name in policies if (row := table.nightly(name, [name]))]
        if len(peers) > 1 and (row := table.nightly(PEERS, peers)):
            rows.append(row)
    asked = vars(options) | {
        "trace": options.trace.name,
        "tune_on": [trace.name for trace in options.tune_on or ()],
    }
    show("autoscale", asked, rows, options.json)


def _runs(results: Mapping[Entry, Result], scenario: int) -> Runs:
    runs: Runs = defaultdict(list)
    for entry, result in results.items():
        if entry.scenario == scenario:
            runs[entry.policy, entry.knob, entry.behavior].append(result)
    return runs


def _prior(trace: Trace, folder: Path | None) -> bytes | None:
    """The prior grown without the trace's family; None = the shipped one."""
    held_out = prior_without(trace.name, folder)
    if folder is not None and held_out is None and trace is not _generated():
        sys.exit(
            f"bench autoscale: {folder} has no prior for {trace.name}: no FAMILY.npz there whose"
            " name begins the trace's. Grow it: python -m bench forecast_prior --leave-out FAMILY"
        )
    return None if held_out is None else held_out.read_bytes()


@lru_cache(maxsize=1)
def _generated() -> Trace:
    return generated(seed=7, days=_GENERATED_DAYS)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench autoscale", description=__doc__)
    parser.add_argument(
        "--trace", type=_trace, help="CSV of requests to play; default: generated days"
    )
    parser.add_argument(
        "--tune-on", type=_trace, nargs="+",
        help="CSVs on which the knobs of the equal view are chosen; default: generated days",
    )  # fmt: skip
    parser.add_argument(
        "--priors", type=Path, metavar="FOLDER",
        help="FAMILY.npz grown by `forecast_prior --leave-out FAMILY`: each trace is judged with "
        "the one that has not seen its family",
    )  # fmt: skip
    parser.add_argument("--kept", type=Path, help="file of finished runs, to go on from")
    parser.add_argument(
        "--startup", type=_start_up, default="300",
        help="seconds from an order to a replica that serves, or `measured` (default: 300)",
    )  # fmt: skip
    parser.add_argument("--gpus-per-node", type=int, help="model nodes, and count their hours")
    parser.add_argument(
        "--consolidate-after", type=float, default=0.0,
        help="seconds until an empty node goes, with --gpus-per-node (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--ttft", type=float, default=TTFT_SECONDS,
        help="seconds to the first token that are in time (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--itl", type=float, default=ITL_SECONDS,
        help="seconds between tokens that are in time (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--policies", type=_policies, default=[*KINDS, ORACLE],
        help="rules to compare, with commas; default: all",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=_seeds, default="1",
        help="of the random draws: `1-5`, `1,3` or `1` (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--replica", type=_profile, default=QWEN3_32B_FP8_H100, metavar="JSON",
        help="profile of a replica's engine; default: Qwen3-32B in FP8 on an H100",
    )  # fmt: skip
    parser.add_argument(
        "--replicas-mean", type=float, default=8.0,
        help="that the trace keeps busy: it is scaled to this (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--replicas-max", type=int, default=REPLICAS_MAX,
        help="that a rule may order (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--attainment", type=float, default=0.99,
        help="part of the requests in time that the equal view compares at (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--gpu-usd-hour", type=float, help="dollars for a GPU-hour: fills the column cost_usd"
    )
    parser.add_argument(
        "--view", type=_views, default=["usual"],
        help=f"of {', '.join(_VIEWS)}, with commas (default: usual)",
    )  # fmt: skip
    parser.add_argument("--tune", action="store_true", help="all three views")
    parser.add_argument("--days", type=float, help="judge only the first days of each trace")
    parser.add_argument("--quick", action="store_true", help="half a day, usual settings")
    parser.add_argument("--json", type=Path, help="file for the rows as JSON")
    options = parser.parse_args(arguments)
    if options.quick:
        options.days = options.days or 0.5
    options.nodes = options.gpus_per_node and NodePool(
        gpus_per_node=options.gpus_per_node,
        consolidate_after_seconds=options.consolidate_after,
    )
    options.trace = options.trace or _generated()
    for trace in (options.trace, *(options.tune_on or ())):
        if complaint := trace.complaint():
            print(complaint)
    return options


def _trace(text: str) -> Trace:
    try:
        return read(Path(text))
    except TraceError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _start_up(text: str) -> StartUp:
    return FIVE_MINUTES if text == "measured" else fixed_start_up(float(text))


def _profile(text: str) -> EngineProfile:
    return TypeAdapter(EngineProfile).validate_json(Path(text).read_text(encoding="utf-8"))


def _policies(text: str) -> list[str]:
    return _among(text, [*KINDS, ORACLE])


def _views(text: str) -> list[str]:
    return _among(text, _VIEWS)


def _among(text: str, known: Iterable[str]) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
    return names


def _seeds(text: str) -> list[int]:
    """`1-5`, `1,3` or `1`."""
    first, dash, last = text.partition("-")
    return list(range(int(first), int(last) + 1)) if dash else [int(n) for n in text.split(",")]


if __name__ == "__main__":
    main([])
