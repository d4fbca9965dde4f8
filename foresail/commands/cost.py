"""The verb about the cost of GPUs."""

import asyncio
from pathlib import Path
from typing import Any

import click

from foresail.commands import options as cli_options


def meters(command: cli_options.Command) -> cli_options.Command:
    """Which programs that trace requests are asked."""
    file = click.Path(path_type=Path)
    options = (
        click.option(
            "--langfuse",
            metavar="URL",
            help="A LangFuse server: tokens and dollars by model, of the requests that it traced.",
        ),
        click.option("--langfuse-key-file", type=file, help="PUBLIC:SECRET of a project."),
        click.option("--langfuse-environment", metavar="NAME", help="Only its requests."),
        click.option("--langsmith", metavar="URL", help="A LangSmith server: the same."),
        click.option("--langsmith-key-file", type=file, help="An API key."),
        click.option(
            "--langsmith-project", multiple=True, metavar="ID", help="Its id; may be repeated."
        ),
        click.option("--langsmith-workspace", metavar="ID", help="Of a key that has several."),
    )
    return cli_options.together(*options)(command)


@click.command(short_help="What each GPU costs, by the one reason why it is there.")
@cli_options.clusters
@cli_options.prometheus("That scrapes DCGM, vLLM and OpenCost: idle GPUs, tokens, prices of nodes.")
@meters
@click.option(
    "--watch",
    "watch_seconds",
    type=cli_options.Duration(),
    help="Add readings up for so long, such as 10m. Default: an hour's cost, by one reading.",
)
@click.option(
    "--every",
    "every_seconds",
    type=cli_options.Duration(),
    default="60s",
    show_default=True,
    help="Between two readings of --watch.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="A file: --watch goes on from its totals, and keeps them there.",
)
@click.option(
    "--tokens",
    "window_seconds",
    type=cli_options.Duration(),
    default="10m",
    show_default=True,
    help="The time before a single reading in which tokens are counted.",
)
@cli_options.output(
    "table",
    "wide",
    "json",
    "yaml",
    "opencost",
    note="json and yaml have each node too; opencost has what does not serve, as custom costs.",
)
def cost(
    *,
    watch_seconds: float | None,
    every_seconds: float,
    state: Path | None,
    window_seconds: float,
    idle_minutes: float,
    **given: Any,
) -> None:
    """What GPUs cost, by reason, pool, generation and model. Only reads.

    Each GPU has one reason: it serves, or why it does not. The reasons add up to the bill.
    """
    from foresail.cost import command as cost_command
    from foresail.gpus.options import FleetOptions
    from foresail.meters.programs import MeterOptions

    of_meters = {name: given.pop(name) for name in [*given] if name.startswith("lang")}
    options = cost_command.CostOptions(
        fleet=FleetOptions(idle_seconds=60 * idle_minutes, **given),
        window_seconds=window_seconds,
        watch_seconds=watch_seconds,
        every_seconds=every_seconds,
        state=state,
        meters=MeterOptions(**of_meters).meters(),
    )
    run = cost_command.show if watch_seconds is None else cost_command.watch
    asyncio.run(run(options, cli_options.console(options.fleet.form)))
