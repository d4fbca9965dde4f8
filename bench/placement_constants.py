"""The placement rule's constants, each swept alone on clusters and mixes that are made up.

Nothing is read from a trace: a constant that is chosen here has not seen what `bench placement`
judges it on. Each row is the allocation above FGD's, in points: while pods only arrive, when 100 %
and 130 % of the GPUs have been asked for, and where pods leave, at a load of 100 %. `worst` is the
mean of the family that gains least. The shipped value is marked; to change one, look for a value
that is better in the mean and no worse in the worst family, and away from a step between rows.
"""

import argparse
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from rich.progress import Progress

from bench._placement_generated import FAMILIES, generated, pairs
from bench._placement_rules import Fgd, Foresail
from bench._placement_run import Make, fill_up, with_departures
from bench._placement_trace import mix_of
from bench._report import Row, show
from scheduler.score.constants import SHIPPED, RuleConstants

_LOAD = 1.0
_FACTORS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
"""Of the shipped value."""


@dataclass(frozen=True, slots=True)
class _Gain:
    """Points of allocation above FGD's, on one cluster."""

    at_100: float
    at_130: float
    leaving: float


def main(arguments: list[str]) -> None:
    names = [one.name for one in fields(RuleConstants)]
    parser = argparse.ArgumentParser(
        prog="python -m bench placement_constants", description=__doc__
    )
    parser.add_argument("--constants", nargs="+", choices=names, default=names, help="default: all")
    parser.add_argument(
        "--factors", type=float, nargs="+", default=_FACTORS, help="of the shipped value"
    )
    parser.add_argument(
        "--families",
        nargs="+",
        choices=FAMILIES,
        default=list(FAMILIES),
        help="of clusters and mixes; default: all",
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the clusters and mixes"
    )
    parser.add_argument("--quick", action="store_true", help="one seed, half, whole and double")
    parser.add_argument("--json", type=Path, help="file for the rows as JSON")
    options = parser.parse_args(arguments)
    if options.quick:
        options.seeds, options.factors = options.seeds[:1], (0.5, 1.0, 2.0)
    clusters = pairs(options.families, options.seeds)
    rows: list[Row] = []
    with Progress(transient=True) as progress:
        runs = 1 + len(options.constants) * len(options.factors)
        task = progress.add_task("placing", total=runs * len(clusters))

        def measured(make: Make) -> dict[tuple[str, int], _Gain]:
            result = {}
            for family, seed in clusters:
                result[family, seed] = _allocation(family, seed, make)
                progress.advance(task)
            return result

        fgd = measured(Fgd)
        for name in options.constants:
            shipped = getattr(SHIPPED, name)
            for factor in options.factors:
                constants = replace(SHIPPED, **{name: shipped * factor})
                gains = measured(partial(Foresail, constants=constants))
                rows.append(_row(name, shipped * factor, factor == 1, _above(gains, fgd)))
    show("placement_constants", vars(options), rows, options.json)


def _allocation(family: str, seed: int, make: Make) -> _Gain:
    nodes, pods = generated(family, seed)
    mix = mix_of(pods)
    filled = fill_up(nodes, pods, mix, seed, make)
    leaving = with_departures(nodes, pods, mix, seed, make, load=_LOAD)
    assert filled.allocation_130 is not None
    return _Gain(filled.allocation_100, filled.allocation_130, leaving.allocation_100)


def _above(
    ours: dict[tuple[str, int], _Gain], theirs: dict[tuple[str, int], _Gain]
) -> dict[tuple[str, int], _Gain]:
    return {
        key: _Gain(
            one.at_100 - theirs[key].at_100,
            one.at_130 - theirs[key].at_130,
            one.leaving - theirs[key].leaving,
        )
        for key, one in ours.items()
    }


def _row(name: str, value: float, shipped: bool, gains: dict[tuple[str, int], _Gain]) -> Row:  # noqa: FBT001 a column
    table = np.array([[one.at_100, one.at_130, one.leaving] for one in gains.values()])
    families = [
        np.mean([[one.at_100, one.at_130, one.leaving] for _, one in group], axis=0)
        for _, group in groupby(gains.items(), key=lambda item: item[0][0])
    ]
    at_100, at_130, leaving = table.mean(axis=0).tolist()
    return {
        "constant": name,
        "value": value,
        "shipped": shipped,
        "at_100": at_100,
        "at_130": at_130,
        "leaving": leaving,
        "mean": float(table.mean()),
        "worst": float(np.min(families)),
    }


if __name__ == "__main__":
    main([])
