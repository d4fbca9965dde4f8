"""`foresail tune`: explores rules, settings and policies over many workloads."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from foresail.printed import print_document
from foresail.replaying.command import scenario_of, write_report
from foresail.replaying.node_question import NodeQuestion
from foresail.replaying.nodes import governed_pool
from foresail.replaying.plan import ReplayPlan
from foresail.replaying.report import FORESAIL
from foresail.tuning.table import TuneReport, as_document, tables
from foresail.tuning.tuned import for_all, tuned, tuned_nodes
from replay.contest import Entry, Scenario, contest, settings
from replay.node_contest import GovernedSite, NodeEntry, NodeScenarios, node_contest
from replay.policies.catalogue import KINDS, kind_named
from replay.spread import Spread, on_local_cores
from replay.traces import Trace
from scaler.errors import ForesailError


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """What is asked."""

    workloads: tuple[Trace, ...]
    rules: tuple[str, ...]
    plan: ReplayPlan
    seeds: tuple[int, ...]
    days: float | None = None
    questions: tuple[NodeQuestion, ...] = ()
    """One for each policy for nodes."""
    state: Path | None = None
    """File of finished runs."""


def explored(
    asked: Exploration, *, spread: Spread = on_local_cores, console: Console | None = None
) -> TuneReport:
    """Run what the state file lacks, and compare.

    Raises:
        ForesailError: two workloads have one name, or the plan does not fit the nodes.
    """
    names = tuple(one.name for one in asked.workloads)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ForesailError(f"two workloads are called {twice}: rename one of the files")
    scenarios = [
        scenario_of(one, asked.plan, seed=asked.seeds[0], days=asked.days)
        for one in asked.workloads
    ]
    entries = [
        Entry(scenario=place, policy=rule, knob=knob, behavior=behavior, seed=seed)
        for place in range(len(scenarios))
        for seed in asked.seeds
        for rule in asked.rules
        for knob, behavior in settings(rule, sweep=True)
    ]
    given = _node_scenarios(asked, scenarios)
    node_entries = [
        NodeEntry(scenario=place, site=site, seed=seed)
        for place in range(len(scenarios))
        for site in range(len(given.sites))
        for seed in asked.seeds
    ]
    with _progress(len(entries) + len(node_entries), console or Console(stderr=True)) as advance:
        results = contest(scenarios, entries, kept=asked.state, progress=advance, spread=spread)
        nodes = node_contest(given, node_entries, kept=asked.state, progress=advance, spread=spread)
    return TuneReport(
        asked=asked.plan.attainment,
        workloads=names,
        knobs={rule: kind_named(rule).knob for rule in asked.rules},
        tuned=tuned(results, names, asked.plan.attainment),
        for_all=for_all(results, names, asked.plan.attainment),
        nodes=tuned_nodes(nodes, names, given.sites),
    )


def tell(report: TuneReport, *, form: str, json_file: Path | None) -> None:
    """Print it, and write what was asked for."""
    if json_file is not None:
        write_report(json_file, json.dumps(as_document(report), indent=1))
    if form != "table":
        print_document(as_document(report), form)
        return
    console = Console()
    for table in tables(report):
        console.print(table)


def _node_scenarios(asked: Exploration, scenarios: Sequence[Scenario]) -> NodeScenarios:
    sites = []
    for question in asked.questions:
        pool = governed_pool(question, asked.plan)
        sites.append(
            GovernedSite(
                name=pool.policy,
                site=pool.site,
                policies=pool.policies,
                usd_per_delayed_minute=pool.usd_per_delayed_minute,
            )
        )
    return NodeScenarios(
        scenarios=tuple(scenarios), sites=tuple(sites), rule=FORESAIL, knob=KINDS[FORESAIL].usual
    )


@contextmanager
def _progress(total: int, console: Console) -> Iterator[Callable[[], None]]:
    columns = (TextColumn("exploring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)
