"""The verb that shows the plans of all workloads."""

import asyncio
from typing import Any

import click

from foresail.commands import options as cli_options


@click.command(short_help="The plans of all workloads, once or as they change.")
@cli_options.plans_server
@click.option(
    "-n",
    "--namespace",
    "namespaces",
    metavar="NAME",
    multiple=True,
    help="Only of this; may be repeated.",
)
@click.option("--watch", "watches", is_flag=True, help="Go on with each plan that changes.")
@cli_options.output("table", "wide", "json", "yaml", note="With --watch json is an object a line.")
def plans(
    *, server: str, namespaces: tuple[str, ...], watches: bool, form: str, **tls: Any
) -> None:
    """The plans of all workloads: demand, forecast, replicas, and how old they are. Only reads.

    `?` is not known. Status 1: the server does not answer, or refuses.
    """
    from foresail.logs import log_to_stderr
    from foresail.plans import command as plans_command

    log_to_stderr("warning")
    options = plans_command.PlansOptions(
        server=server, namespaces=namespaces, tls=cli_options.client_tls(**tls), form=form
    )
    run = plans_command.watch if watches else plans_command.show
    asyncio.run(run(options, cli_options.console(form)))
