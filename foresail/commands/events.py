"""The verb that announces CronJobs to the models they call."""

import asyncio
from pathlib import Path

import click

from foresail.commands import options as cli_options


@click.command(short_help="Events of CronJobs that call a model, for its trigger.")
@cli_options.objects
@cli_options.output("text", "json", "yaml")
def events(
    *, files: tuple[str, ...], context: str | None, kubeconfig: Path | None, form: str
) -> None:
    """What to paste into the metadata of triggers, so that bursts of CronJobs are foreseen.

    A CronJob names the model that it calls: foresail.io/calls-model: NAMESPACE/NAME of its
    ScaledObject. Only reads. Status 1: something cannot be read.
    """
    from foresail.callers import events_command
    from foresail.callers.cron_events import cron_events
    from foresail.clock import wall_clock
    from foresail.figures import camel
    from foresail.lint.live import read_cron_jobs
    from foresail.printed import FORMS, print_document

    objects = cli_options.objects_of_files(files, context)
    if objects is None:
        objects = asyncio.run(read_cron_jobs(context, kubeconfig))
    found, now = cron_events(objects), wall_clock()
    if form in FORMS:
        print_document(camel(events_command.payload(found, now)), form)
    else:
        click.echo(events_command.text(found, now), nl=False)
