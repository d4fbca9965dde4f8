"""Options that several verbs have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from typing_extensions import override

from scaler.durations import parse_duration

Command = TypeVar("Command", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """Seconds, written as `90s`, `10m` or `1h30m`."""

    name = "duration"

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The seconds of a written duration, more than none."""
        seconds = parse_duration(value)
        if not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
            self.fail(f"{value!r} is no duration such as 90s, 10m or 1h30m", param, ctx)
        return float(seconds)


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Options as one decorator; the help shows them in this order."""

    def given(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return given


log_level = click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning"]),
    default="info",
    show_default=True,
    help="The least level that is logged, on stderr.",
)


def output(*forms: str, note: str = "") -> Callable[[Command], Command]:
    """The form of the results on stdout, as kubectl has it.

    Args:
        forms: the first is the default.
        note: about one of them.
    """
    return click.option(
        "-o",
        "--output",
        "form",
        metavar="|".join(forms),
        type=click.Choice(forms),
        default=forms[0],
        show_default=True,
        help=f"The form of the output.{f' {note}' if note else ''}",
    )


def console(form: str) -> Any:
    """Of stdout, without a limit of columns for the form `wide`."""
    # The process that answers KEDA is started from here, and shall not carry rich.
    from rich.console import Console

    from foresail.printed import WIDE

    return Console(width=WIDE) if form == "wide" else Console()


kubeconfig_or_account = click.option(
    "--kubeconfig", type=click.Path(path_type=Path), help="Default: the pod's account."
)
context = click.option("--context", help="A context of the kubeconfig.")
objects = together(
    click.option(
        "-f",
        "--file",
        "files",
        multiple=True,
        metavar="FILE|FOLDER|-",
        help="With the objects; no cluster is asked. May be repeated.",
    ),
    context,
    click.option("--kubeconfig", type=click.Path(path_type=Path), help="In place of $KUBECONFIG."),
)
"""Where a verb reads the objects that it looks at."""
own_gpu_prices = click.option(
    "--prices",
    "prices_file",
    type=click.Path(path_type=Path),
    help="The file of `foresail fleet`: what it says of GPUs goes before list prices.",
)


def clusters(command: Command) -> Command:
    """Which clusters are read, or files in place of them, and what GPUs cost."""
    options = (
        click.option(
            "--context",
            "contexts",
            multiple=True,
            help="A context of the kubeconfig; may be repeated.",
        ),
        click.option(
            "--all-contexts", "every_context", is_flag=True, help="Each one of the kubeconfig."
        ),
        click.option(
            "--kubeconfig", type=click.Path(path_type=Path), help="In place of $KUBECONFIG."
        ),
        click.option(
            "--file",
            "files",
            multiple=True,
            type=click.Path(path_type=Path),
            help="What `kubectl get -o json` wrote, a file or a folder a cluster; no cluster is "
            "asked.",
        ),
        click.option(
            "--prices",
            type=click.Path(path_type=Path),
            help="YAML: dollars for a GPU-hour by GPU or machine type.",
        ),
        click.option(
            "--model-label",
            "model_labels",
            multiple=True,
            help="Pod label with the model, before the usual ones; may be repeated.",
        ),
    )
    return together(*options)(command)


def prometheus(what_for: str) -> Callable[[Command], Command]:
    """Which Prometheus is asked.

    Args:
        what_for: the help of the option.
    """
    options = (
        click.option("--prometheus", multiple=True, metavar="[CLUSTER=]URL", help=what_for),
        click.option(
            "--prometheus-token-file",
            "token_file",
            type=click.Path(path_type=Path),
            help="The bearer token for Prometheus.",
        ),
        click.option(
            "--idle-minutes",
            type=click.FloatRange(min=1),
            default=30.0,
            show_default=True,
            help="A GPU without work for so long is idle.",
        ),
    )
    return together(*options)


def plans_server(command: Command) -> Command:
    """Which Plans API is read, and by which certificates; `client_tls` takes the latter."""
    file = click.Path(path_type=Path)
    options = (
        click.option(
            "--server",
            default="127.0.0.1:6501",
            show_default=True,
            metavar="HOST:PORT",
            help="The Plans API of a running `foresail serve`: its setting plans.listen.",
        ),
        click.option(
            "--ca", type=file, help="PEM: whose servers are trusted. Default: plain text."
        ),
        click.option("--certificate", type=file, help="PEM: of a reader that plans.readers lists."),
        click.option("--key", type=file, help="PEM: the private key of --certificate."),
        click.option(
            "--server-name", help="In the server's certificate. Default: the host of --server."
        ),
    )
    return together(*options)(command)


def objects_of_files(files: tuple[str, ...], context: str | None) -> Any:
    """The objects in the files of `objects`; None where none is named and a cluster is asked.

    Raises:
        click.UsageError: files and a cluster.
        ForesailError: a file cannot be read.
    """
    from foresail.lint.files import read_paths
    from scaler.errors import ForesailError

    if not files:
        return None
    if context is not None:
        raise click.UsageError("--file reads no cluster: leave --context out")
    read = read_paths(files)
    if read.findings:
        first = read.findings[0]
        raise ForesailError(f"{first.file}: {first.subject}: {first.why}")
    return read.objects


def client_tls(
    *, ca: Path | None, certificate: Path | None, key: Path | None, server_name: str | None
) -> Any:
    """The `ClientTls` of the options of `plans_server`; None = plain text.

    Raises:
        click.UsageError: the options do not go together.
    """
    from foresail.client import ClientTls

    if (certificate is None) != (key is None):
        raise click.UsageError("--certificate and --key go together: give both or neither")
    if ca is not None:
        return ClientTls(ca=ca, certificate=certificate, key=key, server_name=server_name)
    if certificate or server_name:
        raise click.UsageError("--ca is missing: without it the server is asked in plain text")
    return None


def mlflow(command: Command) -> Command:
    """Which MLflow server is asked for training runs."""
    options = (
        click.option(
            "--mlflow",
            metavar="URL",
            help="MLflow's tracking server: when the gangs of training runs end.",
        ),
        click.option(
            "--mlflow-token-file",
            "mlflow_token",
            type=click.Path(path_type=Path),
            help="A bearer token for MLflow, or USER:PASSWORD.",
        ),
        click.option(
            "--mlflow-experiment",
            "experiments",
            multiple=True,
            metavar="NAME",
            help="Whose runs are read; may be repeated. Default: all.",
        ),
    )
    return together(*options)(command)
