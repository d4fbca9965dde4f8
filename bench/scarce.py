"""Four services on one pool of GPUs that is short for an hour: late requests by who gets them.

The traces are scaled together, each to the same mean, so that their needs together exceed the pool
for `--short-minutes`. Three ways to share it, each with the shipped rule for every service:

* equal-shares: a `maxReplicas` of the pool over the services;
* first-come: no limit; a replica without a GPU stays pending, and the oldest is scheduled first;
* together: the shares of `scaler.decision.scarce`, made in the cycle as `foresail serve` does.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.progress import Progress

from bench._report import Row, show
from bench._traces import trace_option
from replay.fleet import FleetSettings
from replay.generated import generated
from replay.policies.shipped import FORESAIL, POOL, Foresail
from replay.pool import Tenant, play
from replay.replay_input import Platform, ReplayInput, draw_input, fixed_start_up
from replay.simulate import Result
from replay.traces import Trace
from replay.traffic import DAY_SECONDS
from replay.trigger import Overrides
from scaler.serving.shares import Shares

WAYS = ("equal-shares", "first-come", "together")
_GENERATED = (("diurnal", 1), ("flash-crowd", 2), ("bursts", 3), ("agentic", 4))
_GENERATED_DAYS = 3
_MEAN_FIRST = 4.0
"""Replicas of each, for the first draw, which only tells how far to scale."""


def main(arguments: list[str]) -> None:
    options = _options(arguments)
    inputs = scaled(
        options.trace,
        Platform(
            fleet=FleetSettings(start_up=fixed_start_up(options.startup), rows=2 * options.gpus),
            replicas_max=options.gpus,
        ),
        gpus=options.gpus,
        short_minutes=options.short_minutes,
        days=options.days,
        seed=options.seed,
    )
    priorities = options.priorities or [1.0] * len(inputs)
    if len(priorities) != len(inputs):
        raise SystemExit(
            f"bench scarce: {len(inputs)} traces and {len(priorities)} priorities: give one each"
        )
    rows: list[Row] = []
    with Progress(transient=True) as progress:
        for way in progress.track(WAYS, description="replaying"):
            tenants = [
                Tenant(replay_input=one, policy=policy)
                for one, policy in zip(
                    inputs, _policies(way, inputs, priorities, options.gpus), strict=True
                )
            ]
            results = play(tenants, options.gpus, seed=options.seed)
            rows += rows_of(way, results, priorities)
    asked = vars(options) | {"trace": [trace.name for trace in options.trace]}
    show("scarce", asked, rows, options.json)


def scaled(
    traces: Sequence[Trace],
    platform: Platform,
    *,
    gpus: int,
    short_minutes: int,
    days: float | None,
    seed: int,
) -> list[ReplayInput]:
    """Inputs whose needs together exceed the GPUs for so many minutes, and that begin within it."""

    def drawn(mean: float) -> list[ReplayInput]:
        inputs = [draw_input(one, platform, seed=seed, replicas_mean=mean) for one in traces]
        seconds = min(one.seconds for one in inputs)
        if days is not None:
            seconds = min(seconds, int(days * DAY_SECONDS))
        return [one.first(seconds) for one in inputs]

    need = np.sum([one.need_by_minute() for one in drawn(_MEAN_FIRST)], axis=0)
    if len(need) <= short_minutes:
        raise SystemExit(
            f"bench scarce: the traces share {len(need)} minutes after their pasts, which cannot "
            f"be short for {short_minutes} and long enough else"
        )
    inputs = drawn(_MEAN_FIRST * gpus / float(np.sort(need)[-short_minutes - 1]))
    fits = gpus / max(gpus, sum(one.replicas_at_start for one in inputs))
    return [
        replace(
            one,
            name=f"{number} {one.name}",  # one trace may be played as two services
            replicas_at_start=max(1, int(one.replicas_at_start * fits)),
        )
        for number, one in enumerate(inputs, start=1)
    ]


def _policies(
    way: str, inputs: Sequence[ReplayInput], priorities: Sequence[float], gpus: int
) -> list[Foresail]:
    shares = Shares({POOL: gpus}) if way == "together" else None
    policies = []
    for one, priority in zip(inputs, priorities, strict=True):
        keys: tuple[tuple[str, str], ...] = ()
        if way == "equal-shares":
            keys = (("maxReplicas", f"{gpus // len(inputs)}"),)
        elif way == "together":
            keys = (("pool", POOL), ("priority", f"{priority:g}"))
        policies.append(Foresail(one, FORESAIL.usual, Overrides(keys=keys), shares))
    return policies


def rows_of(way: str, results: Sequence[Result], priorities: Sequence[float]) -> list[Row]:
    """A row for each service, and their sum."""
    late = [result.requests * (1 - result.attainment) for result in results]
    weighted = [one * priority for one, priority in zip(late, priorities, strict=True)]
    rows = [
        _row(way, result.policy, result.requests, one, other, result.gpu_hours)
        for result, one, other in zip(results, late, weighted, strict=True)
    ]
    requests = sum(result.requests for result in results)
    hours = sum(result.gpu_hours for result in results)
    return [*rows, _row(way, "all", requests, sum(late), sum(weighted), hours)]


def _row(
    way: str, service: str, requests: float, late: float, weighted: float, gpu_hours: float
) -> Row:
    return {
        "way": way,
        "service": service,
        "requests": requests,
        "late": late,
        "late_weighted": weighted,
        "attainment": 1 - late / requests if requests else None,
        "gpu_hours": gpu_hours,
    }


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench scarce", description=__doc__)
    parser.add_argument(
        "--trace", type=trace_option, nargs="+",
        help="CSVs of requests, one for each service; default: four generated shapes",
    )  # fmt: skip
    parser.add_argument("--gpus", type=int, default=32, help="of the pool (default: %(default)s)")
    parser.add_argument(
        "--short-minutes", type=int, default=60,
        help="for which the needs exceed the pool (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--priorities", type=_numbers, help="of the services, with commas; default: all alike"
    )
    parser.add_argument(
        "--startup", type=float, default=300.0,
        help="seconds from an order to a replica that serves (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument("--days", type=float, help="judge only the first days")
    parser.add_argument("--seed", type=int, default=1, help="of the random draws (default: 1)")
    parser.add_argument("--quick", action="store_true", help="half a day")
    parser.add_argument("--json", type=Path, help="file for the rows as JSON")
    options = parser.parse_args(arguments)
    if options.quick:
        options.days = min(options.days or 0.5, 0.5)
    options.trace = options.trace or [
        generated(seed=seed, days=_GENERATED_DAYS, shape=shape) for shape, seed in _GENERATED
    ]
    return options


def _numbers(text: str) -> list[float]:
    return [float(one) for one in text.split(",")]
