"""The options of verbs that replay traffic: the file it is read from, and the rules compared."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from foresail.commands import options as cli_options
from foresail.commands.node_replay import node_options
from scaler.errors import ForesailError

SHAPES = ("diurnal", "flash-crowd", "bursts", "step", "on-off", "agentic")
"""Of generated days."""


def writable(_context: click.Context, _option: click.Parameter, path: Path | None) -> Path | None:
    """Refuse a file that could not be written when the work is done."""
    if path is None:
        return None
    if path.is_dir():
        message = f"{path} is a folder; name a file in it"
        raise click.BadParameter(message)
    if not path.parent.is_dir():
        message = f"{path}: there is no folder {path.parent}"
        raise click.BadParameter(message)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        message = f"{path} may not be written"
        raise click.BadParameter(message)
    return path


def exported(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a verb that reads what a monitoring system exported."""
    options = (
        click.option(
            "--timezone",
            metavar="ZONE",
            help="Of times in the file that name none, such as Europe/Berlin: the dashboard's.",
        ),
        click.option(
            "--column",
            "columns",
            multiple=True,
            metavar="RATE=TITLE",
            help="Which series of the file is requests_per_second, prompt_tokens_per_second or"
            " generated_tokens_per_second. May be repeated.",
        ),
    )
    return _lengths(cli_options.together(*options)(command))


def _lengths(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a verb that reads a file which may count requests only."""
    for name in ("--output-tokens", "--prompt-tokens"):
        command = click.option(
            name,
            type=click.FloatRange(min=0, min_open=True),
            help="Of a request, on average: for a file that counts requests and no tokens.",
        )(command)
    return command


def read_export_of(path: Path, model: str | None, options: dict[str, Any]) -> Any:
    """A trace, or series of engines; takes the options out of all those of a verb."""
    from foresail.exports.moments import zone_named
    from foresail.exports.rates import columns_given
    from foresail.exports.reading import Asked, read_export
    from foresail.replaying import command as replaying

    asked = Asked(
        model=model,
        zone=zone_named(options.pop("timezone")),
        columns=columns_given(options.pop("columns")),
        lengths=replaying.lengths_of(options.pop("prompt_tokens"), options.pop("output_tokens")),
    )
    return read_export(path, asked)


def traffic_in(path: Path, options: dict[str, Any]) -> Any:
    """The trace in a file; takes the options out of all those of a verb.

    Raises:
        ForesailError: it cannot be used, or has series of engines in place of rates.
    """
    from replay.traces import Trace

    found = read_export_of(path, None, options)
    if not isinstance(found, Trace):
        raise ForesailError(
            f"{path}: series of engines: foresail backtest --from {path} --model MODEL reads them"
        )
    return found


def no_file(options: dict[str, Any], wanted: str) -> None:
    """Refuse the options that are about a file where there is none, and take them out."""
    for name in ("prompt_tokens", "output_tokens", "timezone", "columns"):
        if options.pop(name):
            option = "--" + name.removesuffix("s" if name == "columns" else "").replace("_", "-")
            message = f"{option} is for {wanted} that lacks it: leave it out"
            raise click.UsageError(message)


def compared(command: Callable[..., None]) -> Callable[..., None]:
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
            "--rule",
            "rule_files",
            multiple=True,
            type=click.Path(path_type=Path),
            help="A rule of your own: Python with a class `Rule`, or the YAML of your ScaledObject"
            " or HPA. May be repeated.",
        ),
        click.option(
            "--sweep", is_flag=True, help="Every setting of each rule: cost at equal attainment."
        ),
        click.option(
            "--seed",
            type=int,
            default=1,
            show_default=True,
            help="Of the drawn requests and starts.",
        ),
        click.option(
            "--html",
            type=click.Path(path_type=Path),
            callback=writable,
            help="Write the report: one file.",
        ),
        click.option(
            "--json",
            "json_file",
            type=click.Path(path_type=Path),
            callback=writable,
            help="Write all results.",
        ),
        cli_options.output("table", "json", "yaml"),
        click.option(
            "--kept",
            type=click.Path(path_type=Path),
            callback=writable,
            help="File of finished runs to go on from.",
        ),
    )
    return node_options(cli_options.together(*options)(command))
