"""The verbs about policies: check one, see what it says of a pool, print what is made from it."""

from datetime import datetime
from pathlib import Path

import click

from foresail.commands import options as cli_options
from foresail.commands.node_replay import wait
from foresail.printed import FORMS, print_document
from foresail.replaying.node_question import NodeQuestion

_CAPACITY_TYPES = ("on-demand", "spot", "reserved")
_PRINTED = ("latency-first", "balanced", "cost-first", "crd", "json-schema", "reference")


@click.group(short_help="Check policies for GPU nodes, and see what holds for a pool.")
def policy() -> None:
    """Check policies for GPU nodes, and see what holds for a pool. Touches no cluster."""


@policy.command(short_help="Check policies, or show what holds for a pool.")
@click.argument("name", metavar="NAME|FILE|FOLDER")
@click.option("--pool", "pool_name", help="Of the NodePool; without it the policies are checked.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Of the pool.")
@click.option("--generation", help="Of its GPUs, as `foresail gpus` lists them.")
@click.option(
    "--capacity-type",
    type=click.Choice(_CAPACITY_TYPES),
    help="Of a pool that allows only this one.",
)
@click.option(
    "--gpus-per-node", type=click.IntRange(min=1), default=1, show_default=True, help="Of the pool."
)
@click.option("--usd-per-hour", type=click.FloatRange(min=0), help="Of one of its nodes.")
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M%z"]),
    metavar="YYYY-MM-DDTHH:MM[+HHMM]",
    help="In place of now; this machine's time unless it ends with an offset such as +0100.",
)
@cli_options.output("table", "json", "yaml", note="With --pool.")
def show(  # noqa: PLR0913 - a verb has as many as it has options
    *,
    name: str,
    pool_name: str | None,
    labels: tuple[str, ...],
    generation: str | None,
    capacity_type: str | None,
    gpus_per_node: int,
    usd_per_hour: float | None,
    at: datetime | None,
    form: str,
) -> None:
    """Check a policy, and with --pool show what holds for that pool, and which rule says so.

    NAME is latency-first, balanced or cost-first; else give a file or a folder.

    Status 0: in order. Status 1: faults, one a line on stderr, or no policy matches the pool.
    """
    from fleet.cluster.nodes import CapacityType
    from foresail.clock import wall_clock
    from foresail.policy import shown

    policies = shown.policies_named(name)
    if pool_name is None:
        click.echo(shown.checked_text(name, policies))
        return
    pool = shown.NamedPool(
        name=pool_name,
        labels=dict(_pair(one) for one in labels),
        generation=_generation(generation),
        capacity_type=CapacityType(capacity_type) if capacity_type else None,
        gpus_per_node=gpus_per_node,
        usd_per_hour=usd_per_hour,
    )
    now_seconds = at.timestamp() if at else wall_clock()
    found = shown.resolved(policies, pool, now_seconds)
    if form in FORMS:
        print_document(shown.as_document(pool, found, now_seconds), form)
    else:
        click.echo(shown.text(policies, pool, found, now_seconds))


def _pair(label: str) -> tuple[str, str]:
    key, equals, value = label.partition("=")
    if not (key and equals):
        raise click.UsageError(f"--label {label!r} is not of the form KEY=VALUE")
    return key, value


def _generation(name: str | None) -> str | None:
    """In the catalogue's spelling; policies match by that."""
    from fleet.catalogue import shipped

    found = shipped().find(name) if name else None
    if name and found is None:
        raise click.UsageError(f"--generation {name!r}: `foresail gpus` lists no such GPU")
    return found.name if found else None


@policy.command()
@click.argument("name", metavar="NAME|FILE|FOLDER", default="balanced")
@click.option("--svg", type=click.Path(path_type=Path), required=True, help="Write the picture.")
@click.option(
    "--gpus-per-node", type=click.IntRange(min=1), default=4, show_default=True, help="Of the pool."
)
@click.option(
    "--node-price",
    type=click.FloatRange(min=0, min_open=True),
    help="Dollars an hour. Default: the list price of an H100, for each GPU.",
)
@click.option(
    "--consolidate-after",
    metavar="DURATION",
    callback=wait,
    default="10m",
    show_default=True,
    help="Of the pool, or never.",
)
@click.option(
    "--shape",
    type=click.Choice(["diurnal", "flash-crowd", "bursts", "step", "on-off", "agentic"]),
    default="bursts",
    show_default=True,
    help="Of the traffic, as `foresail replay --generate` has it.",
)
@click.option(
    "--replicas-mean",
    type=click.FloatRange(min=0.1),
    default=12.0,
    show_default=True,
    help="Replicas that the mean demand keeps busy.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the generated traffic.")
def day(  # noqa: PLR0913 - a verb has as many as it has options
    *,
    name: str,
    svg: Path,
    gpus_per_node: int,
    node_price: float | None,
    consolidate_after: float,
    shape: str,
    replicas_mean: float,
    seed: int,
) -> None:
    """Draw a generated day of nodes under a policy, beside Karpenter alone, with the money of both.

    The policy counts as if it had `mode: act`. On your own traffic: `foresail replay --nodes`.
    """
    from foresail.replaying.node_day import draw_day

    question = NodeQuestion(
        policy=name,
        gpus_per_node=gpus_per_node,
        usd_per_node_hour=node_price,
        consolidate_after_seconds=consolidate_after,
    )
    draw_day(question, shape=shape, replicas_mean=replicas_mean, seed=seed, svg=svg)


@policy.command("print", short_help="Print a ready-made policy, or the schema.")
@click.argument("what", metavar="WHAT", type=click.Choice(_PRINTED))
def print_(what: str) -> None:
    """Print a ready-made policy to start from, or what is made from the schema.

    WHAT is latency-first, balanced or cost-first; else crd (the CustomResourceDefinition),
    json-schema (for editors) or reference (the reference page).
    """
    from foresail.policy import printed as policy_printed

    click.echo(policy_printed.printed(what), nl=False)
