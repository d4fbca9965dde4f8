"""The options of `bench autoscale`."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter

from bench._autoscale_alone import NAMED_ONLY, OUT_OF_THE_BOX
from bench._autoscale_parts import ABLATION, PARTS
from bench._autoscale_table import HINDSIGHT, NIGHTLY
from bench._seeds import seeds
from bench._traces import day_long, generated_days, trace_option
from fleet.objective import ITL_SECONDS, TTFT_SECONDS
from replay.contest import ORACLE
from replay.nodes import NodePool
from replay.policies.catalogue import KINDS, kind_named
from replay.policies.variants import UnknownVariantError
from replay.profile import QWEN3_32B_FP8_H100, EngineProfile
from replay.replay_input import REPLICAS_MAX, fixed_start_up
from replay.start_up import FIVE_MINUTES, StartUp

VIEWS = ("usual", "equal", NIGHTLY)


def options_of(arguments: list[str], about: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench autoscale", description=about)
    parser.add_argument(
        "--trace",
        type=trace_option,
        nargs="+",
        help="CSVs of requests to play, or generated:SHAPE; default: generated days, and out of "
        "the box all public traces of a day or longer",
    )
    parser.add_argument(
        "--tune-on", type=trace_option, nargs="+",
        help="CSVs on which the knobs of the equal view are chosen; default: generated days",
    )  # fmt: skip
    parser.add_argument(
        "--priors", type=Path, metavar="FOLDER",
        help="FAMILY.npz grown by `forecast_prior --leave-out FAMILY`: each trace is judged with "
        "the one that has not seen its family",
    )  # fmt: skip
    parser.add_argument("--kept", type=Path, help="file of finished runs, to go on from")
    parser.add_argument(
        "--startup", type=_start_ups, default="300",
        help="seconds from an order to a replica that serves, or `measured`; several with commas "
        "(default: 300)",
    )  # fmt: skip
    parser.add_argument("--gpus-per-node", type=int, help="model nodes, and count their hours")
    parser.add_argument(
        "--consolidate-after", type=float, default=0.0,
        help="seconds until an empty node goes, with --gpus-per-node (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--ttft", type=float, default=TTFT_SECONDS,
        help="seconds to the first token that are in time (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--itl", type=float, default=ITL_SECONDS,
        help="seconds between tokens that are in time (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--policies", type=_policies,
        help="rules to compare, with commas; default: all, and out of the box the shipped one that "
        "is told the model's name alone. foresail+KEY=VALUE is the shipped rule "
        "with another key in its trigger; capacityTimes and leadTimes, a number or none, make what "
        "it is given wrong",
    )  # fmt: skip
    parser.add_argument(
        "--parts", action="store_true",
        help="beside the rules, the shipped one with each of its parts removed",
    )  # fmt: skip
    parser.add_argument(
        "--ablation", action="store_true",
        help=f"the shipped rule that is told the model's name alone, with each of its parts "
        f"switched off in turn; rows as in --view {OUT_OF_THE_BOX}",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=seeds, default="1",
        help="of the random draws: `1-5`, `1,3` or `1` (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--replica", type=_profile, default=QWEN3_32B_FP8_H100, metavar="JSON",
        help="profile of a replica's engine; default: Qwen3-32B in FP8 on an H100",
    )  # fmt: skip
    parser.add_argument(
        "--replicas-mean", type=float, default=8.0,
        help="that the trace keeps busy: it is scaled to this (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--replicas-max", type=int,
        help=f"that a rule may order (default: {REPLICAS_MAX}, or as `foresail replay`, twice what"
        " the busiest minute needs, where that is more)",
    )  # fmt: skip
    parser.add_argument(
        "--attainment", type=float, default=0.99,
        help="part of the requests in time that the equal view compares at (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--gpu-usd-hour", type=float, help="dollars for a GPU-hour: fills the column cost_usd"
    )
    parser.add_argument(
        "--view", type=_views, default=["usual"],
        help=f"of {', '.join((*VIEWS, HINDSIGHT, OUT_OF_THE_BOX))}, with commas (default: usual); "
        f"{HINDSIGHT} is the half of equal that needs no other traces; {OUT_OF_THE_BOX} stands "
        "alone, and prints each row when it is known",
    )  # fmt: skip
    parser.add_argument("--tune", action="store_true", help="all three views")
    parser.add_argument("--days", type=float, help="judge only the first days of each trace")
    parser.add_argument(
        "--last-days", type=float,
        help="take only the last days of each trace, of which the first third is the past",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="half a day, usual settings")
    parser.add_argument("--json", type=Path, help="file for the rows as JSON")
    options = parser.parse_args(arguments)
    if options.quick:
        options.days = options.days or 0.5
    options.nodes = options.gpus_per_node and NodePool(
        gpus_per_node=options.gpus_per_node,
        consolidate_after_seconds=options.consolidate_after,
    )
    if options.tune:
        options.view = list(VIEWS)
    _with_policies(options, parser)
    _with_traces(options)
    return options


def _with_policies(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """The rules to run, by the view and the parts."""
    if options.ablation:
        options.view = [OUT_OF_THE_BOX]
        options.policies = list(dict.fromkeys([*ABLATION.values(), *(options.policies or [])]))
    alone = OUT_OF_THE_BOX in options.view
    if alone and (len(options.view) > 1 or options.parts):
        parser.error(f"--view {OUT_OF_THE_BOX} stands alone: leave out other views and --parts")
    options.policies = options.policies or ([NAMED_ONLY, ORACLE] if alone else [*KINDS, ORACLE])
    if options.parts:
        options.policies = list(dict.fromkeys([*PARTS.values(), *options.policies]))


def _with_traces(options: argparse.Namespace) -> None:
    """The traces to play, and what cannot be used of them."""
    public = day_long() if OUT_OF_THE_BOX in options.view and not options.ablation else []
    options.trace = options.trace or public or [generated_days()]
    if options.last_days is not None:
        options.trace = [trace.last(options.last_days) for trace in options.trace]
    options.tune_on = options.tune_on or [generated_days()]
    for trace in (*options.trace, *options.tune_on):
        if complaint := trace.complaint():
            print(complaint)


def _start_ups(text: str) -> dict[str, StartUp]:
    """By the text that names each."""
    return {
        one: FIVE_MINUTES if one == "measured" else fixed_start_up(float(one))
        for one in text.split(",")
    }


def _profile(text: str) -> EngineProfile:
    return TypeAdapter(EngineProfile).validate_json(Path(text).read_text(encoding="utf-8"))


def _policies(text: str) -> list[str]:
    names = text.split(",")
    try:
        for name in names:
            if name != ORACLE and "+" in name:
                kind_named(name)
    except UnknownVariantError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    _among([name for name in names if "+" not in name], [*KINDS, ORACLE])
    return names


def _views(text: str) -> list[str]:
    return _among(text.split(","), (*VIEWS, HINDSIGHT, OUT_OF_THE_BOX))


def _among(names: list[str], known: Iterable[str]) -> list[str]:
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
    return names
