"""The verb that replays recorded or generated traffic."""

from pathlib import Path
from typing import Any

import click

from foresail.commands.node_replay import question_of
from foresail.commands.replay_options import (
    SHAPES,
    compared,
    exported,
    no_file,
    traffic_in,
)


@click.command(short_help="Recorded traffic under Foresail and other rules.")
@click.argument("trace", type=click.Path(path_type=Path), required=False)
@click.option(
    "--generate",
    "shape",
    type=click.Choice(SHAPES),
    help="Three generated days of this shape in place of a file.",
)
@click.option("--scale-to", type=click.FloatRange(min=0.1), help="Replicas the mean keeps busy.")
@click.option("--days", type=click.FloatRange(min=0.02), help="Judge only the first days.")
@exported
@compared
def replay(
    *,
    trace: Path | None,
    shape: str | None,
    scale_to: float | None,
    days: float | None,
    **reported: Any,
) -> None:
    """The shipped rule on recorded traffic, beside the rules people use today.

    With --nodes also the GPU nodes under the replicas of Foresail and of the first rule beside it,
    by Karpenter alone and by a policy: GPU-hours, why they are idle, dollars, and waits of pods.

    TRACE is CSV in bins (t_s, requests, prompt_tokens, output_tokens) or with one row a request
    (Azure's or BurstGPT's columns), Mooncake's JSON lines, or an export with rates. Where it counts
    requests only, --prompt-tokens and --output-tokens say the rest. Without one, days are
    generated.
    """
    nodes = question_of(reported)
    if trace and shape:
        message = "TRACE and --generate exclude each other"
        raise click.UsageError(message)
    from foresail.replaying import command as replaying
    from replay.generated import generated

    if trace:
        traffic = traffic_in(trace, reported)
    else:
        no_file(reported, "a TRACE")
        traffic = generated(seed=reported["seed"], days=3, shape=shape or "flash-crowd")
    if trace is None and scale_to is None:
        scale_to = replaying.GENERATED_REPLICAS
    replaying.tell(traffic, scale_to=scale_to, days=days, nodes=nodes, **reported)
