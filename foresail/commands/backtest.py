"""The verb that replays a workload's own past."""

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from foresail.commands import options as cli_options
from foresail.commands.node_replay import question_of
from foresail.commands.replay_options import compared, exported, no_file, read_export_of
from foresail.replaying.node_question import NodeQuestion
from foresail.settings.file import read
from scaler.errors import ForesailError

_DAYS = 7.0
"""Read from a Prometheus where nobody says how many."""
_ANSWERED = (
    "token_file",
    "context",
    "kubeconfig",
    "ttft",
    "itl",
    "gpu_price",
    "prices_file",
    "seeds",
)
"""Options of the answer with --prometheus."""
_IN_A_PLAN = ("ttft", "itl", "gpu_price")
_SCOPED = ("engine", "namespace", "match", "source")
"""Options that choose among series of engines."""
_COMPARED = ("against", "sweep", "kept", "source")
"""Options of a comparison by a plan."""


@click.command(short_help="Replay a workload's own past, from its Prometheus.")
@click.option(
    "--prometheus",
    "url",
    metavar="URL",
    help="Its Prometheus: no settings file is needed, and what a replica can do is learned.",
)
@click.option(
    "--prometheus-token-file",
    "token_file",
    type=click.Path(path_type=Path),
    help="The bearer token for --prometheus.",
)
@click.option("--config", type=click.Path(path_type=Path), help="The settings file.")
@click.option(
    "--from",
    "export",
    metavar="FILE|FOLDER",
    type=click.Path(path_type=Path),
    help="An export in its place: CSV, Parquet, Prometheus' JSON, promtool's output, or its data.",
)
@click.option("--source", help="One of its sources; the first unless said.")
@click.option(
    "--engine",
    help="The engine preset. Default: vllm; with --prometheus the one that has the model.",
)
@click.option("--model", help="The served model's name in the metrics.")
@click.option("-n", "--namespace", help="The workload's namespace.")
@click.option("--match", multiple=True, metavar="LABEL=VALUE", help="A label its series have.")
@click.option(
    "--days",
    type=click.FloatRange(min=0.02),
    help="The last days to read. Default: 7 of a Prometheus, all of an export.",
)
@click.option(
    "--context",
    metavar="NAME",
    help="With --prometheus: the kubeconfig's context whose live ScaledObject or HPA is your rule.",
)
@click.option(
    "--kubeconfig", type=click.Path(path_type=Path), help="In place of $KUBECONFIG, for --context."
)
@click.option("--ttft", type=cli_options.Duration(), help="Objective: to the first token. [2s]")
@click.option("--itl", type=cli_options.Duration(), help="Objective: between tokens. [60ms]")
@click.option(
    "--gpu-price",
    type=click.FloatRange(min=0, min_open=True),
    help="With --model: dollars for an hour of one GPU. Default: the list price.",
)
@cli_options.own_gpu_prices
@click.option(
    "--seeds",
    type=click.IntRange(min=1, max=20),
    default=3,
    show_default=True,
    help="With --prometheus: how often the traffic is drawn anew, for the intervals.",
)
@exported
@compared
def backtest(  # noqa: PLR0913 - a verb has as many as it has options
    *,
    url: str | None,
    config: Path | None,
    export: Path | None,
    source: str | None,
    engine: str | None,
    model: str | None,
    namespace: str | None,
    match: tuple[str, ...],
    days: float | None,
    **given: Any,
) -> None:
    """What Foresail would have done with a workload's last days, read from its Prometheus.

    With --prometheus and --model the answer comes on one screen: GPU-hours, dollars and requests
    in time a week, under your rule, under Foresail, and at best. Your rule is the YAML that --rule
    names, the live one of --context, or else your fleet as it was recorded. What one replica can
    do and how long it takes to start are learned from the past, and printed to paste.

    With --config the settings' source is read, and the plan says what a replica can do.

    Where no Prometheus can be reached, --from reads what somebody got out of one, or out of
    Grafana: CSV, Parquet, an answer of query_range as JSON, the output of `promtool tsdb dump` or
    `promtool query range`, and a data folder or snapshot. With series of engines and --model the
    answer is the same as the Prometheus' own. With rates, whose names are requests_per_second,
    prompt_tokens_per_second and generated_tokens_per_second or given by --column, the plan says
    what a replica can do.
    """
    from foresail.replaying import command as replaying
    from replay.traces import Trace

    nodes = question_of(given)
    answered = {name: given.pop(name) for name in _ANSWERED}
    token_file = answered.pop("token_file")
    if sum(map(bool, (url, config, export))) != 1:
        message = "one of --prometheus and --model, --config and --model, or --from"
        raise click.UsageError(message)
    _known_engine(engine)
    labels = tuple(replaying.label_of(text) for text in match)
    scope: dict[str, Any] = {"model": model, "namespace": namespace, "labels": labels}
    if export:
        found = read_export_of(export, model, given)
        if isinstance(found, Trace):
            _refuse_answered("rates")
            _refuse(_SCOPED, "rates")
            found = found if days is None else found.last(days)
            replaying.tell(found, scale_to=None, days=None, nodes=nodes, **given)
            return
        _refuse_compared(nodes)
        _refuse(("token_file",), "an export")
        _answer_export(export, found, days, {"engine": engine, **scope, **answered, **given})
        return
    no_file(given, "--from with a file")
    if not model:
        message = "--model is missing: the served model's name in the metrics"
        raise click.UsageError(message)
    days = _DAYS if days is None else days
    if url:
        from foresail.backtest import answer_command
        from foresail.backtest.recorded import RecordedByPrometheus
        from foresail.clock import wall_clock

        _refuse_compared(nodes)
        asked = {"engine": engine, "days": days, **scope, **answered, **given}
        recorded = RecordedByPrometheus(url, token_file)
        answer_command.answer(recorded, now=wall_clock(), **asked)
        return
    assert config is not None
    _refuse_answered("--config")
    _from_settings(config, source, engine, scope, days, nodes=nodes, **given)


def _refuse(names: Collection[str], where: str) -> None:
    """Refuse options that were given and change nothing there."""
    context = click.get_current_context()
    for option in context.command.params:
        given = context.get_parameter_source(str(option.name)) is ParameterSource.COMMANDLINE
        if given and option.name in names:
            message = f"{option.opts[0]} changes nothing with {where}: leave it out"
            raise click.UsageError(message)


def _refuse_answered(where: str) -> None:
    _refuse(_IN_A_PLAN, f"{where}, where a plan has it (--plan)")
    _refuse(_ANSWERED, where)


def _refuse_compared(nodes: NodeQuestion | None) -> None:
    where = "series of engines, where yours, Foresail and the best possible are compared"
    _refuse(_COMPARED, where)
    if nodes is not None:
        message = f"--nodes changes nothing with {where}: leave it out"
        raise click.UsageError(message)


def _answer_export(export: Path, recorded: Any, days: float | None, asked: dict[str, Any]) -> None:
    from foresail.backtest import answer_command
    from replay.traffic import DAY_SECONDS

    if not asked["model"]:
        message = f"--model is missing: {export} has series of engines"
        raise click.UsageError(message)
    now = recorded.end_seconds
    days = (now - recorded.begin_seconds) / DAY_SECONDS if days is None else days
    answer_command.answer(recorded, now=now, days=days, **asked)


def _known_engine(engine: str | None) -> None:
    from scaler.sources.catalogue import shipped

    if engine is not None and engine not in shipped():
        raise ForesailError(f"--engine {engine!r} is none of {', '.join(shipped())}")


def _from_settings(
    config: Path,
    source: str | None,
    engine: str | None,
    scope: dict[str, Any],
    days: float,
    *,
    nodes: NodeQuestion | None,
    **reported: Any,
) -> None:
    from foresail.backtest import backtesting
    from foresail.clock import wall_clock
    from foresail.replaying import command as replaying
    from scaler.scope import Scope

    past = asyncio.run(
        backtesting.past_of(
            read(config),
            source=source,
            engine=engine or "vllm",
            scope=Scope(**scope),
            days=days,
            now_seconds=wall_clock(),
        )
    )
    replaying.tell(past.trace, scale_to=None, days=None, nodes=nodes, **reported)
    click.echo(
        f"as it was: {past.replica_hours():,.1f} replica-hours reported over the whole past;"
        " requests that nobody answered are in no counter, and so not in this replay"
    )
