"""`foresail replay`: a trace, one plan file, the rules to stand beside; a table, JSON, a page."""

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from foresail.printed import print_document
from foresail.replaying.node_question import NodeQuestion
from foresail.replaying.nodes import GovernedPool, NodeReport, governed_pool, nodes_on
from foresail.replaying.nodes_shown import node_table, reason_table
from foresail.replaying.nodes_verdict import node_verdict
from foresail.replaying.page import page
from foresail.replaying.plan import ReplayPlan
from foresail.replaying.report import FORESAIL, Report, about, percent, valid
from foresail.replaying.rule_files import own_rules
from foresail.replaying.table import as_document, table
from foresail.replaying.verdict import verdict
from replay.contest import ORACLE, Entry, Scenario, by_policy, contest, knobs
from replay.limits import Limit, limits_of, replicas_max_for
from replay.node_demand import demand_of
from replay.oracle import RHOS
from replay.policies.catalogue import KINDS
from replay.policies.own_rule import OwnRule
from replay.replay_input import ReplayInput
from replay.traces import Lengths, Trace
from scaler.errors import ForesailError
from scaler.spelling import nearest
from scaler.yaml_file import validated

GENERATED_REPLICAS = 8.0
"""That generated traffic keeps busy on average: enough to see a rule at work."""
_RULES_WITH_NODES = 2
_FEW_REPLICAS = 3.0
"""Below, rounding to whole replicas outweighs the rule."""


def tell(  # noqa: PLR0913 - the verb's options
    trace: Trace,
    *,
    scale_to: float | None,
    days: float | None,
    plan_file: Path | None,
    against: str,
    sweep: bool,
    seed: int,
    html: Path | None,
    json_file: Path | None,
    kept: Path | None,
    form: str = "table",
    rule_files: Sequence[Path] = (),
    nodes: NodeQuestion | None = None,
) -> None:
    """Replay, print the table, write what was asked for."""
    names, rules = rivals(against), own_rules(rule_files)
    plan = plan_in(plan_file, scale_to)
    # Results go to stdout, and what is said about them on the way to stderr.
    console, results = Console(stderr=True), Console()
    governed = governed_pool(nodes, plan) if nodes else None
    report = replay(
        trace,
        plan,
        against=names,
        rules=rules,
        seed=seed,
        sweep=sweep,
        days=days,
        kept=kept,
        console=console,
    )
    if governed is not None:
        report = replace(report, nodes=_nodes(governed, report, seed, console))
    if form != "table":
        print_document(as_document(report), form)
    else:
        _tell(report, results)
    if html:
        write_report(html, page(report))
        console.print(f"report: {html}", highlight=False)
    if json_file:
        write_report(json_file, json.dumps(as_document(report), indent=1))


def plan_in(path: Path | None, scale_to: float | None) -> ReplayPlan:
    """The plan of a file, or the default one.

    Args:
        scale_to: replicas that the mean demand keeps busy, in place of the plan's.
    """
    plan = validated(path, ReplayPlan) if path else ReplayPlan()
    if scale_to is None:
        return plan
    replicas = plan.replicas.model_copy(update={"mean": scale_to})
    return plan.model_copy(update={"replicas": replicas})


def _tell(report: Report, results: Console) -> None:
    results.print(table(report))
    for sentence in verdict(report):
        results.print(sentence, highlight=False)
    if report.nodes is not None:
        _tell_nodes(report.nodes, results)


def _nodes(governed: GovernedPool, report: Report, seed: int, console: Console) -> NodeReport:
    """Under Foresail's replicas, and those of the first rule beside it."""
    results = list(report.usual.values())[:_RULES_WITH_NODES]
    demands = [demand_of(report.replay_input, result) for result in results]
    return nodes_on(governed, demands, seed=seed, console=console)


def _tell_nodes(report: NodeReport, console: Console) -> None:
    console.print(node_table(report))
    console.print(reason_table(report))
    for sentence in (*node_verdict(report), *report.remarks()):
        console.print(sentence, highlight=False)


def lengths_of(prompt_tokens: float | None, output_tokens: float | None) -> Lengths | None:
    """Tokens of a request, on average, where a file counts requests only.

    Raises:
        ForesailError: one of the two is missing.
    """
    if prompt_tokens is None and output_tokens is None:
        return None
    if prompt_tokens is None or output_tokens is None:
        raise ForesailError("--prompt-tokens and --output-tokens go together: one is missing")
    return Lengths(prompt_tokens=prompt_tokens, output_tokens=output_tokens)


def write_report(path: Path, text: str) -> None:
    """Raises ForesailError: the file cannot be written."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ForesailError(f"{path} cannot be written: {error.strerror}") from error


def label_of(text: str) -> tuple[str, str]:
    """`label=value`.

    Raises:
        ForesailError: it is not of that form.
    """
    label, equals, value = text.partition("=")
    if not (label and equals):
        raise ForesailError(f"--match {text!r} is not of the form LABEL=VALUE")
    return label, value


def _remarks(trace: Trace, replay_input: ReplayInput) -> Iterator[str]:
    if complaint := trace.complaint():
        yield complaint
    if trace.gaps:
        steps = len(trace.requests_per_second)
        yield (
            f"{trace.name}: nothing is known of {trace.gaps} of {steps} steps of"
            f" {trace.step_seconds:g} s; they are joined by straight lines"
        )
    mean = float(replay_input.need_by_minute().mean())
    if mean < _FEW_REPLICAS:
        yield (
            f"{trace.name}: the mean demand keeps {mean:.1f} replicas busy, so one replica more or"
            " less decides the result; --scale-to 8, or replicas.mean in a plan, replays it on a"
            " larger fleet"
        )


def rivals(text: str) -> list[str]:
    """Names of rules, or `all`.

    Raises:
        ForesailError: a name that is none of them.
    """
    return [name for name in rules_named(text, "--against") if name != FORESAIL]


def rules_named(text: str, option: str) -> list[str]:
    """Names of rules, Foresail's among them, or `all`.

    Raises:
        ForesailError: a name that is none of them.
    """
    if text == "all":
        return list(KINDS)
    names = [name for part in text.split(",") if (name := part.strip())]
    for name in names:
        if name not in KINDS:
            close = nearest(name, KINDS)
            hint = f"; did you mean {close}?" if close else ""
            message = f"{option} {name!r} is no rule; there are {', '.join(KINDS)}, or all{hint}"
            raise ForesailError(message)
    return list(dict.fromkeys(names))


def replay(  # noqa: PLR0913 - the verb's options
    trace: Trace,
    plan: ReplayPlan,
    *,
    against: Sequence[str],
    rules: Sequence[OwnRule] = (),
    seed: int,
    sweep: bool,
    days: float | None,
    kept: Path | None,
    console: Console,
) -> Report:
    """Run everything that the report needs."""
    scenario = scenario_of(trace, plan, seed=seed, days=days)
    scenario = replace(scenario, rules=tuple(rules))
    replay_input = scenario.draw(seed)
    limits = limits_of(replay_input)
    _tell_limits(limits, plan.attainment, console)
    for remark in _remarks(trace, replay_input):
        console.print(remark, style="yellow", highlight=False)
    console.print(about(replay_input), style="dim", highlight=False)
    own = [rule.name for rule in rules]
    kinds = {
        name: scenario.kind(name)
        for name in (FORESAIL, *own, *(name for name in against if name not in own))
    }
    entries = [
        Entry(scenario=0, policy=name, knob=knob, seed=seed, marks=knob == kind.usual)
        for name, kind in kinds.items()
        for knob in knobs(kind, sweep=sweep)
    ]
    entries += [Entry(scenario=0, policy=ORACLE, knob=rho, seed=seed, marks=True) for rho in RHOS]
    columns = (
        TextColumn("replaying {task.fields[name]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(entries), name=trace.name)
        results = contest([scenario], entries, kept=kept, progress=lambda: progress.advance(task))
    found = by_policy(results, scenario=0, seed=seed)
    return Report(
        replay_input=replay_input,
        attainment=plan.attainment,
        limits=limits,
        usual={
            name: next(result for result in found[name] if result.knob == kind.usual)
            for name, kind in kinds.items()
        },
        kinds=kinds,
        seed=seed,
        command=shlex.join(["foresail", *sys.argv[1:]]),
        version=metadata.version("foresail"),
        oracle=found[ORACLE],
        sweeps={name: found[name] for name in kinds} if sweep else {},
        gpu_usd_hour=plan.gpu_usd_hour,
    )


def scenario_of(trace: Trace, plan: ReplayPlan, *, seed: int, days: float | None) -> Scenario:
    """With a bound on replicas that fits the traffic, where the plan names none."""
    scenario = Scenario(
        trace=trace, platform=plan.platform(), replicas_mean=plan.replicas.mean, days_max=days
    )
    if plan.replicas.max is not None:
        return scenario
    return replace(scenario, platform=plan.platform(replicas_max_for(scenario.draw(seed))))


def _tell_limits(limits: Sequence[Limit], attainment: float, console: Console) -> None:
    if not valid(limits, attainment):
        console.print(
            f"NOT VALID: no rule can be in time for {percent(attainment)} of these requests, so"
            " there is no verdict.",
            style="bold red",
            highlight=False,
        )
    for limit in limits:
        console.print(f"{limit.what} {limit.remedy}", style="yellow", highlight=False)
