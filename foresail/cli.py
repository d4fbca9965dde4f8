"""The `foresail` command: one verb a way in, each a thin call into the rooms.

A verb imports its own parts when it runs: the process that answers KEDA is started from here and
shall not carry the demo's or the planner's libraries.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import click
from typing_extensions import override

from foresail.logs import log_to_stderr
from foresail.settings import read
from scaler.errors import ForesailError


class Refused(click.ClickException):
    """Why a command ends with status 1: one line a reason, each whole by itself."""

    @override
    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.format_message(), file=file, err=file is None)


class Verbs(click.Group):
    """A group whose commands say why, and no more, when Foresail refuses."""

    @override
    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except ForesailError as error:
            raise Refused(str(error)) from error


@click.group(cls=Verbs)
@click.version_option(package_name="foresail")
def main() -> None:
    """Forecast-driven capacity for LLM inference on Kubernetes."""


@main.command()
@click.option("--config", "config", type=click.Path(path_type=Path), required=True)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning"]), default="info")
def serve(config: Path, log_level: str) -> None:
    """Answer KEDA: the external scaler, with health and metrics on a second port."""
    from foresail import serve as serving

    log_to_stderr(log_level)
    asyncio.run(serving.serve(read(config), log_level=log_level))


@main.command()
@click.option("--listen", default="127.0.0.1:8888", show_default=True, help="For kube-scheduler.")
@click.option("--http", default="0.0.0.0:8080", show_default=True, help="Health and metrics.")
@click.option("--webhook", default="0.0.0.0:8443", show_default=True, help="Admission, with TLS.")
@click.option("--tls-certificate", type=click.Path(path_type=Path), help="PEM, for admission.")
@click.option("--tls-key", type=click.Path(path_type=Path))
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="Default: the pod's account.")
@click.option("--context", help="Of the kubeconfig.")
@click.option("--mix", type=click.Path(path_type=Path), help="YAML: the pods that are expected.")
@click.option(
    "--gpus-by",
    "given_by",
    type=click.Choice(["dra", "device-plugin"]),
    default="dra",
    show_default=True,
    help="Who hands out the GPUs that pods with a need get at admission.",
)
@click.option(
    "--prices",
    "prices_file",
    type=click.Path(path_type=Path),
    help="YAML: dollars for a GPU's hour by its name, before list prices.",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning"]), default="info")
def scheduler(
    *,
    tls_certificate: Path | None,
    tls_key: Path | None,
    given_by: str,
    prices_file: Path | None,
    log_level: str,
    **options: Any,
) -> None:
    """Answer kube-scheduler, beside a second one; and, with TLS, admit pods that state a need."""
    from functools import partial

    from foresail import scheduling
    from foresail.claim_webhook import claim_webhook
    from scheduler.admission import GivenBy

    log_to_stderr(log_level)
    made = scheduling.SchedulerOptions(certificate=tls_certificate, key=tls_key, **options)
    webhook = partial(claim_webhook, given_by=GivenBy(given_by), prices_file=prices_file)
    asyncio.run(scheduling.schedule(made, webhook))


@main.command("check-config")
@click.argument("file", type=click.Path(path_type=Path))
def check_config(file: Path) -> None:
    """Check a settings file; every fault is told with its line."""
    settings = read(file)
    names = ", ".join(source.name for source in settings.sources)
    click.echo(f"{file}: in order; sources: {names}")


@main.command()
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    help="Wall time to play in: a whole day from 120 on, else its working hours.",
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--plain", is_flag=True, help="Lines for a log in place of the live screen.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, and the scores.")
def demo(*, seconds: float, seed: int, plain: bool, as_json: bool) -> None:
    """A day of LLM traffic through the real scaler: no cluster, no GPU, no service."""
    from rich.console import Console

    from foresail import play

    log_to_stderr("error")
    style = play.Style.JSON if as_json else play.Style.PLAIN if plain else play.Style.LIVE
    asyncio.run(play.play(seconds=seconds, seed=seed, style=style, console=Console()))


def _reported(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a verb that ends with a comparison of rules."""
    options = (
        click.option(
            "--plan",
            "plan_file",
            type=click.Path(path_type=Path),
            help="YAML: engine, start-up, objective, bounds. Default: a 32B model on one H100.",
        ),
        click.option(
            "--against",
            default="hpa-inflight,keda-waiting,knative-kpa,static-peak",
            show_default=True,
            help="Rules to stand beside, or `all`.",
        ),
        click.option(
            "--sweep", is_flag=True, help="Every setting of each rule: cost at equal attainment."
        ),
        click.option("--seed", type=int, default=1, show_default=True),
        click.option("--html", type=click.Path(path_type=Path), help="Write the report: one file."),
        click.option(
            "--json", "json_file", type=click.Path(path_type=Path), help="Write all results."
        ),
        click.option(
            "--kept", type=click.Path(path_type=Path), help="File of finished runs to go on from."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@click.argument("trace", type=click.Path(path_type=Path), required=False)
@click.option(
    "--generate",
    "shape",
    type=click.Choice(["diurnal", "flash-crowd", "bursts", "step", "on-off", "agentic"]),
    help="Three generated days of this shape in place of a file.",
)
@click.option("--scale-to", type=click.FloatRange(min=0.1), help="Replicas the mean keeps busy.")
@click.option("--days", type=click.FloatRange(min=0.02), help="Judge only the first days.")
@_reported
def replay(
    *,
    trace: Path | None,
    shape: str | None,
    scale_to: float | None,
    days: float | None,
    **reported: Any,
) -> None:
    """The shipped rule on recorded traffic, beside the rules people use today.

    TRACE is CSV in bins (t_s, requests, prompt_tokens, output_tokens) or with one row a request
    (Azure's or BurstGPT's columns), or Mooncake's JSON lines. Without one, days are generated.
    """
    if trace and shape:
        message = "TRACE and --generate exclude each other"
        raise click.UsageError(message)
    from foresail import replaying
    from replay.generated import generated
    from replay.traces import read as read_trace

    if trace:
        traffic = read_trace(trace)
    else:
        traffic = generated(seed=reported["seed"], days=3, shape=shape or "flash-crowd")
    if trace is None and scale_to is None:
        scale_to = replaying.GENERATED_REPLICAS
    replaying.tell(traffic, scale_to=scale_to, days=days, **reported)


@main.command()
@click.option("--config", type=click.Path(path_type=Path), help="The settings file.")
@click.option("--csv", "export", type=click.Path(path_type=Path), help="An export, in its place.")
@click.option("--source", help="One of its sources; the first unless said.")
@click.option("--engine", default="vllm", show_default=True)
@click.option("--model", help="The served model's name in the metrics.")
@click.option("--namespace", help="Of the workload.")
@click.option("--match", multiple=True, metavar="LABEL=VALUE", help="A label its series have.")
@click.option("--days", type=click.FloatRange(min=0.02), default=7.0, show_default=True)
@_reported
def backtest(  # noqa: PLR0913 - a verb has as many as it has options
    *,
    config: Path | None,
    export: Path | None,
    source: str | None,
    engine: str,
    model: str | None,
    namespace: str | None,
    match: tuple[str, ...],
    days: float,
    **reported: Any,
) -> None:
    """What Foresail would have done with a workload's last days, read from its Prometheus.

    Where that cannot be reached, --csv takes an export of it with the columns time,
    requests_per_second, prompt_tokens_per_second and generated_tokens_per_second.
    """
    from foresail import backtesting, replaying
    from foresail.clock import wall_clock
    from replay.traces import read as read_trace
    from scaler.sources.catalogue import shipped
    from scaler.sources.scope import Scope

    if export:
        replaying.tell(read_trace(export), scale_to=None, days=None, **reported)
        return
    if not (config and model):
        message = "--config and --model, or --csv"
        raise click.UsageError(message)
    if engine not in shipped():
        raise ForesailError(f"--engine {engine!r} is none of {', '.join(shipped())}")
    labels = dict(replaying.label_of(text) for text in match)
    past = asyncio.run(
        backtesting.past_of(
            read(config),
            source=source,
            engine=engine,
            scope=Scope(model=model, namespace=namespace, labels=labels),
            days=days,
            now_seconds=wall_clock(),
        )
    )
    replaying.tell(past.trace, scale_to=None, days=None, **reported)
    click.echo(
        f"as it was: {past.replica_hours():,.1f} replica-hours reported over the whole past;"
        " requests that nobody answered are in no counter, and so not in this replay"
    )


@main.command()
@click.option("--memory", type=click.FloatRange(min=0), default=0.0, help="GiB, of all its GPUs.")
@click.option("--gpus", type=click.IntRange(min=1), default=1, show_default=True, help="A replica.")
@click.option("--precision", type=click.Choice(["fp16", "bf16", "fp8", "fp4"]))
@click.option(
    "--bottleneck",
    type=click.Choice(["prefill", "decode", "kv"]),
    default="decode",
    show_default=True,
    help="What runs out first: arithmetic, bandwidth, memory.",
)
@click.option("--prices", type=click.Path(path_type=Path), help="As `foresail fleet` takes it.")
@click.option("--json", "as_json", is_flag=True)
def gpus(
    *,
    memory: float,
    gpus: int,
    precision: str | None,
    bottleneck: str,
    prices: Path | None,
    as_json: bool,
) -> None:
    """GPU generations, the cheapest for a need first, and why the others are out."""
    from fleet.catalogue import Bottleneck, Need, Precision, rank, shipped
    from foresail import listing
    from foresail.prices import prices_in

    catalogue = shipped().priced(prices_in(prices, shipped())) if prices else shipped()

    need = Need(
        memory_gib=memory,
        gpus=gpus,
        precision=Precision(precision) if precision else None,
        bottleneck=Bottleneck(bottleneck),
    )
    listing.show(rank(catalogue, need), need, catalogue, as_json=as_json)


_BY = ("generation", "cluster", "pool", "node", "namespace", "model")


@main.command()
@click.option("--context", "contexts", multiple=True, help="Of the kubeconfig; may be repeated.")
@click.option("--all-contexts", "every_context", is_flag=True)
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="In place of $KUBECONFIG.")
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="What `kubectl get -o json` wrote, a file or a folder a cluster; no cluster is asked.",
)
@click.option("--by", "bys", multiple=True, type=click.Choice(_BY), help="A table each.")
@click.option(
    "--prometheus",
    multiple=True,
    metavar="[CLUSTER=]URL",
    help="That scrapes the DCGM exporters: which GPUs are idle.",
)
@click.option("--prometheus-token-file", "token_file", type=click.Path(path_type=Path))
@click.option("--idle-minutes", type=click.FloatRange(min=1), default=30.0, show_default=True)
@click.option(
    "--prices",
    type=click.Path(path_type=Path),
    help="YAML: dollars for a GPU-hour by GPU or machine type.",
)
@click.option("--model-label", "model_labels", multiple=True, help="Pod label with the model.")
@click.option("--watch", "follow", is_flag=True, help="Again with every change.")
@click.option("--json", "as_json", is_flag=True)
def fleet(*, bys: tuple[str, ...], idle_minutes: float, follow: bool, **given: Any) -> None:
    """Every GPU of your clusters: used, free, idle, split off, and what it costs. Only reads."""
    from rich.console import Console

    from fleet.tally import By
    from foresail import fleet_command
    from foresail.fleet_options import Wanted

    wanted = Wanted(bys=tuple(map(By, bys)), idle_seconds=60 * idle_minutes, **given)
    run = fleet_command.watch if follow else fleet_command.show
    asyncio.run(run(wanted, Console()))


class Claim(click.Command):
    """Takes its facts from the table that the annotations have, when it is asked for."""

    @override
    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        from foresail import claiming

        return [*claiming.options(), *super().get_params(ctx)]


@main.command(cls=Claim)
@click.option(
    "--for",
    "given_by",
    type=click.Choice(["dra", "device-plugin"]),
    default="dra",
    show_default=True,
    help="Who hands out the GPUs: DRA drivers, or device plugins.",
)
@click.option("--name", help="Of the template; by its content unless said.")
@click.option("--namespace", help="Of the template.")
@click.option(
    "--prices",
    "prices_file",
    type=click.Path(path_type=Path),
    help="YAML: dollars for a GPU's hour by its name, before list prices.",
)
@click.option("--json", "as_json", is_flag=True, help="The object and the whole ranking.")
def claim(
    *,
    given_by: str,
    name: str | None,
    namespace: str | None,
    prices_file: Path | None,
    as_json: bool,
    **told: str | None,
) -> None:
    """A ResourceClaimTemplate for a need, the cheapest generations first, and the reasons.

    The facts are those of a pod's `foresail.io/...` annotations: docs/claims.md.
    """
    from foresail import claiming
    from scheduler.admission import GivenBy

    claiming.show(
        told,
        given_by=GivenBy(given_by),
        name=name,
        namespace=namespace,
        prices_file=prices_file,
        as_json=as_json,
    )


@main.command()
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
@click.option("--json", "as_json", is_flag=True, help="With --print: as the annotation has it.")
@click.option(
    "--record", type=click.Path(path_type=Path), help="Write NVML's answers, without UUIDs; end."
)
@click.option(
    "--from", "recorded", type=click.Path(path_type=Path), help="Read such a file, not NVML."
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning"]), default="info")
def agent(  # noqa: PLR0913 - a verb has as many as it has options
    *,
    node: str | None,
    every_seconds: float,
    once: bool,
    prints: bool,
    as_json: bool,
    record: Path | None,
    recorded: Path | None,
    log_level: str,
) -> None:
    """What GPUs this node has, and how they are joined: one annotation on its node object."""
    from foresail import agent as telling

    log_to_stderr(log_level)
    machine = telling.machine_of(recorded)
    if record is not None:
        telling.record(machine, record)
    elif prints or as_json:
        from rich.console import Console

        from foresail import topology

        report = telling.survey(machine)
        if as_json:
            click.echo(report.text())
        else:
            topology.show(report, Console())
    elif not node:
        message = "name this node with --node or NODE_NAME, or look at its GPUs with --print"
        raise click.UsageError(message)
    else:
        asyncio.run(telling.tell(machine, node, every_seconds=None if once else every_seconds))


@main.command()
@click.argument("workload", metavar="NAMESPACE/NAME")
@click.option(
    "--server",
    default="http://127.0.0.1:8080",
    show_default=True,
    help="The second port of a running `foresail serve`.",
)
@click.option("--json", "as_json", is_flag=True, help="The account as JSON.")
def explain(workload: str, server: str, *, as_json: bool) -> None:
    """Why a workload has the replicas it has: readings, forecast, and each rule's step."""
    from foresail import explain as explained

    namespace, slash, name = workload.partition("/")
    if not (namespace and slash and name):
        message = f"{workload!r} is not of the form NAMESPACE/NAME"
        raise click.UsageError(message)
    told = asyncio.run(_account(f"{server.rstrip('/')}/explain/{namespace}/{name}"))
    if as_json:
        click.echo(json.dumps(told, indent=1))
    else:
        click.echo("\n".join(explained.text(one) for one in told), nl=False)


async def _account(url: str) -> list[dict[str, Any]]:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=10)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, headers={"Accept": "application/json"}) as response,
        ):
            if not response.ok:
                raise ForesailError((await response.text()).strip())
            accounts: list[dict[str, Any]] = await response.json()
            return accounts
    except (aiohttp.ClientError, TimeoutError) as error:
        message = (
            f"no answer from {url}: {str(error) or 'timed out'}; name the server with --server"
        )
        raise ForesailError(message) from error


if __name__ == "__main__":
    main()
