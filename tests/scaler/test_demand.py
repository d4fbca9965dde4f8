"""Demand behind what engines report."""

import pytest

from scaler.decision.demand import DemandState, demand_of
from scaler.signals import Absent, Observation, Reading, Signal, Stale, Value


def seen(at_seconds: float, **values: float | Reading) -> Observation:
    readings = {
        Signal(name): value
        if isinstance(value, Value | Stale | Absent)
        else Value(value=value, at_seconds=at_seconds)
        for name, value in values.items()
    }
    return Observation(at_seconds=at_seconds, readings=readings)


STEADY = {
    "running": 40.0,
    "waiting": 0.0,
    "requests": 2.0,
    "prompt_tokens": 2000.0,
    "generated_tokens": 500.0,
}


def after_steady_hour() -> DemandState:
    state = None
    for step in range(121):
        _, state = demand_of(seen(30.0 * step, **STEADY), state)
    assert state is not None
    return state


def test_with_an_empty_queue_demand_is_what_is_served() -> None:
    demand, _ = demand_of(seen(0, **STEADY), None)

    assert (demand.prompt_tokens, demand.generated_tokens, demand.requests) == (2000, 500, 2)
    assert demand.in_flight == 40


def test_a_growing_queue_is_demand_that_was_not_served() -> None:
    # 30 more wait after 30 s: 1 request/s beyond the 2 served; a request is 1000 + 250 tokens.
    demand, _ = demand_of(seen(3630, **STEADY | {"waiting": 30.0}), after_steady_hour())

    assert demand.requests == pytest.approx(3)
    assert demand.prompt_tokens == pytest.approx(3000)
    assert demand.generated_tokens == pytest.approx(750)
    assert demand.in_flight == 70


def test_a_draining_queue_is_not_counted_twice() -> None:
    _, state = demand_of(seen(3630, **STEADY | {"waiting": 60.0}), after_steady_hour())

    # 60 fewer wait after 30 s: of the 4 requests/s served now, 2 had come before.
    served = STEADY | {"requests": 4.0, "prompt_tokens": 4000.0, "generated_tokens": 1000.0}
    demand, _ = demand_of(seen(3660, **served), state)

    assert demand.requests == pytest.approx(2)
    assert demand.prompt_tokens == pytest.approx(2000)


def test_requests_turned_away_at_the_door_are_demand() -> None:
    demand, _ = demand_of(seen(3630, **STEADY, rejected=1.0), after_steady_hour())

    assert demand.prompt_tokens == pytest.approx(3000)


def test_demand_is_never_negative() -> None:
    _, state = demand_of(seen(3630, **STEADY | {"waiting": 600.0}), after_steady_hour())

    demand, _ = demand_of(seen(3660, **STEADY), state)

    assert demand.prompt_tokens == 0
    assert demand.requests == 0


@pytest.mark.parametrize(
    "reading", [Absent(why="renamed"), Stale(at_seconds=0.0)], ids=["absent", "stale"]
)
def test_what_is_not_measured_is_unknown_and_not_zero(reading: Reading) -> None:
    demand, _ = demand_of(seen(30, **STEADY | {"prompt_tokens": reading}), None)

    assert demand.prompt_tokens is None
    assert demand.generated_tokens == 500


def test_the_queue_is_compared_with_its_last_measured_length_across_a_gap() -> None:
    _, state = demand_of(seen(3630, **STEADY | {"waiting": Absent(why="gap")}), after_steady_hour())

    # 60 more wait than 60 s ago, when the queue was last measured.
    demand, _ = demand_of(seen(3660, **STEADY | {"waiting": 60.0}), state)

    assert demand.requests == pytest.approx(3)


def test_the_mix_of_tokens_is_relearnt_by_time() -> None:
    state = after_steady_hour()
    long_prompts = STEADY | {"prompt_tokens": 8000.0}
    for step in range(1, 122):
        _, state = demand_of(seen(3600 + 30.0 * step, **long_prompts), state)

    per_request = state.mix.prompt_tokens_per_request()

    # An hour is six half-lives: 1/64 of the old 1000 is left in the new 4000.
    assert per_request == pytest.approx(4000 - 3000 / 64, rel=0.01)


def test_tokens_without_a_counted_request_do_not_make_requests_longer_than_any_context() -> None:
    state = after_steady_hour()
    for minute in range(24 * 60):
        _, state = demand_of(seen(3600.0 + 60 * minute, **{**STEADY, "requests": 0.0}), state)

    queued = {**STEADY, "requests": 0.0, "waiting": 10.0}
    demand, _ = demand_of(seen(25 * 3600.0, **queued), state)
    assert (demand.prompt_tokens, demand.generated_tokens) == (2000, 500)


def test_a_queue_after_an_idle_weekend_is_counted_by_the_mix_of_before() -> None:
    idle = {**STEADY, "requests": 0.0, "prompt_tokens": 0.0, "generated_tokens": 0.0}
    state = after_steady_hour()
    for minute in range(48 * 60):
        _, state = demand_of(seen(3600.0 + 60 * minute, **idle), state)

    demand, _ = demand_of(seen(49 * 3600.0, **{**idle, "waiting": 60.0}), state)
    # 60 requests of 1,000 and 250 tokens within a minute.
    assert demand.prompt_tokens == pytest.approx(1000)
    assert demand.generated_tokens == pytest.approx(250)
