"""The verbs about GPUs: what there is, what to take, where it goes."""

import asyncio
from pathlib import Path
from typing import Any

import click
from typing_extensions import override

from foresail.commands import options as cli_options
from foresail.logs import log_to_stderr

_PRECISIONS = ("fp16", "bf16", "fp8", "fp4", "int4", "awq", "gptq")


@click.command(short_help="GPU generations, the cheapest for a need first.")
@click.option(
    "--memory",
    type=click.FloatRange(min=0),
    default=0.0,
    help="GiB a replica needs, of all its GPUs together.",
)
@click.option(
    "--gpus", type=click.IntRange(min=1), default=1, show_default=True, help="GPUs of a replica."
)
@click.option(
    "--precision", type=click.Choice(_PRECISIONS), help="Of the weights and the arithmetic."
)
@click.option(
    "--bottleneck",
    type=click.Choice(["prefill", "decode", "kv"]),
    default="decode",
    show_default=True,
    help="What runs out first: arithmetic, bandwidth, memory.",
)
@click.option(
    "--prices", type=click.Path(path_type=Path), help="YAML: dollars for a GPU-hour by GPU."
)
@cli_options.output("table", "json", "yaml")
def gpus(
    *,
    memory: float,
    gpus: int,
    precision: str | None,
    bottleneck: str,
    prices: Path | None,
    form: str,
) -> None:
    """GPU generations, the cheapest for a need first, and why the others are out."""
    from fleet.catalogue import Bottleneck, Need, Precision, rank, shipped
    from foresail.gpus import listing
    from foresail.prices import prices_in

    catalogue = shipped().priced(prices_in(prices, shipped())) if prices else shipped()

    need = Need(
        memory_gib=memory,
        gpus=gpus,
        precision=Precision(precision) if precision else None,
        bottleneck=Bottleneck(bottleneck),
    )
    listing.show(rank(catalogue, need), need, catalogue, form=form)


_BY = ("generation", "cluster", "pool", "node", "namespace", "model")


@click.command(short_help="Every GPU of your clusters: used, free, idle, fragmented.")
@cli_options.clusters
@click.option("--by", "bys", multiple=True, type=click.Choice(_BY), help="A table each.")
@cli_options.prometheus("That scrapes the DCGM exporters: which GPUs are idle.")
@click.option("--jobs", is_flag=True, help="Each gang: its GPUs, dollars, end, what it waits for.")
@cli_options.mlflow
@click.option("--lead-times", is_flag=True, help="How long machines and models take to start.")
@click.option(
    "--starts-file",
    type=click.Path(path_type=Path),
    help="Keeps the starts that were seen, for the lead times of the next run.",
)
@click.option("--watch", "follow", is_flag=True, help="Again with every change.")
@cli_options.output("table", "wide", "json", "yaml", note="json and yaml have each node too.")
def fleet(  # noqa: PLR0913 - click gives each option by name
    *,
    bys: tuple[str, ...],
    idle_minutes: float,
    jobs: bool,
    mlflow: str | None,
    mlflow_token: Path | None,
    experiments: tuple[str, ...],
    follow: bool,
    form: str,
    **given: Any,
) -> None:
    """Every GPU of your clusters: used, free, idle, fragmented, and its price. Only reads."""
    from fleet.tally import By
    from foresail.gpus import command as fleet_command
    from foresail.gpus import jobs_command
    from foresail.gpus.options import FleetOptions
    from foresail.meters.mlflow import server_of

    options = FleetOptions(
        bys=tuple(map(By, bys)), idle_seconds=60 * idle_minutes, form=form, **given
    )
    server = server_of(mlflow, mlflow_token, experiments)
    if jobs:
        if bys or follow or given["lead_times"]:
            raise click.UsageError("--jobs goes with neither --by, --lead-times nor --watch")
        asyncio.run(jobs_command.show(options, server, cli_options.console(form)))
        return
    if server is not None:
        raise click.UsageError("--mlflow tells of jobs: add --jobs")
    run = fleet_command.watch if follow else fleet_command.show
    asyncio.run(run(options, cli_options.console(form)))


class Claim(click.Command):
    """Takes its facts from the table that the annotations have, when it is asked for."""

    @override
    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        from foresail.placement import claiming

        return [*claiming.options(), *super().get_params(ctx)]


@click.command(cls=Claim, short_help="Write a ResourceClaimTemplate for a model.")
@click.option(
    "--for",
    "given_by",
    type=click.Choice(["dra", "device-plugin"]),
    default="dra",
    show_default=True,
    help="Who hands out the GPUs: DRA drivers, or device plugins.",
)
@click.option("--name", help="Of the template; by its content unless said.")
@click.option("-n", "--namespace", metavar="NAME", help="Of the template.")
@cli_options.own_gpu_prices
@click.option("--context", help="Of the kubeconfig: offer only DeviceClasses of its cluster.")
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="In place of $KUBECONFIG.")
@cli_options.output("yaml", "json", note="json has the whole ranking too.")
def claim(  # noqa: PLR0913 - a verb has as many as it has options
    *,
    given_by: str,
    name: str | None,
    namespace: str | None,
    prices_file: Path | None,
    context: str | None,
    kubeconfig: Path | None,
    form: str,
    **stated: str | None,
) -> None:
    """A ResourceClaimTemplate for a need, the cheapest generations first, and the reasons.

    The facts are those of a pod's `foresail.io/...` annotations: docs/claims.md.
    """
    from foresail.placement import claiming
    from scheduler.admission import GivenBy

    options = claiming.ClaimOptions(
        given_by=GivenBy(given_by),
        name=name,
        namespace=namespace,
        prices_file=prices_file,
        context=context,
        kubeconfig=kubeconfig,
    )
    claiming.show(stated, options, as_json=form == "json")


@click.command(short_help="Report a node's GPUs and NVLinks on the node object.")
@click.option("--node", envvar="NODE_NAME", help="This node's name; the variable NODE_NAME.")
@click.option(
    "--every",
    "every_seconds",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    help="Seconds between two looks; the node is only touched when something changed.",
)
@click.option("--once", is_flag=True, help="One look, then end.")
@click.option("--print", "prints", is_flag=True, help="Show the report once; touch no cluster.")
@cli_options.output("table", "json", note="With --print; json is as the annotation has it.")
@click.option(
    "--record", type=click.Path(path_type=Path), help="Write NVML's answers, without UUIDs; end."
)
@click.option(
    "--from", "recorded", type=click.Path(path_type=Path), help="Read such a file, not NVML."
)
@click.option(
    "--nccl",
    type=click.Path(path_type=Path),
    help="A file or folder with output of nccl-tests or NCCL's inspector, of the last day.",
)
@cli_options.log_level
def agent(  # noqa: PLR0913 - a verb has as many as it has options
    *,
    node: str | None,
    every_seconds: float,
    once: bool,
    prints: bool,
    form: str,
    record: Path | None,
    recorded: Path | None,
    nccl: Path | None,
    log_level: str,
) -> None:
    """Report this node's GPUs, and the NVLinks between them, in one annotation of the node."""
    from foresail.placement import agent as reporting

    log_to_stderr(log_level)
    machine = reporting.machine_of(recorded)
    if record is not None:
        reporting.record(machine, record)
    elif prints or form == "json":
        from rich.console import Console

        from foresail.placement import topology

        report = reporting.survey(machine, nccl)
        if form == "json":
            click.echo(report.text())
        else:
            topology.show(report, Console())
    elif not node:
        message = "name this node with --node or NODE_NAME, or look at its GPUs with --print"
        raise click.UsageError(message)
    else:
        every = None if once else every_seconds
        asyncio.run(reporting.run(machine, node, every_seconds=every, nccl=nccl))


@click.command(short_help="The kube-scheduler extender: where GPU pods go.")
@click.option("--listen", default="127.0.0.1:8888", show_default=True, help="For kube-scheduler.")
@click.option(
    "--http",
    default="0.0.0.0:8080",
    show_default=True,
    help="Health, metrics and explanations.",
)
@cli_options.kubeconfig_or_account
@cli_options.context
@click.option("--mix", type=click.Path(path_type=Path), help="YAML: the pods that are expected.")
@click.option(
    "--prices",
    type=click.Path(path_type=Path),
    help="As `foresail fleet` takes it: dollars for a GPU-hour, for the score.",
)
@cli_options.log_level
def scheduler(*, log_level: str, **options: Any) -> None:
    """Answer kube-scheduler, beside a second one: which nodes can take a pod, and which is best."""
    from foresail.placement import scheduling

    log_to_stderr(log_level)
    asyncio.run(scheduling.schedule(scheduling.SchedulerOptions(**options)))


@click.command(short_help="Give GPUs to pods whose annotations state a need.")
@click.option("--listen", default="0.0.0.0:8443", show_default=True, help="Admission, with TLS.")
@click.option("--http", default="0.0.0.0:8080", show_default=True, help="Health and metrics.")
@click.option(
    "--tls-certificate", "certificate", type=click.Path(path_type=Path), required=True, help="PEM."
)
@click.option(
    "--tls-key", "key", type=click.Path(path_type=Path), required=True, help="PEM: its private key."
)
@click.option(
    "--client-ca",
    type=click.Path(path_type=Path),
    help="PEM: the CA of the API server's client certificate.",
)
@click.option(
    "--client-name",
    "client_names",
    multiple=True,
    help="Common name or DNS name of that certificate; of several one must match.",
)
@click.option(
    "--any-client",
    is_flag=True,
    help="Ask for no certificate: for a port that only the API server reaches.",
)
@cli_options.kubeconfig_or_account
@cli_options.context
@click.option(
    "--gpus-by",
    "given_by",
    type=click.Choice(["dra", "device-plugin"]),
    default="dra",
    show_default=True,
    help="Who hands out the GPUs: DRA drivers, or device plugins.",
)
@cli_options.own_gpu_prices
@cli_options.log_level
def webhook(*, given_by: str, log_level: str, **options: Any) -> None:
    """Give pods that state a need their GPUs, when the API server asks about a new pod."""
    from foresail.placement import webhook as admitting
    from scheduler.admission import GivenBy

    log_to_stderr(log_level)
    made = admitting.WebhookOptions(given_by=GivenBy(given_by), **options)
    asyncio.run(admitting.serve(made))
