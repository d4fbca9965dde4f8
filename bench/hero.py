"""`python -m bench hero`: the picture of README: a day's demand, its replicas, and the dollars.

The demo's day (`foresail demo`, seed 1) is replayed under Foresail and under a fixed fleet that
holds its peak. The picture keeps the numbers that it was drawn from, so that a test can draw it
again and replay its first hours.

`--seeds` draws nothing: it compares Foresail with the demo's hand-tuned rule on days of these
seeds. One day decides little: a crowd without notice costs what replicas happen to be there.
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from html import unescape
from pathlib import Path
from typing import Final

from bench._hero_picture import Day, Fleet, picture
from bench._report import Row, show
from bench._seeds import seeds
from fleet.catalogue import shipped
from foresail.demo.play import PEERS
from replay.generated_day import DEFAULT, draw
from replay.policies.catalogue import KINDS
from replay.replay_input import ReplayInput
from replay.simulate import Result, simulate

SEED: Final = 1
GPU: Final = "h100-sxm"
FIXED, OURS = "static-peak", "foresail"
_PICTURE: Final = Path(__file__).parents[1] / "docs" / "hero.svg"
_STEP_MINUTES: Final = 5
_RULES: Final = (
    (OURS, OURS, None),
    *((peer.name, peer.policy, peer.knob) for peer in PEERS if peer.policy == "hpa-inflight"),
)
"""Name, policy and knob: Foresail, and the demo's HPA as it comes and tuned by hand."""
_NUMBERS: Final = re.compile(r"<metadata>(.*?)</metadata>", re.DOTALL)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench hero", description=__doc__)
    parser.add_argument("--svg", type=Path, default=_PICTURE, help="file to write (docs/hero.svg)")
    parser.add_argument("--seeds", type=seeds, metavar="LIST", help="such as 1-3: a table instead")
    parser.add_argument("--json", type=Path, help="of --seeds: also write the rows here")
    given = parser.parse_args(arguments)
    if given.seeds:
        show("hero", vars(given), compared(given.seeds), given.json)
        return
    day = played(draw(DEFAULT, seed=SEED))
    given.svg.write_text(drawn(numbers_of(day)), encoding="utf-8")
    for fleet in (day.fixed, day.ours):
        print(f"{fleet.name}: {fleet.in_time:.2%} in time, {fleet.gpu_hours:.1f} GPU-hours")
    print(f"wrote {given.svg}")


def compared(days: Sequence[int]) -> list[Row]:
    """A row for each rule and day, then the means."""
    rows: list[Row] = []
    for name, policy, knob in _RULES:
        results = []
        for seed in days:
            replay_input = draw(DEFAULT, seed=seed)
            results.append(_run(replay_input, policy, knob=knob, seed=seed))
        rows += [_row(name, seed, [one]) for seed, one in zip(days, results, strict=True)]
        rows.append(_row(name, "mean", results))
    return sorted(rows, key=lambda row: str(row["seed"]))


def _row(name: str, seed: int | str, results: Sequence[Result]) -> Row:
    return {
        "seed": seed,
        "policy": name,
        "in_time": sum(one.attainment for one in results) / len(results),
        "gpu_hours": sum(one.gpu_hours for one in results) / len(results),
        "moves": sum(one.actions for one in results) / len(results),
    }


def played(replay_input: ReplayInput) -> Day:
    """The replay of a day, or of its first hours."""
    gpu = shipped().find(GPU)
    usd = gpu.usd_per_hour_of(1) if gpu else None
    assert usd is not None, f"no price of {GPU} in the catalogue"
    need = replay_input.need_by_minute().tolist()
    return Day(
        need=_means(need),
        fixed=_fleet(_run(replay_input, FIXED)),
        ours=_fleet(_run(replay_input, OURS)),
        gpu_usd_hour=usd,
    )


def numbers_of(day: Day) -> dict[str, object]:
    """As the picture keeps them."""
    return {
        "need": [round(value, 2) for value in day.need],
        "gpuUsdHour": day.gpu_usd_hour,
        **{
            key: {
                "name": fleet.name,
                "ready": [round(value, 2) for value in fleet.ready],
                "gpuHours": round(fleet.gpu_hours, 2),
                "inTime": round(fleet.in_time, 5),
            }
            for key, fleet in (("fixed", day.fixed), ("ours", day.ours))
        },
    }


def drawn(numbers: Mapping[str, object]) -> str:
    """The picture of these numbers, with them inside."""
    return picture(_day(numbers), json.dumps(numbers, separators=(",", ":")))


def numbers_in(svg: str) -> dict[str, object]:
    """What a picture was drawn from."""
    found = _NUMBERS.search(svg)
    if found is None:
        raise ValueError("the picture has no numbers in its <metadata>")
    numbers: dict[str, object] = json.loads(unescape(found[1]))
    return numbers


def _day(numbers: Mapping[str, object]) -> Day:
    need, usd = numbers["need"], numbers["gpuUsdHour"]
    assert isinstance(need, list)
    assert isinstance(usd, float)
    fleets = []
    for key in ("fixed", "ours"):
        one = numbers[key]
        assert isinstance(one, dict)
        fleets.append(
            Fleet(
                name=one["name"],
                ready=one["ready"],
                gpu_hours=one["gpuHours"],
                in_time=one["inTime"],
            )
        )
    return Day(need=need, fixed=fleets[0], ours=fleets[1], gpu_usd_hour=usd)


def _run(
    replay_input: ReplayInput, name: str, *, knob: float | None = None, seed: int = SEED
) -> Result:
    kind = KINDS[name]
    knob = kind.usual if knob is None else knob
    policy = kind.make(replay_input, knob)
    return simulate(replay_input, policy, name=name, knob=knob, seed=seed, marks=True)


def _fleet(result: Result) -> Fleet:
    return Fleet(
        name=result.policy,
        ready=_means([float(mark.ready) for mark in result.marks]),
        gpu_hours=result.gpu_hours,
        in_time=result.attainment,
    )


def _means(values: Sequence[float]) -> list[float]:
    """Of each `_STEP_MINUTES`."""
    return [
        sum(part) / len(part)
        for at in range(0, len(values), _STEP_MINUTES)
        if (part := values[at : at + _STEP_MINUTES])
    ]
