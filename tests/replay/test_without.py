"""Parts of the shipped rule that a replay switches off: what is left then."""

from collections.abc import Iterator
from functools import lru_cache

from replay.policies.catalogue import kind_named
from replay.simulate import Mark, simulate
from tests.replay.small import small_input

SECONDS = 5400
"""The jump comes after an hour, without notice."""


@lru_cache
def plans_of(name: str) -> tuple[list[str], tuple[Mark, ...]]:
    """The rule's reasons, one a change of replicas, and its minutes."""
    kind, replay_input = kind_named(name), small_input().first(SECONDS)
    rule = kind.make(replay_input, kind.usual)
    result = simulate(replay_input, rule, name=name, knob=kind.usual, seed=1, marks=True)
    return [move.why for move in result.moves], result.marks


def forecasts_in(plans: list[str]) -> Iterator[str]:
    return (line for plan in plans for line in plan.splitlines() if line.startswith("forecast:"))


def test_without_the_forecast_the_present_with_head_room_is_left() -> None:
    plans, _ = plans_of("foresail+without=forecast")
    assert plans
    assert not any("GPU-minutes a late minute" in line for line in forecasts_in(plans))


def test_without_the_tail_the_median_is_planned_for() -> None:
    (_, whole), (_, flat) = plans_of("foresail"), plans_of("foresail+without=tail")
    assert sum(mark.replicas for mark in flat) < sum(mark.replicas for mark in whole)


def test_without_the_floor_a_queue_asks_for_nothing() -> None:
    (_, whole), (_, alone) = plans_of("foresail"), plans_of("foresail+without=floor")
    assert sum(mark.missed for mark in alone) > sum(mark.missed for mark in whole)


def test_a_quantile_takes_the_place_of_the_cost() -> None:
    plans, _ = plans_of("foresail+quantile=0.95")
    assert plans
    assert not any("GPU-minutes a late minute" in line for line in forecasts_in(plans))
