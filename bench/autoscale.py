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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.progress import Progress

from bench._autoscale_alone import NAMED_ONLY, OUT_OF_THE_BOX, Alone, line_of, rows_alone
from bench._autoscale_options import options_of
from bench._autoscale_parts import ABLATION, margins
from bench._autoscale_table import HINDSIGHT, NIGHTLY, PEERS, Runs, Table, over_traces
from bench._report import Row, show
from bench._traces import generated_days
from bench.forecast import prior_without
from replay.contest import ORACLE, Entry, Scenario, contest, settings
from replay.fleet import FleetSettings
from replay.limits import limits_of, replicas_max_for
from replay.oracle import RHOS
from replay.replay_input import REPLICAS_MAX, Platform
from replay.score import Objective
from replay.simulate import Result
from replay.start_up import StartUp
from replay.traces import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """One trace under one start-up: where rules are judged."""

    startup: str
    here: int
    """Place of its scenario."""
    elsewhere: tuple[int, ...]
    """Of the scenarios that settings are chosen on."""


def main(arguments: list[str]) -> None:
    options = options_of(arguments, __doc__)
    scenarios, places = _scenarios(options)
    for place in places:
        for limit in limits_of(scenarios[place.here].draw(options.seeds[0])):
            print(limit.what)
    if OUT_OF_THE_BOX in options.view:
        _show_alone(options, scenarios, places)
        return
    entries = _entries(options, places)
    with Progress(transient=True) as progress:
        task = progress.add_task("replaying", total=len(entries))
        results = contest(
            scenarios,
            entries,
            kept=options.kept,
            progress=lambda: progress.advance(task),
        )
    rows: list[Row] = []
    for place in places:
        of_place = {"trace": scenarios[place.here].trace.name, "startup": place.startup}
        rows += [{**of_place, **row} for row in _rows(options, place, results)]
    further: dict[str, Sequence[Row]] = {}
    if len(places) > 1:
        further["over all traces"] = over_traces(rows)
    if options.parts:
        further["parts removed"] = margins(rows)
    show("autoscale", _asked(options), rows, options.json, further=further)


def _show_alone(
    options: argparse.Namespace, scenarios: Sequence[Scenario], places: Sequence[_Place]
) -> None:
    runs = [
        Alone(scenario=scenarios[place.here], startup=place.startup, policy=name, seed=seed)
        for place in places
        for seed in options.seeds
        for name in options.policies
        if name != ORACLE
    ]
    rows = rows_alone(
        runs,
        oracle=ORACLE in options.policies,
        told=lambda row: print(line_of(row), flush=True),
    )
    further: dict[str, Sequence[Row]] = {"over all traces": over_traces(rows)}
    if options.ablation:
        further["switched off"] = margins(rows, ABLATION, whole_name=NAMED_ONLY)
    show("autoscale", _asked(options), rows, options.json, further=further)


def _asked(options: argparse.Namespace) -> dict[str, object]:
    """The options, with names in place of what they stand for."""
    return vars(options) | {
        "trace": [trace.name for trace in options.trace],
        "tune_on": [trace.name for trace in options.tune_on],
        "startup": list(options.startup),
    }


def _scenarios(options: argparse.Namespace) -> tuple[list[Scenario], list[_Place]]:
    """Of each start-up the judged traces, then those that settings are chosen on."""
    scenarios: list[Scenario] = []
    places: list[_Place] = []
    tune_on = options.tune_on if "equal" in options.view else []
    for startup, start_up in options.startup.items():
        first = len(scenarios)
        elsewhere = range(first + len(options.trace), first + len(options.trace) + len(tune_on))
        scenarios += [_scenario(options, trace, start_up) for trace in (*options.trace, *tune_on)]
        places += [
            _Place(startup=startup, here=first + at, elsewhere=tuple(elsewhere))
            for at in range(len(options.trace))
        ]
    return scenarios, places


def _scenario(options: argparse.Namespace, trace: Trace, start_up: StartUp) -> Scenario:
    scenario = Scenario(
        trace=trace,
        platform=_platform(options, start_up, options.replicas_max or REPLICAS_MAX),
        replicas_mean=options.replicas_mean,
        days_max=options.days,
        prior=_prior(trace, options.priors),
    )
    if options.replicas_max is not None:
        return scenario
    most = replicas_max_for(scenario.draw(options.seeds[0]))
    return replace(scenario, platform=_platform(options, start_up, most))


def _platform(options: argparse.Namespace, start_up: StartUp, replicas_max: int) -> Platform:
    return Platform(
        profile=options.replica,
        objective=Objective(ttft_seconds=options.ttft, itl_seconds=options.itl),
        fleet=FleetSettings(start_up=start_up, rows=2 * replicas_max, nodes=options.nodes),
        replicas_max=replicas_max,
    )


def _entries(options: argparse.Namespace, places: Sequence[_Place]) -> list[Entry]:
    sweep = bool({"equal", HINDSIGHT, NIGHTLY} & set(options.view))
    judged = [place.here for place in places]
    elsewhere = sorted({other for place in places for other in place.elsewhere})
    entries = [
        Entry(scenario=at, policy=name, knob=knob, behavior=behavior, seed=seed)
        for at in (*judged, *elsewhere)
        for name in options.policies
        if name != ORACLE
        for knob, behavior in settings(name, sweep=sweep)
        for seed in (options.seeds if at in judged else options.seeds[:1])
    ]
    entries += [
        Entry(scenario=at, policy=ORACLE, knob=rho, seed=seed)
        for at in judged
        for seed in options.seeds
        for rho in RHOS
        if ORACLE in options.policies
    ]
    return entries


def _rows(options: argparse.Namespace, place: _Place, results: Mapping[Entry, Result]) -> list[Row]:
    policies = [name for name in options.policies if name != ORACLE]
    views = options.view
    table = Table(
        _runs(results, place.here), options.seeds, options.attainment, options.gpu_usd_hour
    )
    rows: list[Row] = []
    if "usual" in views:
        rows += [table.usual(name) for name in policies]
        if ORACLE in options.policies:
            rows.append(table.oracle_at(options.attainment))
    if "equal" in views:
        others = [_runs(results, other) for other in place.elsewhere]
        rows += [table.elsewhere(name, others) for name in policies]
    if "equal" in views or HINDSIGHT in views:
        rows += [table.hindsight(name) for name in (*policies, ORACLE) if name in options.policies]
    if NIGHTLY in views:
        peers = [name for name in policies if name.partition("+")[0] != "foresail"]
        rows += [row for name in policies if (row := table.nightly(name, [name]))]
        if len(peers) > 1 and (row := table.nightly(PEERS, peers)):
            rows.append(row)
    return rows


def _runs(results: Mapping[Entry, Result], scenario: int) -> Runs:
    runs: Runs = defaultdict(list)
    for entry, result in results.items():
        if entry.scenario == scenario:
            runs[entry.policy, entry.knob, entry.behavior].append(result)
    return runs


def _prior(trace: Trace, folder: Path | None) -> bytes | None:
    """The prior grown without the trace's family; None = the shipped one."""
    held_out = prior_without(trace.name, folder)
    if folder is not None and held_out is None and trace is not generated_days():
        sys.exit(
            f"bench autoscale: {folder} has no prior for {trace.name}: no FAMILY.npz there whose"
            " name begins the trace's. Grow it: python -m bench forecast_prior --leave-out FAMILY"
        )
    return None if held_out is None else held_out.read_bytes()


if __name__ == "__main__":
    main([])
