"""How fast the instrument is: CPU time to play days of one workload, and of many at once.

A replay that takes an hour is run once; one that takes a minute is asked questions. CPU seconds of
one core are told, for they do not depend on what else the machine does; `wall_seconds` does.
"""

import argparse
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from bench._report import Row, show
from replay.generated import generated
from replay.policies.catalogue import KINDS
from replay.replay_input import Platform, draw_input
from replay.simulate import simulate
from replay.traffic import DAY_SECONDS

_POLICIES = ("foresail", "hpa-inflight", "keda-waiting", "knative-kpa", "dynamo-sla-kalman")
_PAST_DAYS = 4
_REPLICAS_MEAN = 8.0


def main(arguments: list[str]) -> None:
    options = _options(arguments)
    rows = list(_rows(options))
    show("replay", vars(options), rows, options.json)


def _rows(options: argparse.Namespace) -> Iterator[Row]:
    for policy in options.policies:
        yield _row(policy, options.days, [_played(policy, options.days, 1)], None)
    if options.workloads > 1:
        policy = options.policies[0]
        begin = time.perf_counter()
        with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
            seeds = range(1, options.workloads + 1)
            spent = list(pool.map(partial(_played, policy, options.days), seeds))
        yield _row(policy, options.days, spent, time.perf_counter() - begin)


def _played(policy: str, days: float, seed: int) -> float:
    """CPU seconds of one workload's run, its past and its traffic included."""
    begin = time.process_time()
    # As much past as a replay takes from a longer trace.
    trace = generated(seed=seed, days=_PAST_DAYS * 3 + int(days))
    drawn = draw_input(trace, Platform(), seed=seed, replicas_mean=_REPLICAS_MEAN)
    drawn = drawn.first(int(days * DAY_SECONDS))
    kind = KINDS[policy]
    simulate(drawn, kind.make(drawn, kind.usual), name=policy, knob=kind.usual, seed=seed)
    return time.process_time() - begin


def _row(policy: str, days: float, spent: list[float], wall_seconds: float | None) -> Row:
    return {
        "policy": policy,
        "workloads": len(spent),
        "days": days,
        "cpu_seconds_each": sum(spent) / len(spent),
        "wall_seconds": wall_seconds,
        "workload_days_a_minute": None
        if wall_seconds is None
        else len(spent) * days / wall_seconds * 60,
    }


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench replay", description=__doc__)
    parser.add_argument(
        "--policies", type=_policies, default=list(_POLICIES), help="with commas; default: all"
    )
    parser.add_argument(
        "--days", type=float, default=7.0, help="that are replayed (default: %(default)g)"
    )
    parser.add_argument("--workloads", type=int, default=8, help="of the first policy, at once")
    parser.add_argument("--quick", action="store_true", help="one day, two workloads")
    parser.add_argument("--json", type=Path, help="file for the rows as JSON")
    options = parser.parse_args(arguments)
    if options.quick:
        options.days, options.workloads = min(options.days, 1.0), min(options.workloads, 2)
    return options


def _policies(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in KINDS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(KINDS)}")
    return names
