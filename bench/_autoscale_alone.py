"""The view `out-of-the-box`: the shipped rule is told the model's name, and nothing else.

Runs are made one after another in this process, and each row is printed when it is known. The
oracle is searched only around the share in time that the rule reached.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from time import process_time

from bench._report import Row
from replay.contest import Scenario
from replay.frontier import cheapest_known
from replay.oracle import best_found_near
from replay.policies.catalogue import kind_named
from replay.policies.variants import name_of
from replay.replay_input import ReplayInput
from replay.simulate import Day, Result, simulate
from replay.traffic import DAY_SECONDS
from replay.trigger import Overrides

OUT_OF_THE_BOX = "out-of-the-box"
NAMED_ONLY = name_of(Overrides(capacity=None, lead=None))
"""The shipped rule of which the trigger gives the model's name alone."""
_LEARNING_DAYS = 3
"""After these a workload counts as known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """A rule on one trace under one start-up."""

    scenario: Scenario
    startup: str
    policy: str
    seed: int


def rows_alone(
    runs: Sequence[Alone], *, oracle: bool, told: Callable[[Row], None] = lambda _: None
) -> list[Row]:
    """One row a run.

    Args:
        oracle: search the best schedule too, which takes about as long as the rule's run.
        told: called with each row when it is known.
    """
    rows = []
    for run in runs:
        row = _row(run, oracle=oracle)
        told(row)
        rows.append(row)
    return rows


def line_of(row: Row) -> str:
    """A row in one line, to be printed while others are still made."""
    return ", ".join(
        f"{field} {value:.4g}" if isinstance(value, float) else f"{field} {value}"
        for field, value in row.items()
    )


def _row(run: Alone, *, oracle: bool) -> Row:
    drawn = _drawn(run.scenario, run.seed)
    kind = kind_named(run.policy)
    begin = process_time()
    rule = kind.make(drawn, kind.usual)
    result = simulate(drawn, rule, name=run.policy, knob=kind.usual, seed=run.seed)
    spent = process_time() - begin
    return {
        "trace": run.scenario.trace.name,
        "startup": run.startup,
        "view": OUT_OF_THE_BOX,
        "policy": run.policy,
        "seed": run.seed,
        "days": drawn.seconds / DAY_SECONDS,
        "attainment": result.attainment,
        "worst_day": min(share for day in result.days if (share := _share([day])) is not None),
        "after_third_day": _share(result.days[_LEARNING_DAYS:]),
        "gpu_hours": result.gpu_hours,
        "oracle_ratio": _ratio(drawn, result, seed=run.seed) if oracle else None,
        "actions": result.actions,
        "cpu_seconds": spent,
    }


@lru_cache(maxsize=1)
def _drawn(scenario: Scenario, seed: int) -> ReplayInput:
    return scenario.draw(seed)


def _ratio(drawn: ReplayInput, result: Result, *, seed: int) -> float:
    """GPU-hours over those of the best schedule that is in time as often."""
    near = best_found_near(drawn, result.attainment, seed=seed)
    # A rule that is in time more often than the dearest schedule is compared with that one.
    most = max(schedule.attainment for schedule in near)
    best = cheapest_known(near, [result], min(result.attainment, most))
    assert best is not None
    return result.gpu_hours / best.gpu_hours


def _share(days: Sequence[Day]) -> float | None:
    """Of the requests in time; None where none came."""
    requests = sum(day.requests for day in days)
    return sum(day.in_time for day in days) / requests if requests else None
