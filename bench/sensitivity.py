"""What a wrong guess costs: capacity or lead time given too high, too low, or not at all.

Every run is compared with the one that was told the truth on the same traffic, over its first two
hours and over the rest. That run learns nothing beside it. `none` = the trigger gives nothing of
it; 1 = it gives the truth, and the rule learns on. One figure is wrong at a time; where both lists
have `none`, one more run is given nothing but the model's name.

The columns `learned` are what the rule planned with at the end of the window: its requests a second
a replica over what the truth is at that moment's mix, and its lead time.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path

from pydantic import TypeAdapter
from rich.progress import Progress

from bench._report import Row, show
from bench._traces import generated_days, trace_option
from replay.contest import Entry, Scenario, contest
from replay.fleet import FleetSettings
from replay.measured import SIX, Tables
from replay.policies.shipped import FORESAIL
from replay.policies.variants import name_of
from replay.profile import QWEN3_32B_FP8_H100, EngineProfile
from replay.replay_input import REPLICAS_MAX, Platform, fixed_start_up, served_in_time
from replay.simulate import Result, Window
from replay.trigger import Overrides

TRUTH = Overrides(keys=(("capacity", "fixed"), ("lead", "fixed")))
"""What every other run is compared with: the true figures, and nothing learned beside them."""
CUT_SECONDS = 2 * 3600
_NONE, _TRUTH = "none", "truth"
Factor = float | None


def main(arguments: list[str]) -> None:
    options = _options(arguments)
    places = list(product(options.trace, options.profiles))
    scenarios = [
        Scenario(
            trace=trace,
            platform=Platform(
                profile=profile,
                fleet=FleetSettings(
                    start_up=fixed_start_up(options.startup), rows=2 * REPLICAS_MAX
                ),
            ),
            replicas_mean=options.replicas_mean,
            days_max=options.days,
        )
        for trace, profile in places
    ]
    guesses = wrong_guesses(options.capacity, options.lead)
    entries = {
        (place, guess): Entry(
            scenario=place,
            policy=name_of(guess),
            knob=FORESAIL.usual,
            seed=options.seed,
            cut_seconds=CUT_SECONDS,
        )
        for place in range(len(places))
        for guess in guesses
    }
    with Progress(transient=True) as progress:
        task = progress.add_task("replaying", total=len(entries))
        results = contest(
            scenarios,
            list(entries.values()),
            kept=options.kept,
            progress=lambda: progress.advance(task),
        )
    rows: list[Row] = []
    for place, (trace, profile) in enumerate(places):
        by_guess = {guess: results[entries[place, guess]] for guess in guesses}
        rows += rows_of(trace.name, profile, by_guess, scenarios[place].platform)
    asked = vars(options) | {
        "trace": [trace.name for trace in options.trace],
        "profiles": [profile.name for profile in options.profiles],
    }
    show("sensitivity", asked, rows, options.json)


def wrong_guesses(capacities: Sequence[Factor], leads: Sequence[Factor]) -> list[Overrides]:
    """The truth first; each figure wrong by itself; nothing given, where both lists have none."""
    guesses = [TRUTH]
    guesses += [Overrides(capacity=factor) for factor in capacities]
    guesses += [Overrides(lead=factor) for factor in leads]
    if None in capacities and None in leads:
        guesses.append(Overrides(capacity=None, lead=None))
    return list(dict.fromkeys(guesses))


def rows_of(
    trace: str, profile: EngineProfile, results: Mapping[Overrides, Result], platform: Platform
) -> Iterable[Row]:
    """Two rows a run, in the order of the guesses."""
    truth = results[TRUTH].windows
    for guess, result in results.items():
        begin = 0
        for window, true in zip(result.windows, truth, strict=True):
            yield {
                "trace": trace,
                "profile": profile.name,
                "capacity": _TRUTH if guess == TRUTH else _text(guess.capacity),
                "lead": _TRUTH if guess == TRUTH else _text(guess.lead),
                "hours": f"{begin / 3600:g}-{window.until_seconds / 3600:g}",
                "attainment": _attainment(window),
                "gpu_hours": window.counted.gpu_seconds / 3600,
                "truth_ratio": window.counted.gpu_seconds / true.counted.gpu_seconds,
                **_learned(window, platform),
            }
            begin = window.until_seconds


def _learned(window: Window, platform: Platform) -> dict[str, float | None]:
    figures = window.figures
    if figures is None:
        return {"learned_capacity_ratio": None, "learned_lead_seconds": None}
    true = served_in_time(platform, figures.prompt_tokens, figures.output_tokens)
    return {
        "learned_capacity_ratio": figures.replica_requests_per_second / true,
        "learned_lead_seconds": figures.lead_seconds,
    }


def _attainment(window: Window) -> float | None:
    counted = window.counted
    return counted.in_time / counted.requests if counted.requests else None


def _text(factor: Factor) -> str:
    return _NONE if factor is None else f"{factor:g}"


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench sensitivity", description=__doc__)
    parser.add_argument(
        "--trace",
        type=trace_option,
        nargs="+",
        help="CSVs of requests to play; default: generated days",
    )
    parser.add_argument(
        "--profiles", type=_profiles, nargs="+", metavar="PATH",
        help="JSON of a replica's engine, or a folder with measured tables (linear_layers.csv, "
        "all_reduce.csv), of which six are made; default: Qwen3-32B in FP8 on an H100",
    )  # fmt: skip
    parser.add_argument(
        "--capacity", type=_factors, default="0.5,0.7,1,1.4,2,none",
        help="what the capacity given is of the true one, or none (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--lead", type=_factors, default="0.5,1,2,none",
        help="what the lead time given is of the true one, or none (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--startup", type=float, default=300.0,
        help="seconds from an order to a replica that serves (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--replicas-mean", type=float, default=8.0,
        help="that the trace keeps busy: it is scaled to this (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--days", type=float, default=1.0, help="judged of each trace (default: %(default)g)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random draws (default: 1)")
    parser.add_argument("--kept", type=Path, help="file of finished runs, to go on from")
    parser.add_argument(
        "--quick", action="store_true", help="four hours, the first two profiles, few guesses"
    )
    parser.add_argument("--json", type=Path, help="file for the rows as JSON")
    options = parser.parse_args(arguments)
    options.trace = options.trace or [generated_days()]
    given = options.profiles or [[QWEN3_32B_FP8_H100]]
    options.profiles = [profile for profiles in given for profile in profiles]
    if options.quick:
        options.days = min(options.days, 4 / 24)
        options.profiles = options.profiles[:2]
        options.capacity, options.lead = (0.5, 1.0, None), (1.0, None)
    if options.days * 86400 <= CUT_SECONDS:
        parser.error(f"--days {options.days:g} leaves nothing after the first two hours")
    return options


def _profiles(text: str) -> list[EngineProfile]:
    path = Path(text)
    if path.is_dir():
        tables = Tables(path)
        return [tables.profile(measured) for measured in SIX]
    return [TypeAdapter(EngineProfile).validate_json(path.read_text(encoding="utf-8"))]


def _factors(text: str) -> list[Factor]:
    try:
        factors = [None if one == _NONE else float(one) for one in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r}: factors above 0 with commas, or none"
        ) from error
    if not all(factor is None or factor > 0 for factor in factors):
        raise argparse.ArgumentTypeError(f"{text!r}: a factor must be above 0")
    return factors
