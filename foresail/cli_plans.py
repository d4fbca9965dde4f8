"""The verb that shows the plans of all workloads."""

import asyncio
from pathlib import Path

import click

from foresail import cli_options

_FILE = click.Path(path_type=Path)


@click.command(short_help="The plans of all workloads, once or as they change.")
@click.option(
    "--server",
    default="127.0.0.1:6501",
    show_default=True,
    metavar="HOST:PORT",
    help="The Plans API of a running `foresail serve`: its setting plans.listen.",
)
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
@click.option("--ca", type=_FILE, help="PEM: whose servers are trusted. Default: plain text.")
@click.option("--certificate", type=_FILE, help="PEM: of a reader that plans.readers lists.")
@click.option("--key", type=_FILE, help="PEM: the private key of --certificate.")
@click.option("--server-name", help="In the server's certificate. Default: the host of --server.")
def plans(  # noqa: PLR0913 - click gives each option by name
    *,
    server: str,
    namespaces: tuple[str, ...],
    watches: bool,
    form: str,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
    server_name: str | None,
) -> None:
    """The plans of all workloads: demand, forecast, replicas, and how old they are. Only reads.

    `?` is not known. Status 1: the server does not answer, or refuses.
    """
    from foresail import plans_command
    from foresail.client import ClientTls
    from foresail.logs import log_to_stderr

    if (certificate is None) != (key is None):
        raise click.UsageError("--certificate and --key go together: give both or neither")
    if ca is None and (certificate or server_name):
        raise click.UsageError("--ca is missing: without it the server is asked in plain text")
    log_to_stderr("warning")
    tls = None
    if ca is not None:
        tls = ClientTls(ca=ca, certificate=certificate, key=key, server_name=server_name)
    options = plans_command.PlansOptions(server=server, namespaces=namespaces, tls=tls, form=form)
    run = plans_command.watch if watches else plans_command.show
    asyncio.run(run(options, cli_options.console(form)))
