"""Plans that weigh what a late minute costs: what they keep, release and hand over."""

from dataclasses import replace

import pytest

from scaler.decision.backlog import Order
from scaler.decision.demand import Demand
from scaler.decision.outlook import Outlook
from scaler.decision.parameters import parameters_of
from scaler.decision.plan import PlanState, ReplicaPlan, decide
from scaler.decision.schedule import NeedAhead
from scaler.signals import Observation, Signal, Value
from scaler.trigger import LATE_MINUTE_COST, Mode, TriggerSpec
from tests.scaler.fakes import CAPACITY

NOW = 10_000.0
HORIZONS = (0.0, 60.0, 180.0, 300.0, 600.0, 900.0, 1800.0)
LEVELS = (0.5, 0.9, 0.99)
BY_COST = parameters_of(
    TriggerSpec.model_validate(
        {"model": "m", "mode": Mode.ACT, "minReplicas": 1, "maxReplicas": 50}
    ),
    CAPACITY,
)


def seen(at: float = NOW, **values: float) -> Observation:
    steady = {
        "running": 40.0,
        "waiting": 0.0,
        "prompt_tokens": 0.0,
        "generated_tokens": 0.0,
        "requests": 2.0,
        "replicas": 4.0,
    }
    return Observation(
        at_seconds=at,
        readings={
            Signal(name): Value(value=value, at_seconds=at)
            for name, value in (steady | values).items()
        },
    )


def asked(prompt: float) -> Demand:
    """`prompt` ÷ 1000 replicas of work."""
    return Demand(
        at_seconds=NOW, prompt_tokens=prompt, generated_tokens=0.0, requests=2.0, in_flight=40.0
    )


def outlook(*medians: float, skill: float | None = 0.2, judged: int = 1000) -> Outlook:
    """Sure of these replicas at 0, 1, 3, 5, 10, 15 and 30 minutes; the last one to the end."""
    filled = (*medians, *[medians[-1]] * (len(HORIZONS) - len(medians)))
    return Outlook(
        replicas=filled[3],
        text="the forecast",
        reach_seconds=1800.0,
        skill=skill,
        judged=judged,
        need=NeedAhead(seconds=HORIZONS, levels=LEVELS, quantiles=tuple((n, n, n) for n in filled)),
    )


def text_of(plan: ReplicaPlan, rule: str) -> str | None:
    return next((step.text for step in plan.steps if step.rule == rule), None)


def at(supply: int, **more: object) -> PlanState:
    return replace(PlanState(handed=supply, planned=supply), **more)  # type: ignore[arg-type]


def test_replicas_that_the_forecast_wants_back_stay_and_others_go_at_once() -> None:
    dip, end = outlook(9.5, 4.5, 4.5, 9.5), outlook(4.5)

    kept, _ = decide(seen(), asked(4500), dip, BY_COST, at(10))
    gone, _ = decide(seen(), asked(4500), end, BY_COST, at(10))

    assert (kept.desired, gone.desired) == (10, 5)
    assert text_of(gone, "hold") is None


def test_the_forecast_step_says_what_a_late_minute_is_worth_and_what_it_bought() -> None:
    plan, _ = decide(seen(), asked(4500), outlook(4.5, 4.5, 4.5, 9.5), BY_COST, at(5))

    assert plan.desired == 10
    text = text_of(plan, "forecast")
    assert text is not None
    assert text.startswith("10 in 5m, chance of more ")
    assert f"5 of 5 kept, at {LATE_MINUTE_COST:g} GPU-minutes a late minute; q0.95 is 9.50" in text


def test_a_hold_that_is_given_counts_beside_the_forecast() -> None:
    held = replace(BY_COST, hold_seconds=120.0, hold_given=True)
    _, state = decide(seen(), asked(7500), outlook(7.5), held, at(4))
    desired = []
    for after in (60.0, 121.0):
        plan, state = decide(seen(NOW + after), asked(2000), outlook(2.0), held, state)
        desired.append(plan.desired)

    assert desired == [8, 2]


def test_until_a_forecast_counts_in_full_lower_need_must_last_a_lead_time() -> None:
    young = outlook(2.0, judged=45)
    _, state = decide(seen(), asked(7500), outlook(7.5, judged=45), BY_COST, at(4))
    desired = []
    for after in (60.0, 301.0):
        plan, state = decide(seen(NOW + after), asked(2000), young, BY_COST, state)
        desired.append(plan.desired)

    assert desired[0] >= 8
    assert desired[1] < 8


@pytest.mark.parametrize(
    ("waiting", "desired"), [(1.0, 5), (8.0, 10)], ids=["pace-of-admission", "queue"]
)
def test_nothing_is_released_while_a_queue_stands(waiting: float, desired: int) -> None:
    # 2 requests come in a second: one that waits is on its way into the batch, 8 are a queue
    plan, _ = decide(
        seen(waiting=waiting, replicas=10.0), asked(4500), outlook(4.5), BY_COST, at(10)
    )

    assert plan.desired == desired


@pytest.mark.parametrize("requests", [2.0, 0.0, None], ids=["steady", "draining", "unmeasured"])
def test_a_queue_that_drains_releases_nothing(requests: float | None) -> None:
    # 10 replicas take 60 requests of the queue into their slots in a look, faster than they end
    looked = seen(waiting=40.0, running=100.0, replicas=10.0)
    demand = replace(asked(4500), requests=requests)
    plan, _ = decide(looked, demand, outlook(4.5), BY_COST, at(10))

    assert plan.desired == 10


def test_a_queue_of_which_nothing_runs_counts_by_its_slots_alone() -> None:
    looked = seen(waiting=40.0, running=0.0, replicas=10.0)
    demand = replace(asked(4500), requests=0.0)
    plan, _ = decide(looked, demand, outlook(4.5), BY_COST, at(10))

    assert plan.desired < 10


@pytest.mark.parametrize(("waiting", "desired"), [(1.0, 5), (5.0, 10)], ids=["moment", "queue"])
def test_without_a_request_counter_a_tenth_of_those_that_run_is_a_queue(
    waiting: float, desired: int
) -> None:
    looked = seen(waiting=waiting, running=50.0, replicas=10.0)
    demand = replace(asked(4500), requests=None)
    plan, _ = decide(looked, demand, outlook(4.5), BY_COST, at(10))

    assert plan.desired == desired


def test_no_replica_goes_whose_streams_the_others_cannot_take() -> None:
    # 310 requests run at 50 a replica, although the work has gone
    plan, _ = decide(seen(running=310.0, replicas=10.0), asked(500), outlook(0.5), BY_COST, at(10))

    assert plan.desired is not None
    assert plan.desired >= 7


def test_a_forecast_warms_a_workload_at_zero_a_lead_time_before_demand() -> None:
    idle = replace(BY_COST, replicas_min=0)
    nobody = replace(asked(0), requests=0.0, in_flight=0.0)
    quiet = seen(running=0.0, replicas=0.0, requests=0.0)

    far, _ = decide(quiet, nobody, outlook(0, 0, 0, 0, 0, 0, 3.5), idle, at(0))
    near, _ = decide(quiet, nobody, outlook(0, 0, 0, 3.5), idle, at(0))

    assert (far.desired, far.active) == (0, False)
    assert (near.desired, near.active) == (4, True)


OVERDUE = (Order(at_seconds=NOW - 400, replicas=1),)


def test_an_order_that_the_tolerance_swallowed_is_raised_where_the_present_needs_it() -> None:
    # The HPA leaves 10 as they are when 11 are wanted, and acts on 12; 10.4 are busy now
    plan, state = decide(
        seen(replicas=10.0), asked(10_400), outlook(10.4), BY_COST, at(11, orders=OVERDUE)
    )

    assert (plan.planned, plan.desired, state.handed) == (11, 12, 12)
    assert text_of(plan, "tolerance") == (
        "11 wanted, an HPA with the default tolerance of 10 % keeps 10: not ready 6m40s after the "
        "order, and 10.4 are busy now, so 12 are asked for"
    )


def test_a_swallowed_order_that_nobody_needs_yet_is_said_and_not_raised() -> None:
    plan, _ = decide(
        seen(replicas=10.0), asked(9000), outlook(9.0, 9.0, 9.0, 10.5), BY_COST,
        at(11, orders=OVERDUE),
    )  # fmt: skip

    assert plan.desired == 11
    text = text_of(plan, "tolerance")
    assert text is not None
    assert text.endswith("keeps 10: not ready 6m40s after the order")


def test_an_order_on_its_way_is_not_taken_for_ignored() -> None:
    on_its_way = (Order(at_seconds=NOW - 100, replicas=1),)

    plan, _ = decide(
        seen(replicas=10.0), asked(10_400), outlook(10.4), BY_COST, at(11, orders=on_its_way)
    )

    assert (plan.desired, text_of(plan, "tolerance")) == (11, None)


@pytest.mark.parametrize(("ready", "said"), [(10.0, True), (9.0, False)], ids=["ten", "nine"])
def test_a_release_that_the_hpa_ignores_is_said(ready: float, said: bool) -> None:
    load = (ready - 1.5) * 1000
    plan, _ = decide(
        seen(replicas=ready), asked(load), outlook(load / 1000), BY_COST, at(int(ready))
    )

    assert plan.desired == int(ready) - 1
    assert (text_of(plan, "tolerance") is not None) == said


def test_a_quantile_in_place_of_the_cost_plans_and_holds_as_it_says() -> None:
    spec = TriggerSpec.model_validate({"model": "m", "mode": Mode.ACT, "quantile": "0.9"})
    parameters = parameters_of(spec, CAPACITY)

    plan, _ = decide(seen(), asked(2000), outlook(2.0, 2.0, 2.0, 6.5), parameters, at(4))

    assert plan.desired == 7
    assert text_of(plan, "forecast") == "q0.9 in 5m: the forecast, skill +20%"
    assert parameters.hold_given
