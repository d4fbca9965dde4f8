"""The verb that shows which agents call which model."""

import asyncio
from pathlib import Path

import click

from foresail.commands import options as cli_options


@click.command(short_help="Agents of KAgent, and the models that they call.")
@cli_options.objects
@cli_options.output("text", "json", "yaml")
def agents(
    *, files: tuple[str, ...], context: str | None, kubeconfig: Path | None, form: str
) -> None:
    """Which agents call which model, each one's share, and what to paste into the model's trigger.

    Reads Agents and ModelConfigs of KAgent, Services, HTTPRoutes, Deployments and ScaledObjects.
    Only reads. Status 1: something cannot be read.
    """
    from foresail.callers import agents_command
    from foresail.callers.agent_graph import agent_graph
    from foresail.figures import camel
    from foresail.lint.live import AGENT_PATHS, read_live
    from foresail.printed import FORMS, print_document
    from policies.lint.objects import Inputs
    from scaler.errors import ForesailError

    objects = cli_options.objects_of_files(files, context)
    if objects is None:
        live = asyncio.run(read_live(context, kubeconfig, AGENT_PATHS))
        if live.failed:
            raise ForesailError(f"the graph would be wrong: {live.failed[0]}")
        objects = live.objects
    graph = agent_graph(Inputs(objects=objects))
    if form in FORMS:
        print_document(camel(agents_command.payload(graph)), form)
    else:
        click.echo(agents_command.text(graph), nl=False)
