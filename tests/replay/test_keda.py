"""KEDA's decision table, cooldown and fallback counting."""

import pytest

from replay.control import Control, Due
from replay.hpa import AverageValue
from replay.keda import (
    Failure,
    Fallback,
    FallbackBehavior,
    KedaState,
    Ready,
    ScaledObject,
    ScalerAnswer,
    SpecFailure,
    Value,
    poll,
    read,
)

ACTIVE = Value(total=3, target=1, is_active=True)
IDLE = Value(total=0, target=1, is_active=False)
FAILED = Failure(why="UNAVAILABLE")


def test_activation_from_zero_goes_to_the_minimum() -> None:
    _, from_zero = poll(
        ScaledObject(replicas_min=3), KedaState(), ACTIVE, replicas=0, now_seconds=7
    )
    assert from_zero.replicas == 3
    state, from_zero = poll(ScaledObject(), KedaState(), ACTIVE, replicas=0, now_seconds=7)
    assert from_zero.replicas == 1
    assert state.last_active_seconds == 7


def test_activation_lifts_an_idle_workload_past_its_minimum() -> None:
    scaled = ScaledObject(replicas_min=4, replicas_idle=0)
    _, decision = poll(scaled, KedaState(), ACTIVE, replicas=2, now_seconds=0)
    assert decision.replicas == 4


@pytest.mark.parametrize(
    ("scaled", "answer", "replicas", "ready"),
    [
        pytest.param(ScaledObject(), ACTIVE, 5, Ready.TRUE, id="active"),
        pytest.param(ScaledObject(), FAILED, 5, Ready.FALSE, id="error-no-fallback"),
        pytest.param(ScaledObject(), FAILED, 0, Ready.FALSE, id="error-at-zero"),
        pytest.param(
            ScaledObject(fallback=Fallback(failure_threshold=3, replicas=6)),
            FAILED,
            5,
            Ready.TRUE,
            id="error-with-fallback",
        ),
        pytest.param(ScaledObject(replicas_min=2), IDLE, 5, Ready.TRUE, id="idle-above-minimum"),
    ],
)
def test_above_zero_keda_holds_and_leaves_the_rest_to_the_hpa(
    scaled: ScaledObject, answer: ScalerAnswer, replicas: int, ready: Ready
) -> None:
    _, decision = poll(scaled, KedaState(), answer, replicas=replicas, now_seconds=10_000)
    assert (decision.replicas, decision.ready) == (replicas, ready)


def test_inactive_goes_to_zero_from_any_count_when_cooled_down() -> None:
    scaled = ScaledObject(cooldown_period_seconds=300)
    state = KedaState(last_active_seconds=1000)
    _, before = poll(scaled, state, IDLE, replicas=17, now_seconds=1299)
    _, after = poll(scaled, state, IDLE, replicas=17, now_seconds=1300)
    assert (before.replicas, after.replicas) == (17, 0)


def test_a_new_object_with_an_idle_trigger_goes_to_zero_on_its_first_poll() -> None:
    _, decision = poll(ScaledObject(), KedaState(), IDLE, replicas=4, now_seconds=0)
    assert decision.replicas == 0


def test_initial_cooldown_counts_from_creation() -> None:
    scaled = ScaledObject(initial_cooldown_period_seconds=120)
    state = KedaState(created_seconds=50)
    _, before = poll(scaled, state, IDLE, replicas=4, now_seconds=169)
    _, after = poll(scaled, state, IDLE, replicas=4, now_seconds=170)
    assert (before.replicas, after.replicas) == (4, 0)


def test_fallback_to_zero_falls_through_to_the_cooldown() -> None:
    scaled = ScaledObject(fallback=Fallback(failure_threshold=3, replicas=0))
    state = KedaState(last_active_seconds=0)
    _, decision = poll(scaled, state, FAILED, replicas=4, now_seconds=300)
    assert decision.replicas == 0


def test_fallback_begins_when_failures_exceed_the_threshold() -> None:
    scaled = ScaledObject(fallback=Fallback(failure_threshold=3, replicas=6))
    state = KedaState()
    metrics: list[AverageValue | None] = []
    for _ in range(4):
        state, metric = read(scaled, state, FAILED, replicas=2)
        metrics.append(metric)
    assert metrics == [None, None, None, AverageValue(total=6, target=1)]


def test_a_good_answer_ends_fallback_and_forgets_the_failures() -> None:
    scaled = ScaledObject(fallback=Fallback(failure_threshold=0, replicas=6))
    state, metric = read(scaled, KedaState(), FAILED, replicas=2)
    assert metric == AverageValue(total=6, target=1)
    state, metric = read(scaled, state, ACTIVE, replicas=2)
    assert (state.failures, metric) == (0, AverageValue(total=3, target=1))


def test_fallback_is_a_multiple_of_the_last_known_target() -> None:
    scaled = ScaledObject(fallback=Fallback(failure_threshold=0, replicas=6))
    answer = Value(total=9, target=5, is_active=True)
    state, _ = read(scaled, KedaState(), answer, replicas=2)
    _, metric = read(scaled, state, FAILED, replicas=2)
    assert metric == AverageValue(total=30, target=5)


def test_a_target_of_zero_gives_the_hpa_nothing() -> None:
    answer = Value(total=9, target=0.0004, is_active=True)
    _, metric = read(ScaledObject(), KedaState(), answer, replicas=2)
    assert metric is None


def test_failing_metric_specs_never_reach_fallback() -> None:
    scaled = ScaledObject(fallback=Fallback(failure_threshold=1, replicas=6))
    state = KedaState()
    for _ in range(10):
        state, metric = read(scaled, state, SpecFailure(why="UNAVAILABLE"), replicas=2)
        assert metric is None


@pytest.mark.parametrize(
    ("behavior", "current", "expected"),
    [
        pytest.param(FallbackBehavior.STATIC, 9, 6, id="static"),
        pytest.param(FallbackBehavior.CURRENT, 9, 9, id="current"),
        pytest.param(FallbackBehavior.CURRENT_IF_HIGHER, 9, 9, id="higher-keeps"),
        pytest.param(FallbackBehavior.CURRENT_IF_HIGHER, 4, 6, id="higher-lifts"),
        pytest.param(FallbackBehavior.CURRENT_IF_LOWER, 9, 6, id="lower-cuts"),
        pytest.param(FallbackBehavior.CURRENT_IF_LOWER, 4, 4, id="lower-keeps"),
    ],
)
def test_fallback_behaviors(behavior: FallbackBehavior, current: int, expected: int) -> None:
    fallback = Fallback(failure_threshold=3, replicas=6, behavior=behavior)
    assert fallback.replicas_for(current) == expected


def test_idle_count_must_lie_below_the_minimum() -> None:
    with pytest.raises(ValueError, match="replicas_idle"):
        ScaledObject(replicas_min=1, replicas_idle=1)


def driven(scaled: ScaledObject, answers: dict[int, ScalerAnswer], until: int) -> dict[int, int]:
    """Replicas whenever they changed; the newest answer at or before a second holds."""
    control = Control(scaled, replicas_at_start=0)
    replicas, answer = 0, answers[0]
    changes: dict[int, int] = {}
    for now in range(until):
        answer = answers.get(now, answer)
        for due in control.due(now, replicas=replicas):
            after = control.apply(due, answer, replicas=replicas, now_seconds=now)
            if after != replicas:
                changes[now] = replicas = after
    return changes


def test_from_zero_to_forty_and_back_by_defaults() -> None:
    forty = Value(total=40, target=1, is_active=True)
    changes = driven(ScaledObject(), {0: IDLE, 30: forty, 200: IDLE}, 700)
    # KEDA wakes it at its poll; the HPA doubles at each sync. The last active poll was at 180.
    assert changes == {30: 1, 45: 4, 60: 8, 75: 16, 90: 32, 105: 40, 480: 0}


def test_poll_and_sync_both_count_failures() -> None:
    scaled = ScaledObject(fallback=Fallback(failure_threshold=3, replicas=6), replicas_min=1)
    changes = driven(scaled, {0: Value(total=2, target=1, is_active=True), 60: FAILED}, 120)
    # Second 60: poll and sync (2 failures); 75: sync (3); 90: poll (4 > 3): the sync of that
    # second falls back, 30 s after the first failure.
    assert changes[90] == 4
    assert changes[105] == 6


def test_who_asks_when() -> None:
    control = Control(ScaledObject(polling_interval_seconds=30), replicas_at_start=1)
    asked = {now: control.due(now, replicas=1) for now in range(0, 60, 15)}
    assert asked == {
        0: (Due.POLL, Due.SYNC),
        15: (Due.SYNC,),
        30: (Due.POLL, Due.SYNC),
        45: (Due.SYNC,),
    }
    assert control.due(15, replicas=0) == ()


def test_a_fleet_that_ran_before_second_0_goes_to_zero_after_a_cooldown() -> None:
    control = Control(ScaledObject(cooldown_period_seconds=300), replicas_at_start=2)
    polled = {
        now: control.apply(Due.POLL, IDLE, replicas=2, now_seconds=now) for now in (0, 270, 300)
    }
    assert polled == {0: 2, 270: 2, 300: 0}
