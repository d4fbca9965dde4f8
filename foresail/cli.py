"""The `foresail` command: one verb a way in, each a thin call into the rooms.

A verb imports its own parts when it runs: the process that answers KEDA is started from here and
shall not carry the demo's or the planner's libraries.
"""

import asyncio
from importlib import metadata
from pathlib import Path
from typing import IO, Any

import click
from typing_extensions import override

from foresail.commands import (
    agents,
    backtest,
    cost,
    events,
    gpus,
    lint,
    nodes,
    plans,
    policy,
    ray,
    replay,
    tune,
)
from foresail.commands import options as cli_options
from foresail.figures import camel
from foresail.logs import log_to_stderr
from foresail.printed import FORMS, print_document
from foresail.settings.file import read
from scaler.errors import ForesailError
from scaler.message_text import printable_lines


class Refused(click.ClickException):
    """Why a command ends with status 1: one line a reason, each whole by itself."""

    @override
    def show(self, file: IO[Any] | None = None) -> None:
        # Parts of it come from a server or an object that others write.
        text = printable_lines(self.format_message())
        click.echo(text, file=file, err=file is None)


class Unanswered(Refused):
    """The question is answered, with the news that KEDA's is not."""

    exit_code = 3


class Verbs(click.Group):
    """A group whose commands say why, and no more, when Foresail refuses."""

    @override
    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except ForesailError as error:
            raise Refused(str(error)) from error


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="foresail")
def main() -> None:
    """Forecast-driven capacity for LLM inference on Kubernetes."""


@main.command()
@cli_options.output("text", "json", "yaml")
def version(form: str) -> None:
    """Show the version."""
    number = metadata.version("foresail")
    if form in FORMS:
        print_document({"version": number}, form)
    else:
        click.echo(f"foresail {number}")


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes commands and options; source it in the shell's start-up file.

    For bash: `source <(foresail completion bash)`.
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(main, {}, "foresail", "_FORESAIL_COMPLETE").source())


@main.command(short_help="Answer KEDA: the external scaler.")
@click.option("--config", type=click.Path(path_type=Path), required=True, help="The settings file.")
@cli_options.log_level
def serve(config: Path, log_level: str) -> None:
    """Answer KEDA: the external scaler, with health and metrics on a second port."""
    from foresail.serve import command as serving

    log_to_stderr(log_level)
    asyncio.run(serving.serve(read(config), log_level=log_level))


@main.command("check-config", short_help="Check a settings file.")
@click.argument("file", type=click.Path(path_type=Path))
def check_config(file: Path) -> None:
    """Check a settings file; every fault is told at once, with its line.

    Where the text is not YAML, the rest of the file cannot be checked, and the message says so.

    Status 0: in order. Status 1: faults, one a line on stderr.
    """
    from foresail.serve.command import refuse_open_plain_text

    settings = read(file)
    refuse_open_plain_text(settings)
    names = ", ".join(source.name for source in settings.sources)
    click.echo(f"{file}: in order; sources: {names}")


@main.command(short_help="Play a day of LLM traffic: no cluster, no GPU.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    help="Time for the play; other rules follow. From 120 on a whole day, else working hours.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the generated traffic.")
@click.option("--plain", is_flag=True, help="Lines for a log in place of the live screen.")
@click.option("--web", is_flag=True, help="Pages for a browser on this machine, until Ctrl-C.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Of the pages of --web; by default a free one.",
)
@cli_options.output("screen", "json", note="json is an object a line, and the scores.")
def demo(*, seconds: float, seed: int, plain: bool, web: bool, port: int, form: str) -> None:
    """A day of LLM traffic through the real scaler: no cluster, no GPU, no service."""
    from rich.console import Console

    from foresail.demo import play

    log_to_stderr("error")
    if web:
        if plain or form == "json":
            raise click.UsageError("--web shows pages: leave out --plain and -o json")
        from foresail.console.installed import require_console

        require_console()
        from foresail.console.demo import play_web

        asyncio.run(play_web(seconds=seconds, seed=seed, port=port, console=Console()))
        return
    style = play.Style.JSON if form == "json" else play.Style.PLAIN if plain else play.Style.LIVE
    asyncio.run(play.play(seconds=seconds, seed=seed, style=style, console=Console()))


@main.command(short_help="Why a workload has its replicas, or a pod its node.")
@click.argument("asked", metavar="[pod] NAMESPACE/NAME", nargs=-1, required=True)
@click.option(
    "--server",
    default="http://127.0.0.1:8080",
    show_default=True,
    help="The second port of a running `foresail serve`; for a pod, of `foresail scheduler`.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="The token of the server's listen.tokenFile, for a server that is not on loopback.",
)
@click.option(
    "--at",
    metavar="TIME",
    help="The decision in force then, as the server kept it: RFC 3339, or -2h for two hours ago.",
)
@cli_options.output("text", "json", "yaml")
def explain(
    asked: tuple[str, ...], server: str, token_file: Path | None, *, at: str | None, form: str
) -> None:
    """Why a workload has the replicas it has: readings, forecast, and each rule's step.

    With the word `pod`: why a pod was placed where it was. The columns of the best nodes' scores,
    and why the others were refused. With --at: the decision of a workload in force at that time,
    in the words of then; status 1 where none is kept.

    Status 0: KEDA gets what the mode says, or the model is only watched; a node can take the pod.
    Status 1: nothing is known of the workload or pod, or the server does not answer. Status 3: KEDA
    gets an error in place of that, or no node can take the pod; what is known is printed.
    """
    match asked:
        case ["pod", _] if at is not None:
            raise click.UsageError("--at is of workloads: no answer about a pod is kept for long")
        case ["pod", name]:
            _explain_pod(*_split(name), server, form)
        case [name]:
            _explain_workload(*_split(name), server, token_file, at, form=form)
        case _:
            message = f"{' '.join(asked)!r} is not of the form [pod] NAMESPACE/NAME"
            raise click.UsageError(message)


def _split(asked: str) -> tuple[str, str]:
    namespace, slash, name = asked.partition("/")
    if not (namespace and slash and name) or "/" in name:
        raise click.UsageError(f"{asked!r} is not of the form NAMESPACE/NAME")
    return namespace, name


def _explain_workload(
    namespace: str, name: str, server: str, token_file: Path | None, at: str | None, *, form: str
) -> None:
    from foresail.explain import workload_text as explained
    from foresail.explain.asking import accounts
    from scaler.sources.access import secret

    token = None if token_file is None else secret(token_file)
    found = asyncio.run(accounts(server, namespace, name, token=token, at=at))
    if form in FORMS:
        print_document(camel(found), form)
    else:
        click.echo("\n".join(explained.text(one) for one in found), nl=False)
    if at is not None:
        return  # what KEDA got then is said; nothing is to be done about it now
    # Of several triggers, or one before and after an edit, the last asked comes first.
    advice = explained.advice(found[0])
    if advice is not None:
        raise Unanswered(f"{namespace}/{name}: KEDA gets no number: {advice}")


def _explain_pod(namespace: str, name: str, server: str, form: str) -> None:
    from foresail.explain import pod as explained
    from foresail.explain.asking import pod_account

    account = asyncio.run(pod_account(server, namespace, name))
    if form in FORMS:
        print_document(camel(account), form)
    else:
        click.echo(explained.text(account), nl=False)
    if not account["nodes_passed"]:
        raise Unanswered(f"{namespace}/{name}: none of {account['nodes_asked']} nodes can take it")


for _verb in (
    plans.plans,
    replay.replay,
    backtest.backtest,
    tune.tune,
    gpus.gpus,
    gpus.fleet,
    cost.cost,
    gpus.claim,
    gpus.agent,
    gpus.scheduler,
    gpus.webhook,
    lint.lint,
    events.events,
    agents.agents,
    policy.policy,
    nodes.advise,
    nodes.controller,
    ray.ray_scale,
):
    main.add_command(_verb)


if __name__ == "__main__":
    main()
