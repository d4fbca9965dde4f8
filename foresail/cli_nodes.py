"""The verbs that decide about GPU nodes."""

import asyncio
from pathlib import Path
from typing import Any

import click

from foresail import cli_options


@click.command(short_help="What a policy would do with your GPU nodes now, and why.")
@cli_options.clusters
@click.option(
    "--policy",
    "policies",
    multiple=True,
    required=True,
    metavar="NAME|FILE|FOLDER",
    help="latency-first, balanced or cost-first; else a file or a folder.",
)
@click.option(
    "--demand",
    type=click.Path(path_type=Path),
    help="CSV of the past, for the forecast: time, gpus, and pool where there are several.",
)
@click.option(
    "--starts-file",
    type=click.Path(path_type=Path),
    help="Starts that `foresail fleet` kept, for the lead times.",
)
@click.option("--json", "as_json", is_flag=True)
def advise(*, policies: tuple[str, ...], demand: Path | None, **given: Any) -> None:
    """What policies would do with each GPU node now, and each step to it. Only reads.

    Of a record (--file) "now" is the newest time stamp in it.
    """
    from rich.console import Console

    from foresail import advise_command
    from foresail.fleet_options import FleetOptions

    options = advise_command.AdviseOptions(
        fleet=FleetOptions(**given), policies=policies, demand=demand
    )
    asyncio.run(advise_command.show(options, Console()))
