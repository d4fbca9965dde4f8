"""The past that the console keeps: bounded, with gaps, and a decision for each new number."""

from math import isnan

from foresail.console.history import Bounds, History
from scaler.rpc.foresail.v1 import plans_pb2 as pb
from tests.foresail.console.plans import NOW, plan

BOUNDS = Bounds(step_seconds=60.0, samples_max=5, decisions_max=3)


def taken(*plans: object) -> History:
    history = History(BOUNDS)
    for one in plans:
        history.take(one)  # type: ignore[arg-type]
    return history


def test_a_sample_is_kept_for_each_step() -> None:
    history = taken(*(plan(at=NOW + 15 * look, planned=look) for look in range(9)))

    assert history.series.at_seconds == (NOW, NOW + 60, NOW + 120)
    assert history.series.planned == (0.0, 4.0, 8.0)
    assert history.series.demand == (3500.0,) * 3
    assert history.series.ready == (5.0,) * 3


def test_what_was_not_measured_is_a_gap() -> None:
    series = taken(
        plan(), plan(at=NOW + 60, demand=None, signals={}, valid_for_seconds=None)
    ).series

    assert isnan(series.demand[1])
    assert isnan(series.ready[1])
    assert isnan(series.planned[1])  # a plan that stands no longer is no plan


def test_a_time_without_looks_is_a_gap() -> None:
    series = taken(plan(), plan(at=NOW + 600)).series

    assert series.at_seconds == (NOW, NOW + 60, NOW + 600)
    assert [isnan(value) for value in series.demand] == [False, True, False]


def test_the_oldest_samples_and_decisions_go() -> None:
    history = taken(*(plan(at=NOW + 60 * look, planned=look) for look in range(50)))

    assert history.series.planned == (45.0, 46.0, 47.0, 48.0, 49.0)
    assert [one.planned for one in history.decisions] == [49, 48, 47]


def test_a_decision_is_kept_with_its_steps_when_its_number_is_new() -> None:
    step = pb.PlanStep(rule="forecast", text="6 in 5m", replicas=6.0)
    history = taken(plan(), plan(at=NOW + 15), plan(at=NOW + 30, planned=6, steps=(step,)))

    newest, first = history.decisions
    assert (first.before, first.planned) == (None, 5)
    assert (newest.before, newest.planned, newest.at_seconds) == (5, 6, NOW + 30)
    assert [one.text for one in newest.steps] == ["6 in 5m"]
