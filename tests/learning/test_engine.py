"""Capacity that is learned from an engine's own metrics."""

from dataclasses import replace
from itertools import pairwise

import pytest

from scaler.decision.capacity import Origin, ReplicaCapacity
from scaler.decision.objective import Objective
from scaler.decision.tracker import PollResult
from scaler.errors import SourceUnavailableError
from scaler.learning.engine import EngineLearner
from scaler.learning.engine_limits import EngineLimits
from scaler.learning.engine_tail import UTILIZATION_MAX, UTILIZATION_PRIOR
from scaler.learning.estimates import CapacityEstimate
from scaler.trigger import Phase
from tests.learning.engine_stage import ANSWER, OBJECTIVE, Engine, Stage, given, requests_per_second

FIGURES = given(9000, 4500)
"""In time at 6.4 requests a second: 1000 ÷ 9000 + 200 ÷ 4500 = 0.1556 s each."""


def stage(figures: ReplicaCapacity = FIGURES, **of_engine: float) -> Stage:
    learner = EngineLearner(objective=OBJECTIVE, given=figures)
    return Stage(learner=learner, engine=Engine(**of_engine))


def estimate(
    of: Stage, figures: ReplicaCapacity = FIGURES, objective: Objective = OBJECTIVE
) -> CapacityEstimate:
    made = of.learner.estimate(figures, objective)
    assert made is not None
    return made


def test_before_the_first_histogram_nothing_is_claimed() -> None:
    assert stage().learner.estimate(FIGURES, OBJECTIVE) is None


@pytest.mark.parametrize("origin", [Origin.METADATA, Origin.PRIOR])
def test_with_hardly_any_evidence_the_figures_given_stand(origin: Origin) -> None:
    figures = given(9000, 4500, origin=origin)
    idle = stage(figures)
    idle.has_sum = True
    idle.learner.has_latencies = True

    made = estimate(idle, figures)

    assert made.capacity.work.prompt == pytest.approx(figures.work.prompt)
    assert made.capacity.work.generated == pytest.approx(figures.work.generated)
    assert made.confidence == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("wrong", [1 / 3, 1.0, 3.0], ids=["a third", "right", "three times"])
def test_an_hour_of_load_corrects_figures_that_are_three_times_wrong(wrong: float) -> None:
    figures = given(9000 * wrong, 4500 * wrong)
    watched = stage(figures)

    watched.minutes(60, 2.0, 3.5, 4.5, 3.0)

    # What is planned with is the share of the true rate that is believed to be in time.
    utilization = watched.learner.tail.utilization(OBJECTIVE.attainment)
    planned = requests_per_second(estimate(watched, figures).capacity)
    assert planned == pytest.approx(watched.engine.capacity * utilization, rel=0.05)
    assert UTILIZATION_PRIOR <= utilization <= UTILIZATION_MAX
    assert estimate(watched, figures).confidence > 0.9


def test_the_same_load_all_the_time_teaches_less_than_changing_load() -> None:
    same, changing = stage(), stage()
    same.minutes(20, 3.0)
    changing.minutes(20, 2.0, 4.5)

    assert estimate(same).confidence < estimate(changing).confidence


def test_confidence_grows_without_a_cliff() -> None:
    watched = stage(given(3000, 1500))
    planned = []
    for _ in range(4 * 30):
        watched.minutes(0.25, 2.0 + 2 * (watched.at % 60) / 60)
        made = estimate(watched, given(3000, 1500))
        planned.append(requests_per_second(made.capacity))

    steps = [after / before for before, after in pairwise(planned)]
    assert max(steps) < 1.5
    assert min(steps) > 0.9


def test_single_outliers_hardly_move_it() -> None:
    watched = stage()
    watched.minutes(60, 2.0, 3.5, 4.5)
    before = requests_per_second(estimate(watched).capacity)
    for _ in range(10):
        watched.itl_factor = 5.0
        watched.look(3.0)
        watched.itl_factor = 1.0
        watched.minutes(3, 2.0, 3.5, 4.5)

    assert requests_per_second(estimate(watched).capacity) == pytest.approx(before, rel=0.08)


@pytest.mark.parametrize("factor", [0.0, 1e-12, 0.01])
def test_a_minute_of_impossibly_short_pauses_hardly_moves_it(factor: float) -> None:
    """A histogram whose sum stands still while its count grows, or that is in another unit."""
    watched = stage()
    watched.minutes(60, 2.0, 3.5, 4.5)
    before = requests_per_second(estimate(watched).capacity)

    watched.itl_factor = factor
    watched.minutes(1, 3.0)
    assert requests_per_second(estimate(watched).capacity) == pytest.approx(before, rel=0.1)

    watched.itl_factor = 1.0
    watched.minutes(15, 2.0, 3.5, 4.5)
    assert requests_per_second(estimate(watched).capacity) == pytest.approx(before, rel=0.05)


def test_looks_after_a_change_of_replicas_teach_nothing_of_the_engine() -> None:
    watched = stage()
    watched.minutes(30, 2.0, 3.5, 4.5)
    minutes = watched.learner.fit.minutes
    watched.ready, watched.itl_factor = 10.0, 2.0  # cold caches, a first compilation
    watched.minutes(1.25, 3.0)

    assert watched.learner.fit.minutes == minutes


def test_an_engine_of_another_shape_is_learned_anew_within_an_hour() -> None:
    watched = stage()
    watched.minutes(600, 2.0, 3.5, 4.5)
    watched.engine = Engine(fixed=0.03, per_prompt_token=1.6e-4)
    watched.minutes(60, 1.0, 1.8, 2.2)

    utilization = watched.learner.tail.utilization(OBJECTIVE.attainment)
    planned = requests_per_second(estimate(watched).capacity)
    assert planned == pytest.approx(watched.engine.capacity * utilization, rel=0.1)


def test_an_engine_that_does_not_behave_so_is_said_and_not_believed() -> None:
    watched = stage()
    watched.slots = 15.0

    def without_rule(looks: int, *rates: float) -> None:
        for look in range(looks):
            watched.itl_factor = (0.4, 2.5, 1.0)[look % 3]
            watched.look(rates[look % len(rates)])

    without_rule(480, 1.0, 5.0)
    assert watched.learner.estimate(FIGURES, OBJECTIVE) is None
    watched.waiting = 500.0  # at 5 a second also 15 run, at each of the three paces
    without_rule(120, 1.0, 1.0, 5.0, 5.0)
    assert "off what load explains" in estimate(watched).evidence


def test_a_failed_look_teaches_nothing() -> None:
    watched = stage()
    failure = SourceUnavailableError("no answer")
    watched.learner.take(PollResult(at_seconds=1.0, observation=None, failure=failure))

    assert watched.learner.at_seconds is None


def test_without_sums_what_is_served_under_a_queue_corrects_the_figures() -> None:
    watched = stage()  # given: 6.4 requests a second
    watched.has_sum, watched.waiting = False, 500.0
    watched.minutes(120, 3.2)

    made = estimate(watched)

    # Half of the figures, as far as two hours count: 120 ÷ 130 of the way.
    assert requests_per_second(made.capacity) == pytest.approx(6.4 * 0.5 ** (120 / 130), rel=0.02)
    assert "no ITL histogram" in made.evidence


def test_late_first_tokens_near_the_limit_lower_the_planned_utilization() -> None:
    calm, uneven = stage(), stage()
    for each in (calm, uneven):
        each.minutes(600, 4.0, 4.6)  # 65 and 75 % of 6.15 a second
    uneven.ttft_late = 0.2
    for each in (calm, uneven):
        each.minutes(300, 4.9)  # 80 %

    assert calm.learner.tail.utilization(0.99) >= UTILIZATION_PRIOR
    assert uneven.learner.tail.utilization(0.99) < 0.8
    assert requests_per_second(estimate(uneven).capacity) < requests_per_second(
        estimate(calm).capacity
    )


def test_prompts_that_wait_a_moment_show_no_full_load_in_time() -> None:
    watched = stage()
    watched.minutes(600, 3.0, 3.5)
    before = watched.learner.tail.utilization(0.99)
    watched.waiting = 10.0
    watched.minutes(65, 1.0)

    assert watched.learner.tail.utilization(0.99) == pytest.approx(before)


def test_late_first_tokens_of_a_queue_say_nothing_of_replicas_that_drain_it() -> None:
    watched = stage()
    watched.minutes(600, 4.0, 4.6)
    before = watched.learner.tail.utilization(0.99)
    for _ in range(20):
        watched.ready, watched.waiting, watched.ttft_late = 5.0, 1000.0, 1.0
        watched.minutes(5, 6.0)
        watched.ready, watched.waiting = 25.0, 0.0  # the late ones begin to be answered
        watched.minutes(1, 4.0)
        watched.ttft_late = 0.0
        watched.minutes(10, 4.0, 4.6)

    assert watched.learner.tail.utilization(0.99) >= before


def test_a_stricter_attainment_plans_with_less() -> None:
    watched = stage()
    watched.minutes(300, 3.0, 4.6, 5.2)
    strict = replace(OBJECTIVE, attainment=0.999)
    watched.ttft_late = 0.005
    watched.minutes(300, 4.6)

    lenient = requests_per_second(estimate(watched).capacity)
    assert requests_per_second(estimate(watched, objective=strict).capacity) < lenient


def test_the_tail_of_another_objective_is_not_used() -> None:
    watched = stage()
    watched.minutes(1200, 4.6, 5.2)
    assert watched.learner.tail.utilization(0.99) > UTILIZATION_PRIOR

    made = estimate(watched, objective=replace(OBJECTIVE, ttft_seconds=1.0))

    assert f"{UTILIZATION_PRIOR:.0%} of the rate" in made.evidence


def test_a_limit_below_an_empty_iteration_is_said_to_be_out_of_reach() -> None:
    watched = stage(fixed=0.058)
    watched.minutes(60, 0.1, 0.2, 0.05)

    why = estimate(watched).unreachable

    assert why is not None
    assert "no number of replicas keeps an ITL of 60 ms" in why


def test_a_prompt_too_long_for_its_first_token_is_said_to_be_out_of_reach() -> None:
    watched = stage()
    watched.minutes(60, 2.0, 4.0)
    # 1,000 tokens at 80 µs, and an iteration of 15 ms, are 95 ms.
    hasty = replace(OBJECTIVE, ttft_seconds=0.05)

    why = estimate(watched, objective=hasty).unreachable

    assert why is not None
    assert "a prompt of 1,000 tokens" in why
    assert "TTFT of 0.05 s" in why


def test_an_edited_objective_begins_a_new_tail_and_keeps_the_engine() -> None:
    watched = stage()
    watched.minutes(600, 3.5, 5.2)
    minutes = watched.learner.fit.minutes
    watched.learner.follow(replace(OBJECTIVE, ttft_seconds=1.0), FIGURES)

    assert sum(watched.learner.tail.minutes) == 0
    assert watched.learner.fit.minutes == minutes


def test_a_limit_within_reach_is_not_complained_about() -> None:
    watched = stage()
    watched.minutes(60, 2.0, 4.0)
    assert estimate(watched).unreachable is None


def test_slots_are_what_ran_while_others_waited_in_spite_of_a_good_pace() -> None:
    watched = stage()
    watched.slots, watched.waiting = 20.0, 40.0
    watched.minutes(30, 4.5)

    assert estimate(watched).capacity.requests == pytest.approx(20.0)


def test_prompts_that_wait_a_moment_at_little_load_show_no_slots() -> None:
    watched = stage()
    watched.minutes(24 * 60, 5.0)  # ITL 38 ms: 38 running
    before = estimate(watched).capacity.requests
    watched.waiting = 5.0
    watched.minutes(1, 0.4)  # 1.3 running

    assert estimate(watched).capacity.requests == pytest.approx(before, rel=0.01)


def test_slots_that_were_made_fewer_are_seen_where_as_many_wait_as_ever_ran() -> None:
    watched = stage()
    watched.learner.limits = EngineLimits(running_max=256, slots=256)
    watched.minutes(5, 3.0)  # half of the full rate, 17 running
    watched.slots, watched.waiting = 10.0, 5 * 500.0
    watched.minutes(30, 3.0)

    # 10 minutes are the time constant: 10 + 246 ÷ e³ = 22
    assert estimate(watched).capacity.requests == pytest.approx(22, abs=2)


def test_one_look_with_a_queue_shows_no_slots() -> None:
    watched = stage()
    watched.waiting = 5.0
    watched.look(0.4)

    assert estimate(watched).capacity.requests == FIGURES.requests


def test_two_looks_with_a_queue_that_are_an_hour_apart_show_no_slots() -> None:
    watched = stage()
    watched.waiting = 5.0
    watched.look(0.4)
    watched.at += 3600
    watched.look(0.4)

    assert estimate(watched).capacity.requests == FIGURES.requests


def test_slots_are_no_fewer_than_ever_ran_without_a_queue() -> None:
    limits = EngineLimits()
    limits.take_running(40.0, queued=False, paced=True, minutes=1.0)
    limits.take_running(2.0, queued=True, paced=True, minutes=1.0)
    limits.take_running(30.0, queued=False, paced=True, minutes=1.0)

    assert limits.requests(64, at_limit=100) == 30


def test_without_a_queue_slots_may_grow_a_quarter_beyond_what_ran() -> None:
    watched = stage(replace(FIGURES, requests=8))
    watched.minutes(30, 4.0)  # ITL 29.3 ms: 23.4 running

    running = 4.0 * ANSWER * watched.engine.itl(4.0)
    made = estimate(watched, replace(FIGURES, requests=8))
    assert made.capacity.requests == pytest.approx(1.25 * running, rel=0.01)


def test_the_cache_limits_the_requests_of_a_replica() -> None:
    watched = stage(replace(FIGURES, requests=1000))
    watched.minutes(30, 4.0)

    # 0.9 × 150,000 tokens ÷ 1,100 a request.
    made = estimate(watched, replace(FIGURES, requests=1000))
    assert made.capacity.requests == pytest.approx(122.7, rel=0.01)


def test_a_cache_smaller_than_one_request_limits_nothing() -> None:
    absurd = EngineLimits(kv_tokens=1.0, context_tokens=1100.0)
    assert absurd.requests(64, at_limit=100) == 64


@pytest.mark.parametrize("days", [1, 20])
def test_days_without_traffic_change_nothing_of_what_was_learned(days: int) -> None:
    watched = stage()
    watched.minutes(120, 2.0, 3.5, 4.9)
    before = estimate(watched)
    watched.minutes(days * 24 * 60, 0.0)
    assert estimate(watched).capacity == before.capacity

    watched.minutes(10, 5.0)
    after = requests_per_second(estimate(watched).capacity)
    assert after == pytest.approx(requests_per_second(before.capacity), rel=0.05)


def test_an_engine_that_restarts_each_five_minutes_is_learned_all_the_same() -> None:
    watched = stage()
    for _ in range(24):
        watched.ready = 5.0
        watched.minutes(4.5, 2.0, 3.5, 4.9)
        watched.ready = 4.0
        watched.minutes(0.5, 3.0)

    # 6.148 requests a second at the limit, 85 % of them in time.
    learned = requests_per_second(estimate(watched).capacity)
    assert learned == pytest.approx(0.85 * 6.148, rel=0.05)


def test_a_clock_set_back_does_not_stop_the_learning() -> None:
    watched = stage()
    watched.minutes(10, 3.0)
    watched.learner.clock_moved(-3600.0)
    watched.at -= 3600.0
    before = watched.learner.fit.minutes
    watched.minutes(10, 3.0)

    assert watched.learner.fit.minutes > before + 9


def test_a_decode_engine_learns_nothing_from_prompts_that_others_computed() -> None:
    figures = given(9000, 4500)
    figures = replace(figures, work=figures.work.of(Phase.DECODE))
    decode = Stage(
        learner=EngineLearner(objective=OBJECTIVE, given=figures, phase=Phase.DECODE),
        engine=Engine(per_prompt_token=0.0),
    )
    decode.minutes(60, 4.0, 9.0, 13.0, 6.0)

    made = estimate(decode, figures)
    assert made.capacity.work.prompt == 0
    # 200 tokens a request of .022 s: at 60 ms, (1 - 15/60) / .00021 s = 3571 tokens a second.
    rate = 1 / made.capacity.work.generated / made.utilization
    assert rate == pytest.approx(0.75 / (1e-4 + 1e-7 * 1100), rel=0.05)


def test_what_the_transfer_of_the_cache_takes_lowers_no_capacity_of_a_decode_engine() -> None:
    figures = given(9000, 4500)
    figures = replace(figures, work=figures.work.of(Phase.DECODE))
    decode = Stage(
        learner=EngineLearner(objective=OBJECTIVE, given=figures, phase=Phase.DECODE),
        engine=Engine(per_prompt_token=0.0),
        ttft_late=0.5,
    )
    decode.minutes(120, 9.0, 13.0)

    assert sum(decode.learner.tail.late) == pytest.approx(0, abs=0.5)


def test_a_prefill_engine_is_learned_from_what_it_serves_while_a_queue_stands() -> None:
    figures = given(9000, 4500)
    figures = replace(figures, work=figures.work.of(Phase.PREFILL))
    learner = EngineLearner(objective=OBJECTIVE, given=figures, phase=Phase.PREFILL)
    prefill = Stage(learner=learner, engine=Engine())
    prefill.minutes(10, 3.0)
    assert learner.estimate(figures, OBJECTIVE) is None
    prefill.waiting = 500
    prefill.minutes(120, 6.0)

    made = estimate(prefill, figures)
    # It serves 6,000 prompt tokens a second while others wait.
    assert 1 / made.capacity.work.prompt == pytest.approx(6000, rel=0.05)
    assert made.capacity.work.generated == 0
    assert "prefill has no time between tokens" in made.evidence


def test_prompts_that_wait_a_moment_lower_no_capacity_of_a_prefill_engine() -> None:
    figures = given(9000, 4500)
    figures = replace(figures, work=figures.work.of(Phase.PREFILL))
    learner = EngineLearner(objective=OBJECTIVE, given=figures, phase=Phase.PREFILL)
    prefill = Stage(learner=learner, engine=Engine())
    prefill.minutes(10, 6.0)
    prefill.waiting = 5.0
    prefill.minutes(60, 0.6)

    assert learner.estimate(figures, OBJECTIVE) is None
