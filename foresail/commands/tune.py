"""The verb that explores rules, settings and policies over many workloads."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from foresail.commands import options as cli_options
from foresail.commands.node_replay import wait
from foresail.commands.replay_options import SHAPES, exported, traffic_in, writable

_SEEDS_MAX = 20


@click.command(short_help="The best rule, setting and policy over many workloads.")
@click.argument("traces", nargs=-1, type=click.Path(path_type=Path), metavar="TRACE...")
@click.option(
    "--generate", "shapes", multiple=True, type=click.Choice(SHAPES),
    help="Three generated days of this shape as one more workload. May be repeated.",
)  # fmt: skip
@click.option(
    "--rules", default="foresail,hpa-inflight,keda-waiting,knative-kpa", show_default=True,
    help="Rules to explore, each with all its settings, or `all`.",
)  # fmt: skip
@click.option(
    "--plan", "plan_file", type=click.Path(path_type=Path),
    help="YAML: engine, start-up, objective, bounds. Default: a 32B model on one H100.",
)  # fmt: skip
@click.option("--scale-to", type=click.FloatRange(min=0.1), help="Replicas each mean keeps busy.")
@click.option("--days", type=click.FloatRange(min=0.02), help="Judge only the first days.")
@click.option(
    "--seeds", type=click.IntRange(min=1, max=_SEEDS_MAX), default=1, show_default=True,
    help="How often the traffic of each workload is drawn anew.",
)  # fmt: skip
@click.option(
    "--policy", "policies", multiple=True, metavar="NAME|FILE|FOLDER",
    help="Also the constants of the rules for nodes under this policy. May be repeated.",
)  # fmt: skip
@click.option(
    "--gpus-per-node", type=click.IntRange(min=1), help="With --policy, as in `foresail replay`."
)
@click.option(
    "--node-price", type=click.FloatRange(min=0, min_open=True),
    help="With --policy, as in `foresail replay`.",
)  # fmt: skip
@click.option(
    "--consolidate-after", metavar="DURATION", callback=wait,
    help="With --policy, as in `foresail replay`.",
)  # fmt: skip
@click.option(
    "--state", type=click.Path(path_type=Path), callback=writable,
    help="File of finished runs: the same command goes on from it after a kill.",
)  # fmt: skip
@click.option(
    "--ray", "address", metavar="ADDRESS",
    help="A Ray cluster to run on, such as ray://HOST:10001, in place of this machine's cores.",
)  # fmt: skip
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), callback=writable,
    help="Write all results.",
)  # fmt: skip
@cli_options.output("table", "json", "yaml")
@exported
def tune(  # noqa: PLR0913 - a verb has as many as it has options
    *,
    traces: tuple[Path, ...],
    shapes: tuple[str, ...],
    rules: str,
    plan_file: Path | None,
    scale_to: float | None,
    days: float | None,
    seeds: int,
    policies: tuple[str, ...],
    gpus_per_node: int | None,
    node_price: float | None,
    consolidate_after: float | None,
    state: Path | None,
    address: str | None,
    json_file: Path | None,
    form: str,
    **export: Any,
) -> None:
    """Explore rules, all their settings, and policies for nodes, over many workloads.

    Each TRACE is a workload: a trace or an export with rates, as `foresail replay` reads it. The
    tables have the cheapest setting of each rule on each workload that is in time as often as the
    plan asks, and the one setting for all of them. Runs use all cores, or with --ray a Ray cluster,
    with the same results to the digit. With --state nothing that is finished is run again.
    """
    if not traces and not shapes:
        message = "a TRACE or --generate SHAPE is needed: what to tune on"
        raise click.UsageError(message)
    stray = [name for name, value in (("--gpus-per-node", gpus_per_node),
             ("--node-price", node_price), ("--consolidate-after", consolidate_after))
             if value is not None]  # fmt: skip
    if stray and not policies:
        message = f"{stray[0]} is about nodes: add --policy, or leave it out"
        raise click.UsageError(message)
    from foresail.ray.runs import on_ray
    from foresail.replaying.command import plan_in, rules_named
    from foresail.replaying.node_question import NodeQuestion
    from foresail.tuning import command as tune_command
    from replay.generated import generated
    from replay.spread import on_local_cores

    asked = tune_command.Exploration(
        workloads=(
            *(traffic_in(path, dict(export)) for path in traces),
            *(generated(seed=1, days=3, shape=shape) for shape in shapes),
        ),
        rules=tuple(rules_named(rules, "--rules")),
        plan=plan_in(plan_file, scale_to),
        seeds=tuple(range(1, seeds + 1)),
        days=days,
        questions=tuple(
            NodeQuestion(
                policy=name,
                gpus_per_node=gpus_per_node,
                usd_per_node_hour=node_price,
                consolidate_after_seconds=consolidate_after,
            )
            for name in policies
        ),
        state=state,
    )
    with nullcontext(on_local_cores) if address is None else on_ray(address) as spread:
        report = tune_command.explored(asked, spread=spread)
    tune_command.tell(report, form=form, json_file=json_file)
