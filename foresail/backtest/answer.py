"""The five-minute answer: a workload's past under its own rule and under Foresail, by the week.

Each is run on the same drawn traffic for several seeds, beside the cheapest schedule found. What
was learned, what had to be assumed, and what speaks for or against the numbers come with them.
"""

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from statistics import fmean

import numpy as np

from foresail.backtest.backtesting import STEP_SECONDS, Past
from foresail.replaying.report import FORESAIL, Report, percent
from replay.contest import ORACLE, Entry, Scenario, contest
from replay.frontier import cheapest_known
from replay.limits import Limit
from replay.past_capacity import LearnedReplica
from replay.policies.port import PolicyKind
from replay.replay_input import ReplayInput
from replay.simulate import Result
from replay.traffic import Floats

WEEK_HOURS = 168.0
ORACLE_PRICES = (2.0, 5.0, 12.0, 40.0, 400.0)
"""Of a late request: enough of `RHOS` to find what the usual objectives cost."""
_CLEAR_COST = 0.01
_CLEAR_POINTS = 0.001
_GAP_MINUTES_MAX = 60
"""Without series; longer ones are a fleet at zero."""
"""Shares in time that differ by less are the same to a reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One rule over a week; a number a seed."""

    name: str
    gpu_hours: tuple[float, ...]
    in_time: tuple[float, ...]

    @property
    def mean_hours(self) -> float:
        return fmean(self.gpu_hours)

    @property
    def mean_in_time(self) -> float:
        return fmean(self.in_time)


class Better(StrEnum):
    """What the comparison comes to."""

    FORESAIL = "foresail"
    YOURS = "yours"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """All that is shown."""

    replay_input: ReplayInput
    """Of the first seed."""
    asked: float
    """Share in time that costs are compared at."""
    yours: Row
    ours: Row
    best: Row
    limits: tuple[Limit, ...]
    gpu_usd_hour: float | None
    past: Past
    replica: LearnedReplica | None
    """None where it could not be learned."""
    starts_seconds: tuple[float, ...]
    starting_seconds: float
    """Of all pods of this past that started in it, together."""
    rule: str
    gpu: str
    metadata: Mapping[str, str]
    assumed: tuple[str, ...]
    results: Mapping[str, Result]
    """Of the first seed, with marks."""
    first_seed: int
    kinds: Mapping[str, PolicyKind]
    oracle: Sequence[Result]

    @property
    def seeds(self) -> int:
        return len(self.yours.gpu_hours)

    def usd(self, gpu_hours: float) -> float | None:
        return None if self.gpu_usd_hour is None else gpu_hours * self.gpu_usd_hour

    def recorded_hours(self) -> float:
        """GPU-hours a week, of pods that reported in the judged minutes and of known starts.

        Minutes of which nothing is known count as those beside them, unless they are many in a row:
        a fleet at zero has no series.
        """
        judged = self.replay_input.seconds - self.replay_input.run_in_seconds
        minutes = _joined(self.past.load.replicas)[-round(judged / STEP_SECONDS) :]
        replicas = float(minutes.mean())
        replicas += self.starting_seconds / self.past.trace.seconds
        return replicas * self.replay_input.platform.fleet.gpus_per_replica * WEEK_HOURS


def _joined(replicas: Floats) -> Floats:
    """Each minute's replicas; short gaps are joined by a straight line, long ones are zero."""
    known = np.flatnonzero(np.isfinite(replicas))
    if not len(known):
        return np.zeros_like(replicas)
    places = np.arange(len(replicas))
    after = np.minimum(np.searchsorted(known, places), len(known) - 1)
    before = np.maximum(np.searchsorted(known, places, side="right") - 1, 0)
    is_short = known[after] - known[before] <= _GAP_MINUTES_MAX
    found: Floats = np.where(is_short, np.interp(places, known, replicas[known]), 0.0)
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Runs:
    """What a comparison found."""

    yours: Row
    ours: Row
    best: Row
    results: Mapping[str, Result]
    oracle: Sequence[Result]


def compared(
    scenario: Scenario,
    yours: str,
    *,
    seeds: Sequence[int],
    asked: float,
    advance: Callable[[int, int], None],
) -> Runs:
    """Run both rules and the oracle on every seed.

    Args:
        yours: the name of the scenario's own rule.
        advance: told how many runs are done, and of how many.
    """
    policies = [(FORESAIL, scenario.kind(FORESAIL).usual), (yours, 0.0)]
    entries = [
        Entry(scenario=0, policy=policy, knob=knob, seed=seed, marks=seed == seeds[0])
        for seed in seeds
        for policy, knob in (*policies, *((ORACLE, price) for price in ORACLE_PRICES))
    ]
    done = 0

    def progress() -> None:
        nonlocal done
        done += 1
        advance(done, len(entries))

    found = contest([scenario], entries, progress=progress)
    drawn = scenario.draw(seeds[0])
    weeks = WEEK_HOURS * 3600 / (drawn.seconds - drawn.run_in_seconds)

    def of(policy: str, seed: int) -> list[Result]:
        return [found[one] for one in entries if (one.policy, one.seed) == (policy, seed)]

    def row(policy: str) -> Row:
        results = [of(policy, seed)[0] for seed in seeds]
        return Row(
            name=policy,
            gpu_hours=tuple(one.gpu_hours * weeks for one in results),
            in_time=tuple(one.attainment for one in results),
        )

    points = []
    for seed in seeds:
        ran = [*of(FORESAIL, seed), *of(yours, seed)]
        point = cheapest_known(of(ORACLE, seed), ran, asked)
        assert point is not None
        points.append(point)
    return Runs(
        yours=row(yours),
        ours=row(FORESAIL),
        best=Row(
            name="best possible",
            gpu_hours=tuple(one.gpu_hours * weeks for one in points),
            in_time=tuple(one.attainment for one in points),
        ),
        results={name: of(name, seeds[0])[0] for name in (FORESAIL, yours)},
        oracle=of(ORACLE, seeds[0]),
    )


def report_of(answer: Answer) -> Report:
    """The first seed as the report of a replay, for its page."""
    _, said = verdict(answer)
    return Report(
        replay_input=answer.replay_input,
        attainment=answer.asked,
        limits=answer.limits,
        usual=dict(answer.results),
        oracle=list(answer.oracle),
        sweeps={},
        gpu_usd_hour=answer.gpu_usd_hour,
        kinds=answer.kinds,
        seed=answer.first_seed,
        command=shlex.join(["foresail", *sys.argv[1:]]),
        version=metadata.version("foresail"),
        answer=f"{said} Below is the first of {answer.seeds} seeds." if answer.seeds > 1 else said,
    )


def better(yours: Row, ours: Row, asked: float) -> Better:
    """Which of the two to take, where every seed says the same."""
    cost = _dearer(ours, yours)
    more = [a - b for a, b in zip(ours.in_time, yours.in_time, strict=True)]
    we_keep, they_keep = (min(row.in_time) >= asked for row in (ours, yours))
    if we_keep and they_keep:
        return _by_sign([-one for one in cost], _CLEAR_COST)
    if we_keep != they_keep:
        return Better.FORESAIL if we_keep else Better.YOURS
    in_time, cheaper = _by_sign(more, _CLEAR_POINTS), _by_sign([-one for one in cost], _CLEAR_COST)
    if {in_time, cheaper} == {Better.FORESAIL, Better.YOURS}:
        return Better.UNCLEAR  # more of one for less of the other: a matter of taste
    return cheaper if in_time is Better.UNCLEAR else in_time


def _dearer(ours: Row, yours: Row) -> list[float]:
    """What ours costs beyond yours, as a share of it; a seed each."""
    return [
        a / b - 1 if b else float("inf") if a else 0.0
        for a, b in zip(ours.gpu_hours, yours.gpu_hours, strict=True)
    ]


def _by_sign(gains: Sequence[float], clear: float) -> Better:
    """Foresail's where all gains are clear, yours where all are clear losses."""
    if min(gains) > clear:
        return Better.FORESAIL
    return Better.YOURS if max(gains) < -clear else Better.UNCLEAR


def verdict(answer: Answer) -> tuple[Better, str]:
    """The answer in words, with its cost and its risk."""
    yours, ours = answer.yours, answer.ours
    found = better(yours, ours, answer.asked)
    hours = ours.mean_hours - yours.mean_hours
    cost = f"{abs(hours):,.0f} GPU-hours a week {'more' if hours > 0 else 'less'}"
    usd = answer.usd(abs(hours))
    if usd is not None:
        share = f", {abs(hours) / yours.mean_hours:.0%}" if yours.mean_hours else ""
        cost += f" (${usd:,.0f}{share})"
    points = 100 * (ours.mean_in_time - yours.mean_in_time)
    late = f"{points:+z.2f} points of requests in time"
    keeps = who_keeps(yours, ours, answer.asked)
    match found:
        case Better.FORESAIL:
            return found, f"Yes, switch: Foresail takes {cost}, with {late}. {keeps}"
        case Better.YOURS:
            return found, (
                f"No, your rule is better here: Foresail takes {cost}, with {late}. {keeps}"
            )
        case Better.UNCLEAR:
            return found, (
                f"No clear winner: Foresail takes {cost}, with {late}."
                f" {why_unclear(yours, ours)} {keeps}"
            )


def why_unclear(yours: Row, ours: Row) -> str:
    """The reason in a sentence."""
    cost = _dearer(ours, yours)
    if min(cost) < -_CLEAR_COST and max(cost) > _CLEAR_COST:
        return (
            f"The seeds disagree: from {min(cost):+.0%} to {max(cost):+.0%} GPU-hours, so more days"
            " or --seeds are needed."
        )
    points = [a - b for a, b in zip(ours.in_time, yours.in_time, strict=True)]
    if abs(min(cost, key=abs)) <= _CLEAR_COST or abs(min(points, key=abs)) <= _CLEAR_POINTS:
        return "The difference is too small to matter."
    return "One is cheaper and the other more often in time: the choice is yours."


def who_keeps(yours: Row, ours: Row, asked: float) -> str:
    """Which of the two keep the objective; with how many seeds, where not all say the same."""
    seeds = len(yours.in_time)
    kept = (sum(one >= asked for one in yours.in_time), sum(one >= asked for one in ours.in_time))
    share = f"{percent(asked)} in time"
    who = {
        (seeds, seeds): f"Both keep {share}.",
        (seeds, 0): f"Only yours keeps {share}.",
        (0, seeds): f"Only Foresail keeps {share}.",
        (0, 0): f"Neither keeps {share}.",
    }
    counted = f"Of {seeds} seeds yours keeps {share} with {kept[0]}, Foresail with {kept[1]}."
    return who.get(kept, counted)
