"""One model on two kinds of GPU: dollars and late requests, planned together and each on its own.

A gateway spreads the requests over all ready replicas, by what they serve. Each kind has a
ScaledObject under the shipped rule:

* each-alone: without `replicaPrice`, so each follows the demand that it sees;
* together: with it, so that the model's whole demand is planned, and filled cheapest first.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from rich.progress import Progress

from bench._report import Row, show
from bench._traces import generated_days, trace_option
from fleet.catalogue import shipped
from fleet.iteration import MODELS
from replay.derived import derived
from replay.fleet import FleetSettings
from replay.policies.shipped import FORESAIL, Foresail
from replay.pool import Tenant, play
from replay.profile import EngineProfile
from replay.replay_input import Platform, ReplayInput, draw_input, fixed_start_up
from replay.simulate import Result
from replay.traces import Trace
from replay.traffic import DAY_SECONDS
from replay.trigger import Overrides
from scaler.serving.shares import Shares

WAYS = ("each-alone", "together")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of GPU that serves the model."""

    name: str
    profile: EngineProfile
    usd_per_hour: float
    """Of one replica."""
    most: int
    """Replicas that can be had."""


def main(arguments: list[str]) -> None:
    options = _options(arguments)
    prices = options.prices or [None] * len(options.gpus)
    if not len(options.most) == len(options.gpus) == len(prices):
        raise SystemExit(
            f"bench variants: {len(options.gpus)} kinds of GPU, {len(options.most)} maximums and "
            f"{len(prices)} prices: give one each"
        )
    kinds = [
        kind_of(options.model, name, most, price)
        for name, most, price in zip(options.gpus, options.most, prices, strict=True)
    ]
    inputs = inputs_of(
        options.trace or generated_days(),
        kinds,
        mean=options.mean,
        startup=options.startup,
        seed=options.seed,
    )
    if options.days is not None:
        inputs = [one.first(int(options.days * DAY_SECONDS)) for one in inputs]
    rows: list[Row] = []
    with Progress(transient=True) as progress:
        for way in progress.track(WAYS, description="replaying"):
            rows += rows_of(way, kinds, results_of(way, kinds, inputs, seed=options.seed))
    asked = vars(options) | {"trace": (options.trace or generated_days()).name}
    show("variants", asked, rows, options.json)


def kind_of(model: str, generation: str, most: int, usd_per_hour: float | None = None) -> Kind:
    """A model on one GPU of a generation, by default at its list price."""
    known = {one.name: one for one in shipped().generations}
    if generation not in known:
        names = ", ".join(known)
        raise SystemExit(f"bench variants: no GPU {generation!r}: take one of {names}")
    price = usd_per_hour or known[generation].usd_per_hour
    if price is None:
        raise SystemExit(f"bench variants: no list price of {generation}: give --prices")
    profile = derived(MODELS[model], known[generation])
    return Kind(name=generation, profile=profile, usd_per_hour=price, most=most)


def inputs_of(
    trace: Trace, kinds: Sequence[Kind], *, mean: float, startup: float, seed: int
) -> list[ReplayInput]:
    """One drawing of the requests, for each kind; each saw an equal part of the past."""
    part = 1 / len(kinds)
    inputs: list[ReplayInput] = []
    for kind in kinds:
        platform = Platform(
            profile=kind.profile,
            fleet=FleetSettings(start_up=fixed_start_up(startup), rows=4 * kind.most),
            replicas_max=kind.most,
        )
        first = inputs[0] if inputs else draw_input(trace, platform, seed=seed, replicas_mean=mean)
        past = first.past
        if not inputs:
            past = replace(
                past,
                requests_per_second=past.requests_per_second * part,
                prompt_tokens_per_second=past.prompt_tokens_per_second * part,
                generated_tokens_per_second=past.generated_tokens_per_second * part,
            )
        one = replace(first, name=kind.name, platform=platform, past=past)
        # Each begins with what its part of the first minute keeps busy, and a quarter more.
        busy = first.expected[:60].max() * part / one.replica_requests_per_second
        inputs.append(replace(one, replicas_at_start=min(max(1, ceil(busy / 0.8)), kind.most)))
    return inputs


def results_of(
    way: str, kinds: Sequence[Kind], inputs: Sequence[ReplayInput], *, seed: int
) -> list[Result]:
    """The runs of all kinds, side by side."""
    shares = Shares({})
    tenants = []
    for kind, one in zip(kinds, inputs, strict=True):
        keys: tuple[tuple[str, str], ...] = (("matchLabels", f"gpu={kind.name}"),)
        if way == "together":
            keys += (("replicaPrice", f"{kind.usd_per_hour:g}"),)
        policy = Foresail(one, FORESAIL.usual, Overrides(keys=keys), shares)
        tenants.append(Tenant(replay_input=one, policy=policy))
    gpus = sum(one.platform.fleet.rows * one.platform.profile.gpus for one in inputs)
    return play(tenants, gpus, seed=seed, one_model=True)


def rows_of(way: str, kinds: Sequence[Kind], results: Sequence[Result]) -> list[Row]:
    """A row for each kind, and their sum."""
    late = [result.requests * (1 - result.attainment) for result in results]
    dollars = [
        result.gpu_hours / kind.profile.gpus * kind.usd_per_hour
        for kind, result in zip(kinds, results, strict=True)
    ]
    rows = [
        _row(way, kind.name, result.requests, one, result.gpu_hours, paid)
        for kind, result, one, paid in zip(kinds, results, late, dollars, strict=True)
    ]
    requests = sum(result.requests for result in results)
    hours = sum(result.gpu_hours for result in results)
    return [*rows, _row(way, "all", requests, sum(late), hours, sum(dollars))]


def _row(
    way: str, variant: str, requests: float, late: float, gpu_hours: float, dollars: float
) -> Row:
    return {
        "way": way,
        "variant": variant,
        "requests": requests,
        "late": late,
        "attainment": 1 - late / requests if requests else None,
        "gpu_hours": gpu_hours,
        "dollars": dollars,
    }


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench variants", description=__doc__)
    parser.add_argument(
        "--trace", type=trace_option, help="CSV of requests; default: generated days"
    )
    parser.add_argument(
        "--model", choices=sorted(MODELS), default="llama-3.1-8b",
        help="whose shape makes the engine (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--gpus", type=_names, default=["h100-sxm", "l40s"],
        help="kinds of GPU, with commas (default: h100-sxm,l40s)",
    )  # fmt: skip
    parser.add_argument(
        "--most", type=_counts, default=[16, 16],
        help="replicas of each kind that can be had, with commas (default: 16,16)",
    )  # fmt: skip
    parser.add_argument(
        "--prices", type=_amounts,
        help="dollars an hour of a replica of each kind, with commas; default: list prices",
    )  # fmt: skip
    parser.add_argument(
        "--mean", type=float, default=6.0,
        help="replicas of the first kind that the mean demand keeps busy (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--startup", type=float, default=300.0,
        help="seconds from an order to a replica that serves (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument("--days", type=float, help="judge only the first days")
    parser.add_argument("--seed", type=int, default=1, help="of the random draws (default: 1)")
    parser.add_argument("--json", type=Path, help="file for the rows as JSON")
    return parser.parse_args(arguments)


def _names(text: str) -> list[str]:
    return text.split(",")


def _counts(text: str) -> list[int]:
    return [int(one) for one in text.split(",")]


def _amounts(text: str) -> list[float]:
    return [float(one) for one in text.split(",")]
