"""The options of a replay that goes down to nodes and money."""

from collections.abc import Callable
from math import inf
from typing import Any

import click

from foresail.commands import options as cli_options
from foresail.replaying.node_question import NodeQuestion
from scaler.durations import parse_duration


def wait(_context: click.Context, _option: click.Parameter, given: str | None) -> float | None:
    """Seconds of a duration; `never` is infinite."""
    seconds = inf if given == "never" else parse_duration(given)
    if seconds is None or isinstance(seconds, float):
        return seconds
    raise click.BadParameter(f"{given!r} is no duration such as 10m or 30s, and not `never`")


def node_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds them to a verb; `question_of` makes one value of them."""
    options = (
        click.option(
            "--nodes",
            is_flag=True,
            help="Also the nodes under the replicas and what they cost, by Karpenter and a policy.",
        ),
        click.option(
            "--policy",
            metavar="NAME|FILE|FOLDER",
            help="With --nodes: the policy for nodes, as if it acted. Default: balanced.",
        ),
        click.option(
            "--gpus-per-node",
            type=click.IntRange(min=1),
            help="With --nodes: of the pool. Default: the plan's nodes.gpus, or as a replica has.",
        ),
        click.option(
            "--node-price",
            type=click.FloatRange(min=0, min_open=True),
            help="With --nodes: dollars an hour. Default: the plan's gpuUsdHour, for each GPU.",
        ),
        click.option(
            "--consolidate-after",
            metavar="DURATION",
            callback=wait,
            help="With --nodes: of the pool today, such as 10m, or never. Default: the plan's"
            " nodes.consolidateAfter, or 0s as Karpenter has it.",
        ),
    )
    return cli_options.together(*options)(command)


def question_of(options: dict[str, Any]) -> NodeQuestion | None:
    """Takes the options out of all those of a verb; None = nobody asked about nodes.

    Raises:
        click.UsageError: one of them is there without --nodes.
    """
    asked = options.pop("nodes")
    names = ("policy", "gpus_per_node", "node_price", "consolidate_after")
    given = {name: options.pop(name) for name in names}
    if asked:
        return NodeQuestion(
            policy=given["policy"] or "balanced",
            gpus_per_node=given["gpus_per_node"],
            usd_per_node_hour=given["node_price"],
            consolidate_after_seconds=given["consolidate_after"],
        )
    if stray := [name for name in names if given[name] is not None]:
        option = "--" + stray[0].replace("_", "-")
        raise click.UsageError(f"{option} is about nodes: add --nodes, or leave it out")
    return None
