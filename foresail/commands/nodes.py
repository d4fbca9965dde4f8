"""The verbs that decide about GPU nodes."""

import asyncio
from pathlib import Path
from typing import Any

import click

from foresail.commands import options as cli_options
from foresail.logs import log_to_stderr

_LEVERS = (
    "capacityBuffer",
    "placeholder",
    "staticPool",
    "nodeHold",
    "nodeRelease",
    "podDeletionCost",
    "quietHours",
)


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
@cli_options.output("table", "wide", "json", "yaml")
def advise(*, policies: tuple[str, ...], demand: Path | None, **given: Any) -> None:
    """What policies would do with each GPU node now, and each step to it. Only reads.

    Of a record (--file) "now" is the newest time stamp in it.
    """
    from foresail.gpus.options import FleetOptions
    from foresail.policy import command

    options = command.AdviseOptions(fleet=FleetOptions(**given), policies=policies, demand=demand)
    asyncio.run(command.show(options, cli_options.console(options.fleet.form)))


@click.command(short_help="Order, hold and release GPU nodes as policies say.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE|FOLDER",
    help="Read again when it changes; CapacityPolicy objects count beside it.",
)
@click.option(
    "--mode",
    type=click.Choice(["act", "advise", "observe"]),
    default="act",
    show_default=True,
    help="act: as each policy says. advise: write nothing but Events, whatever a policy says. "
    "observe: write nothing at all.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be written; write nothing at all.")
@click.option("--once", is_flag=True, help="One round, then end.")
@click.option(
    "--withdraw", is_flag=True, help="Take back all that any controller wrote here, then end."
)
@click.option(
    "--lever",
    "levers",
    multiple=True,
    type=click.Choice(_LEVERS),
    metavar="LEVER",
    help="With --withdraw: only what this one of a policy's levers wrote.",
)
@click.option(
    "--http", default="0.0.0.0:8080", show_default=True, help="Health, metrics and the plan."
)
@cli_options.kubeconfig_or_account
@cli_options.context
@click.option(
    "-n",
    "--namespace",
    envvar="POD_NAMESPACE",
    default="foresail",
    show_default=True,
    help="Foresail's own; the variable POD_NAMESPACE.",
)
@click.option(
    "--identity", envvar="POD_NAME", help="Of this replica; the variable POD_NAME, else the host."
)
@click.option(
    "--prices", type=click.Path(path_type=Path), help="As `foresail fleet` takes it, for ceilings."
)
@click.option("--state", type=click.Path(path_type=Path), help="Folder that keeps what is learned.")
@click.option("--plans", metavar="HOST:PORT", help="The Plans API of `foresail serve`.")
@click.option(
    "--plans-ca",
    "ca",
    type=click.Path(path_type=Path),
    help="PEM: whose servers are trusted. Default: plain text.",
)
@click.option(
    "--plans-certificate",
    "certificate",
    type=click.Path(path_type=Path),
    help="PEM: of a reader that plans.readers lists.",
)
@click.option(
    "--plans-key", "key", type=click.Path(path_type=Path), help="PEM: of that certificate."
)
@cli_options.mlflow
@click.option(
    "--console",
    metavar="HOST:PORT",
    is_flag=False,
    flag_value="127.0.0.1:8081",
    help="Serve the console; without an address on 127.0.0.1:8081.",
)
@click.option(
    "--console-token-file",
    "console_token",
    type=click.Path(path_type=Path),
    help="The token for the console where it is not on loopback.",
)
@cli_options.log_level
def controller(  # noqa: PLR0913 - click gives each option by name
    *,
    mode: str,
    once: bool,
    withdraw: bool,
    levers: tuple[str, ...],
    identity: str | None,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
    mlflow: str | None,
    mlflow_token: Path | None,
    experiments: tuple[str, ...],
    log_level: str,
    **given: Any,
) -> None:
    """Order, hold and release GPU nodes as policies say. Several replicas have one leader.

    A policy of mode advise, which is the default, changes nothing: docs/controller.md.
    """
    import socket

    from rich.console import Console

    from foresail.client import ClientTls
    from foresail.controller import process, withdrawing
    from foresail.controller.options import ControllerOptions
    from foresail.meters.mlflow import server_of
    from policies.policy.pool_policy import Lever, Mode

    if (certificate is None) != (key is None):
        raise click.UsageError("--plans-certificate and --plans-key go together")
    if ca is None and certificate is not None:
        raise click.UsageError("--plans-ca is missing: without it plans are asked in plain text")
    if withdraw and (once or given["dry_run"]):
        raise click.UsageError("--withdraw goes with neither --once nor --dry-run")
    if levers and not withdraw:
        raise click.UsageError("--lever goes with --withdraw alone: a policy has spec.levers")
    if given["console"] is None and given["console_token"] is not None:
        raise click.UsageError("--console-token-file is of no use without --console")
    if given["console"] is not None:
        from foresail.console.installed import require_console

        require_console()
    log_to_stderr(log_level)
    options = ControllerOptions(
        mode=Mode.ACT if mode == "act" else Mode.ADVISE,
        observe=mode == "observe",
        identity=identity or socket.gethostname(),
        withdrawn_levers=frozenset(map(Lever, levers or Lever)),
        mlflow=server_of(mlflow, mlflow_token, experiments),
        plans_tls=None if ca is None else ClientTls(ca=ca, certificate=certificate, key=key),
        **given,
    )
    if withdraw:
        asyncio.run(withdrawing.withdraw(options))
    else:
        asyncio.run(process.once(options, Console()) if once else process.control(options))
