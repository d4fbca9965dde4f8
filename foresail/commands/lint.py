"""The verb that checks manifests."""

import asyncio
from pathlib import Path

import click

from foresail.commands import options as cli_options


@click.command(short_help="Find mistakes in manifests.")
@click.argument("paths", metavar="[FILE|FOLDER|-]...", nargs=-1)
@click.option("--live", is_flag=True, help="Read a cluster in place of files; nothing is written.")
@cli_options.context
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="In place of $KUBECONFIG.")
@cli_options.output("text", "json", "sarif", "github")
@click.option(
    "--disable", "disabled", multiple=True, metavar="ID[,ID]", help="Rules that are not run."
)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "info"]),
    default="error",
    show_default=True,
    help="The least severity that ends with status 3.",
)
@click.option(
    "--node-lead-time",
    metavar="DURATION",
    help="From the order of a node to a replica that serves, such as 8m; else what triggers and "
    "NodeClaims say.",
)
@click.option("--explain", metavar="ID", help="Why a rule is one, and what to do.")
def lint(  # noqa: PLR0913 - a verb has as many as it has options
    *,
    paths: tuple[str, ...],
    live: bool,
    context: str | None,
    kubeconfig: Path | None,
    form: str,
    disabled: tuple[str, ...],
    fail_on: str,
    node_lead_time: str | None,
    explain: str | None,
) -> None:
    """Find mistakes in ScaledObjects, NodePools, schedulers, policies and pods.

    Status 0: nothing as grave as --fail-on. Status 1: something cannot be read. Status 2: wrong
    usage. Status 3: there are findings. The rules: docs/lint.md.
    """
    from foresail.lint import command as linting
    from policies.lint.finding import Severity
    from scaler.durations import parse_duration
    from scaler.errors import ForesailError

    try:
        ids = linting.checked_ids([*disabled, *([explain] if explain is not None else [])])
    except ForesailError as error:
        raise click.UsageError(str(error)) from error
    if explain is not None:
        click.echo(linting.explained(explain), nl=False)
        return
    if bool(paths) == live:
        raise click.UsageError("give files or folders (- reads standard input), or --live")
    if (context or kubeconfig) and not live:
        raise click.UsageError("--context and --kubeconfig name a cluster: add --live")
    lead = parse_duration(node_lead_time)
    if node_lead_time is not None and not isinstance(lead, float):
        raise click.UsageError(f"--node-lead-time {node_lead_time!r}: a duration such as 8m")
    options = linting.LintOptions(
        paths=paths,
        live=live,
        context=context,
        kubeconfig=kubeconfig,
        format=linting.Format(form),
        disabled=ids,
        fail_on=Severity(fail_on),
        node_lead_seconds=lead if isinstance(lead, float) else None,
    )
    text, status = asyncio.run(linting.lint(options))
    click.echo(text, nl=False)
    if status:
        raise click.exceptions.Exit(status)
