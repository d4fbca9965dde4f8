"""Replicas from demand: each rule alone, then what must hold whatever comes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.decision.backlog import Order
from scaler.decision.demand import Demand
from scaler.decision.outlook import Outlook
from scaler.decision.plan import PlanState, ReplicaPlan, decidable, decide
from scaler.signals import Absent, Observation, Reading, Signal, Value
from scaler.trigger import Mode
from tests.scaler.fakes import PARAMETERS

NOW = 10_000.0

BEGUN = PlanState(handed=1, planned=1)
"""After a first look that held nothing."""


def seen(at: float = NOW, **values: float | None) -> Observation:
    """An observation of a steady workload with some signals set; None = absent."""
    steady: dict[str, float | None] = {
        "running": 40.0,
        "waiting": 0.0,
        "prompt_tokens": 0.0,
        "generated_tokens": 0.0,
        "requests": 2.0,
        "replicas": 4.0,
    }
    readings: dict[Signal, Reading] = {
        Signal(name): Absent(why="test") if value is None else Value(value=value, at_seconds=at)
        for name, value in (steady | values).items()
    }
    return Observation(at_seconds=at, readings=readings)


def asked(at: float = NOW, *, prompt: float | None = 2000, generated: float | None = 0) -> Demand:
    return Demand(
        at_seconds=at,
        prompt_tokens=prompt,
        generated_tokens=generated,
        requests=2.0,
        in_flight=40.0,
    )


def outlook(
    skill: float | None, *, work: float = 0.0, reach: float = 1800.0, judged: int = 1000
) -> Outlook:
    """A forecast in replicas."""
    return Outlook(
        replicas=work, text="the forecast", reach_seconds=reach, skill=skill, judged=judged
    )


def test_without_the_floor_the_forecast_alone_counts() -> None:
    ahead = outlook(0.2, work=1.0)
    whole, _ = decide(seen(running=0.0), asked(), ahead, PARAMETERS, BEGUN)
    alone, _ = decide(seen(running=0.0), asked(), ahead, replace(PARAMETERS, floor=False), BEGUN)
    assert (whole.planned, alone.planned) == (2, 1)


def plan_of(plan: ReplicaPlan, rule: str) -> str:
    return next(step.text for step in plan.steps if step.rule == rule)


def test_prompt_and_generated_tokens_add_up_to_the_present() -> None:
    # 2500 ÷ 1000 + 600 ÷ 500 = 3.7; running 40 ÷ 50 = 0.8
    plan, _ = decide(seen(), asked(prompt=2500, generated=600), outlook(0.1), PARAMETERS, BEGUN)

    assert plan.desired == 4
    assert plan_of(plan, "present") == (
        "2,500 prompt + 600 generated tokens/s (metadata, sum of 2.50 and 1.20)"
    )


def test_the_busiest_dimension_decides_the_present() -> None:
    # tokens 2, running 150 ÷ 50 = 3, and with head-room 3 ÷ 0.8 = 3.75
    plan, _ = decide(seen(running=150.0), asked(), outlook(0.1), PARAMETERS, BEGUN)

    assert plan.desired == 4
    assert plan_of(plan, "present") == "150 requests running, 50 a replica"


def test_a_full_kv_cache_asks_for_more_replicas_than_tokens_do() -> None:
    # 4 replicas × 0.95 ÷ 0.9 = 4.2
    plan, _ = decide(seen(kv_use=0.95), asked(), outlook(0.1), PARAMETERS, BEGUN)

    assert plan.desired == 5


def test_the_forecast_adds_what_is_coming() -> None:
    plan, _ = decide(seen(), asked(), outlook(0.12, work=7.1), PARAMETERS, BEGUN)

    assert plan.desired == 8
    assert plan_of(plan, "forecast") == ("q0.9 in 5m: the forecast, skill +12%")


def test_a_forecast_of_a_fall_never_goes_below_the_present() -> None:
    plan, _ = decide(seen(), asked(prompt=5500), outlook(0.5, work=0.1), PARAMETERS, BEGUN)

    assert plan.desired == 6


@pytest.mark.parametrize(
    ("prompt", "work", "desired"),
    [(2000, 7.1, 8), (6000, 0.1, 8)],
    ids=["forecast-larger", "headroom-larger"],
)
def test_a_forecast_that_does_not_reach_the_lead_time_says_so_and_is_not_below_headroom(
    prompt: float, work: float, desired: int
) -> None:
    # 6000 ÷ 1000 ÷ 0.8 = 7.5, of which a forecast of a fall would have left the 6 of the present
    far = replace(PARAMETERS, lead_seconds=3600)

    plan, _ = decide(seen(), asked(prompt=prompt), outlook(1.0, work=work), far, BEGUN)

    assert plan.desired == desired
    assert "reaches 30m of 1h, so not below head-room; q0.9 in 30m" in plan_of(plan, "forecast")


@pytest.mark.parametrize(
    ("skill", "why"),
    [(None, "no evidence yet"), (-0.1, "skill -10%"), (-0.3, "skill -30%")],
    ids=["no-evidence", "worse", "much-worse"],
)
def test_a_forecast_without_earned_skill_is_shown_and_not_used(
    skill: float | None, why: str
) -> None:
    # 3600 ÷ 1000 ÷ utilization 0.8 = 4.5, and the forecast's 40 replicas are ignored
    plan, _ = decide(seen(), asked(prompt=3600), outlook(skill, work=40), PARAMETERS, BEGUN)

    assert plan.desired == 5
    text = plan_of(plan, "forecast")
    assert text.startswith(why)
    assert ", so the present with head-room: 3,600 prompt + 0 generated tokens/s" in text


def forecast_step(outlook: Outlook, *, prompt: float = 8000.0) -> float:
    """Replicas after the rule `forecast`; with head-room alone 8000 ÷ 1000 ÷ 0.8 = 10."""
    plan, _ = decide(seen(), asked(prompt=prompt), outlook, PARAMETERS, BEGUN)
    return next(step.replicas for step in plan.steps if step.rule == "forecast")


def test_a_forecast_weighs_as_much_as_its_skill_earned() -> None:
    # 10 with head-room alone, 8.5 forecast; the skill of the last value's own errors is enough
    replicas = [forecast_step(outlook(skill, work=8.5)) for skill in (-0.2, -0.1, -0.06, 0.0, 0.5)]

    assert replicas == pytest.approx([10, 10, 9.4, 8.5, 8.5])


def test_a_forecast_weighs_as_much_as_it_was_judged() -> None:
    # Up to 30 judged forecasts nothing is known of the skill; from 60 on it counts in full.
    replicas = [
        forecast_step(outlook(0.5, work=8.5, judged=judged)) for judged in (30, 40, 60, 600)
    ]

    assert replicas == pytest.approx([10, 9.5, 8.5, 8.5])


def test_the_weight_of_a_forecast_is_shown() -> None:
    plan, _ = decide(seen(), asked(prompt=8000), outlook(-0.06, work=8.5), PARAMETERS, BEGUN)

    assert plan_of(plan, "forecast") == (
        "40% of q0.9 in 5m: the forecast, skill -6%; "
        "the rest 8,000 prompt + 0 generated tokens/s (metadata, sum of 8.00 and 0.00) "
        "at utilization 0.8"
    )


@given(skill=st.floats(-0.2, 1), more=st.floats(0, 0.001), work=st.floats(0, 50))
def test_a_little_more_skill_changes_the_plan_a_little(
    skill: float, more: float, work: float
) -> None:
    before, after = (forecast_step(outlook(earned, work=work)) for earned in (skill, skill + more))

    # A weight is at most 10 times the skill, and moves the plan between the forecast and 10.
    assert abs(after - before) <= 10 * more * abs(work - 10) + 1e-9


def test_requests_in_flight_keep_headroom_beside_a_trusted_forecast_of_work() -> None:
    # running 110 ÷ 50 ÷ 0.8 = 2.75, the forecast of work 2.1
    plan, _ = decide(seen(running=110.0), asked(), outlook(0.2, work=2.1), PARAMETERS, BEGUN)

    assert plan.desired == 3


def test_a_queue_is_counted_as_work_and_never_as_slots() -> None:
    # 3,600 wait: 72 replicas' slots. As work, 3600 × 2 ÷ 2 replica-seconds of which the 4 ready
    # leave 3600 − (4 − 2) × 300 = 3000 at the lead time: 2 + 3000 ÷ 120 replicas.
    plan, _ = decide(
        seen(waiting=3600.0),
        asked(),
        outlook(0.2, work=2.0),
        PARAMETERS,
        PlanState(handed=4, planned=4),
    )

    assert plan.desired == 27


def test_the_backlog_left_at_the_lead_time_is_drained() -> None:
    # load 3 on 3 ready: the queue stays. Work: 80 requests × 3 ÷ 2 replica-seconds = 120, to be
    # gone in 120 s: one replica more.
    plan, _ = decide(
        seen(waiting=80.0, replicas=3.0),
        asked(prompt=3000),
        outlook(0.1),
        PARAMETERS,
        PlanState(handed=3, planned=3),
    )

    assert plan.desired == 4


def test_replicas_on_their_way_are_not_ordered_again_while_the_queue_grows() -> None:
    ordered = PlanState(handed=5, planned=5, orders=(Order(at_seconds=NOW - 200, replicas=2),))
    # 3 ready for a load of 3; 2 more in 100 s drain 200 replica-seconds of the 150 queued, and
    # while the queue stands they are not cancelled
    plan, _ = decide(
        seen(waiting=100.0, replicas=3.0), asked(prompt=3000), outlook(0.1), PARAMETERS, ordered
    )

    assert plan.desired == 5
    assert "2 on their way" in plan_of(plan, "queue")
    assert plan_of(plan, "burst") == "100 wait, more than come in 1s: none of 5 released"


def test_replicas_that_are_given_up_are_not_counted_on_and_their_place_is_ordered_once() -> None:
    # 7 of 9 serve 6 replicas' load; 720 s of work wait. With 2 more at once none of it is left in
    # 300 s; without them 720 − 300 are, and take 3.5 replicas for two minutes.
    ordered = PlanState(handed=9, planned=9, orders=(Order(at_seconds=NOW - 3000, replicas=2),))
    look = seen(waiting=240.0, replicas=7.0)
    at_once = replace(PARAMETERS, hold_seconds=0)

    hoping, _ = decide(look, asked(prompt=6000), None, at_once, ordered)
    without, after = decide(look, asked(prompt=6000), None, at_once, ordered, given_up=2)
    again, _ = decide(look, asked(prompt=6000), None, at_once, after, given_up=2)

    assert "7 ready and 2 on their way: 0 replica-seconds left" in plan_of(hoping, "queue")
    assert "7 ready and 0 on their way: 420 replica-seconds left" in plan_of(without, "queue")
    assert (hoping.desired, without.desired) == (9, 10)
    assert again.desired == 10


def test_what_runs_at_the_first_look_stays_for_one_hold() -> None:
    state = PlanState()
    desired = []
    for at in (0, 15, 299, 301):
        plan, state = decide(
            seen(NOW + at, replicas=20.0), asked(NOW + at), outlook(0.1), PARAMETERS, state
        )
        desired.append(plan.desired)

    assert desired == [20, 20, 20, 2]


def test_lower_need_must_last_the_hold_before_replicas_go() -> None:
    state = BEGUN
    desired = []
    for at, prompt in [(0, 7500), (60, 2000), (299, 2000), (301, 2000)]:
        demand = asked(NOW + at, prompt=prompt)
        plan, state = decide(seen(NOW + at), demand, outlook(0.1), PARAMETERS, state)
        desired.append(plan.desired)

    assert desired == [8, 8, 8, 2]


@pytest.mark.parametrize(
    ("prompt", "desired", "edge"),
    [(99_000, 50, "maxReplicas is 50"), (0, 1, "minReplicas is 1")],
    ids=["max", "min"],
)
def test_bounds_hold_and_are_named(prompt: float, desired: int, edge: str) -> None:
    plan, _ = decide(
        seen(running=0.0),
        asked(prompt=prompt, generated=0),
        outlook(0.1),
        PARAMETERS,
        BEGUN,
    )

    assert plan.desired == desired
    assert edge in plan_of(plan, "bounds")


def test_a_drained_workload_goes_to_zero_when_zero_is_allowed() -> None:
    idle = replace(PARAMETERS, replicas_min=0)
    demand = replace(asked(prompt=0, generated=0), requests=0.0, in_flight=0.0)

    plan, _ = decide(seen(running=0.0), demand, outlook(0.1, work=1e-3), idle, BEGUN)

    assert (plan.desired, plan.active) == (0, False)


def test_a_forecast_wakes_a_workload_at_zero() -> None:
    idle = replace(PARAMETERS, replicas_min=0)
    demand = replace(asked(prompt=0, generated=0), requests=0.0, in_flight=0.0)

    plan, _ = decide(seen(running=0.0, replicas=0.0), demand, outlook(0.2, work=0.9), idle, BEGUN)

    assert (plan.desired, plan.active) == (1, True)


@pytest.mark.parametrize("signal", ["running", "waiting", "prompt_tokens", "generated_tokens"])
def test_with_a_signal_unmeasured_a_workload_may_grow_but_not_shrink(signal: str) -> None:
    before = PlanState(handed=9, planned=9)
    partly = seen(**{signal: None})

    low, _ = decide(partly, asked(), outlook(0.1), PARAMETERS, before)
    high, _ = decide(partly, asked(prompt=12_000), outlook(0.1), PARAMETERS, before)

    assert (low.desired, low.partly_measured) == (9, True)
    assert high.desired == 12


def test_a_first_look_that_is_partly_blind_is_not_below_the_ready_replicas() -> None:
    # Rates absent after a restart, and no hold that would keep what ran.
    at_once = replace(PARAMETERS, hold_seconds=0)
    partly = seen(prompt_tokens=None, generated_tokens=None, replicas=9.0)
    demand = asked(prompt=None, generated=None)

    for mode in Mode:
        plan, state = decide(partly, demand, None, replace(at_once, mode=mode), PlanState())
        assert plan.planned == 9
        assert plan.desired == (None if mode is Mode.ADVISE else 9)
        assert "not below the ready replicas" in plan_of(plan, "unmeasured")
        later, _ = decide(partly, demand, None, replace(at_once, mode=mode), state)
        assert later.planned == 9


def test_a_first_look_that_is_partly_blind_and_knows_no_replicas_decides_nothing() -> None:
    partly = seen(running=None, replicas=None)

    assert not decidable(partly, PlanState())
    assert decidable(partly, PlanState(planned=9))
    assert decidable(seen(running=None), PlanState())
    assert decidable(seen(replicas=None), PlanState())


def test_reactive_mode_hands_over_the_need_of_the_present_and_shows_the_plan() -> None:
    reactive = replace(PARAMETERS, mode=Mode.REACTIVE)
    # present 2000 ÷ 1000 ÷ 0.8 = 2.5 → 3; the plan of 8 changes nothing
    plan, _ = decide(seen(), asked(), outlook(0.2, work=7.1), reactive, BEGUN)

    assert (plan.desired, plan.planned) == (3, 8)
    assert "the plan is 8" in plan_of(plan, "mode")


def test_advise_mode_hands_over_nothing_and_plans_in_full() -> None:
    advise = replace(PARAMETERS, mode=Mode.ADVISE)

    plan, state = decide(seen(), asked(), outlook(0.2, work=7.1), advise, BEGUN)

    assert (plan.desired, plan.planned, plan.reactive) == (None, 8, 3)
    assert plan_of(plan, "mode") == "advise: no replicas are sent to KEDA"
    assert (state.handed, state.orders) == (None, ())


def test_a_plan_that_nobody_was_handed_has_no_replicas_on_their_way() -> None:
    # The first plan wants replicas that nobody orders: the queue counts those that are ready.
    advise = replace(PARAMETERS, mode=Mode.ADVISE)
    _, state = decide(seen(), asked(), outlook(0.2, work=9.0), advise, BEGUN)

    at = NOW + 15
    plan, _ = decide(seen(at, waiting=100.0), asked(at), outlook(0.2, work=9.0), advise, state)

    assert "4 ready and 0 on their way" in plan_of(plan, "queue")


def test_with_a_signal_unmeasured_an_advised_plan_is_not_below_the_last_one() -> None:
    advise = replace(PARAMETERS, mode=Mode.ADVISE)

    plan, _ = decide(seen(running=None), asked(), outlook(0.1), advise, PlanState(planned=9))

    assert (plan.desired, plan.planned) == (None, 9)


demands = st.floats(0, 1e6)
maybe = st.none() | demands


@given(
    prompt=maybe,
    generated=maybe,
    ahead=demands,
    skill=st.none() | st.floats(-1, 1),
    waiting=maybe,
    handed=st.integers(0, 50),
)
def test_every_plan_is_within_bounds_and_not_below_the_present(
    prompt: float | None,
    generated: float | None,
    ahead: float,
    skill: float | None,
    waiting: float | None,
    handed: int,
) -> None:
    plan, _ = decide(
        seen(waiting=waiting),
        asked(prompt=prompt, generated=generated),
        outlook(skill, work=ahead),
        PARAMETERS,
        PlanState(handed=handed, planned=handed),
    )

    needed = (prompt or 0) / 1000 + (generated or 0) / 500
    assert 1 <= plan.desired <= 50
    assert plan.desired >= min(needed, 50) - 1e-6


@given(
    low=demands, more=demands, ahead=demands, skill=st.none() | st.floats(-1, 1), handed=st.none()
)
def test_more_demand_never_means_fewer_replicas(
    low: float, more: float, ahead: float, skill: float | None, handed: None
) -> None:
    few, _ = decide(seen(), asked(prompt=low), outlook(skill, work=ahead), PARAMETERS, BEGUN)
    many, _ = decide(
        seen(),
        asked(prompt=low + more),
        outlook(skill, work=ahead),
        PARAMETERS,
        BEGUN,
    )

    assert many.desired >= few.desired


@given(prompt=demands, ahead=demands)
def test_the_same_past_gives_the_same_decision(prompt: float, ahead: float) -> None:
    def once() -> ReplicaPlan:
        plan, _ = decide(
            seen(),
            asked(prompt=prompt),
            outlook(0.1, work=ahead),
            PARAMETERS,
            PlanState(handed=3, planned=3),
        )
        return plan

    assert once() == once()
