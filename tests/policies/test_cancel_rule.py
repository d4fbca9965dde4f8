"""A node that still starts is let go where neither demand nor the forecast wants it."""

from dataclasses import replace
from typing import Any

import pytest

from fleet.cluster.nodes import CapacityType
from fleet.cluster.owners import Workload
from policies.decide import SETTLED, DecisionState
from policies.node_plan import Verdict
from policies.policy.pool_policy import Lever, PoolPolicy, SpotHedge
from policies.situation import GangDemand, NodeStage, PoolNode
from tests.policies.pools import (
    FOUR,
    FOUR_WANTED,
    NOW,
    busy,
    coming,
    empty,
    forecast,
    named,
    node,
    ordered,
    plan_of,
    pod,
    pool,
    round_of,
    texts,
    verdicts,
)

FIVE_WANTED = forecast((4.0, 5.0, 6.0))  # at rho 30
LATENCY = PoolPolicy(rho=30)
TUNE = Workload(kind="JobSet", namespace="ml", name="tune")


def booting(name: str, minutes: float = 3, **fields: Any) -> PoolNode:
    ordered = NOW - 60 * minutes
    return coming(name, **{"ordered_seconds": ordered, "stage_since_seconds": ordered} | fields)


def gone(*nodes: PoolNode, policy: PoolPolicy = PoolPolicy(), **fields: Any) -> list[str]:  # noqa: B008
    """The nodes that are let go beside four busy ones, where four are wanted."""
    state = pool(*FOUR, *nodes, **{"forecast": FOUR_WANTED} | fields)
    return named(plan_of(state, policy), Verdict.RELEASE)


def test_a_node_that_nothing_wants_any_more_does_not_boot_to_its_end() -> None:
    plan = plan_of(pool(*FOUR, booting("new"), forecast=FOUR_WANTED))
    assert verdicts(plan)["new"] == "release: uninitialized"
    assert (
        "cancel: ordered 3 min ago and not ready, above the 4 nodes that are worth keeping, and no "
        "pod waits; it frees 1 GPUs and $2.00 an hour" in texts(plan)
    )


def test_a_node_that_the_forecast_wants_boots_on() -> None:
    plan = plan_of(pool(*FOUR, booting("new"), forecast=FIVE_WANTED), LATENCY)
    assert verdicts(plan)["new"] == "leave: uninitialized"


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        pytest.param((booting("a", 3), booting("b", 1)), "b", id="the one ordered last"),
        pytest.param(
            (
                booting("a", 3, stage=NodeStage.ORDERED),
                booting("b", 1, stage=NodeStage.REGISTERED),
            ),
            "a",
            id="the one that is least far",
        ),
        pytest.param((booting("a", 3, usd_per_hour=3.0), booting("b", 1)), "a", id="the dearest"),
        pytest.param(
            (booting("a", 1), booting("b", 3, capacity_type=CapacityType.RESERVED)),
            "a",
            id="never a reserved one",
        ),
        pytest.param(
            (booting("a", 1), booting("b", 3, held_by_others=True)),
            "a",
            id="never one that others hold",
        ),
    ],
)
def test_of_two_one_goes(nodes: tuple[PoolNode, ...], first: str) -> None:
    plan = plan_of(pool(*FOUR, *nodes, forecast=FIVE_WANTED), LATENCY)
    assert named(plan, Verdict.RELEASE) == [first]


def test_an_empty_node_takes_the_place_of_one_that_boots() -> None:
    plan = plan_of(pool(*FOUR, empty("ready"), booting("new"), forecast=FIVE_WANTED), LATENCY)
    assert verdicts(plan)["ready"] == "hold: forecast hold"
    assert named(plan, Verdict.RELEASE) == ["new"]


def test_a_node_out_of_service_takes_the_place_of_none() -> None:
    down = node("down", out_of_service=True)
    plan = plan_of(pool(*FOUR, down, booting("new"), forecast=FIVE_WANTED), LATENCY)
    assert named(plan, Verdict.RELEASE) == []


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"pods_wait": True}, id="one that is counted nowhere"),
        pytest.param({"demand_gpus": 4.5}, id="one that is planned"),
        pytest.param(
            {"gangs": (GangDemand(workload=TUNE, pods=2, gpus_per_pod=1, waiting_pods=2),)},
            id="a gang",
        ),
        pytest.param(
            {
                "gangs": (
                    GangDemand(
                        workload=TUNE, pods=2, gpus_per_pod=1, waiting_pods=2, held_back="quota"
                    ),
                )
            },
            id="a gang without quota",
        ),
    ],
)
def test_nothing_is_cancelled_while_a_pod_waits(fields: dict[str, Any]) -> None:
    # Eight GPUs a node, of which two nodes are used: the waiting pod would fit there by number.
    used = (busy("a", 8, used=2), busy("b", 8, used=2))
    state = pool(
        *used, booting("new", gpus=8), gpus_per_node=8, forecast=FOUR_WANTED, demand_gpus=4.0
    )
    assert named(plan_of(state), Verdict.RELEASE) == ["new"]
    assert named(plan_of(replace(state, **fields)), Verdict.RELEASE) == []


def test_a_step_says_when_starts_go_on_for_pods_that_wait() -> None:
    waits = plan_of(pool(*FOUR, booting("new"), forecast=FOUR_WANTED, pods_wait=True))
    text = "cancel: 1 starts above the 4 wanted nodes go on: pods wait that may get them"
    assert text in texts(waits)


def test_pods_of_gangs_do_not_hide_one_that_waits() -> None:
    of_gang = node("gang", 8, pods=tuple(pod(f"g{i}", workload=TUNE) for i in range(8)))
    runs = GangDemand(workload=TUNE, pods=8, gpus_per_pod=1, waiting_pods=0)
    used = (busy("a", 8, used=2), busy("b", 8, used=1))
    nodes = (*used, of_gang, booting("new", gpus=8))
    state = pool(*nodes, gpus_per_node=8, forecast=FOUR_WANTED, demand_gpus=4.0, gangs=(runs,))
    assert named(plan_of(state), Verdict.RELEASE) == []
    three = replace(state, demand_gpus=3.0)
    assert named(plan_of(three), Verdict.RELEASE) == ["new"]


@pytest.mark.parametrize("fields", [{"leaving": True}, {"ending": True}])
def test_the_pods_of_a_node_that_goes_are_waited_for(fields: dict[str, Any]) -> None:
    used = (busy("a", 8, used=2), busy("b", 8, used=1), busy("goes", 8, used=1, **fields))
    state = pool(*used, booting("new", gpus=8), gpus_per_node=8, forecast=FOUR_WANTED)
    assert named(plan_of(state), Verdict.RELEASE) == []


def test_a_node_with_a_pod_before_it_is_initialized_stays() -> None:
    taken = booting("taken", pods=(pod("early"),))
    state = pool(*FOUR[:3], taken, booting("new"), forecast=FOUR_WANTED)
    assert named(plan_of(state), Verdict.RELEASE) == ["new"]


def test_one_that_was_just_ordered_boots_on() -> None:
    """What is not done must not be counted on, by the ceilings and by what is learned of starts."""
    assert gone(booting("new", minutes=29 / 60)) == []
    assert gone(booting("new", minutes=30 / 60)) == ["new"]


def test_what_is_not_known_to_be_on_its_way_is_not_called_off() -> None:
    assert not node("n").cancellable


def test_a_start_that_cannot_be_called_off_holds_up_no_order() -> None:
    """What would do it may refuse for long."""
    memory = SETTLED
    for seconds in range(0, 840, 120):
        state = pool(
            *FOUR,
            booting("stuck"),
            forecast=replace(FOUR_WANTED, made_at_seconds=NOW + seconds),
        )
        made, memory = round_of(state, state=memory, now=NOW + seconds)
        assert named(made.pools[0], Verdict.RELEASE) == ["stuck"]
    high = pool(
        *FOUR,
        booting("stuck"),
        forecast=replace(forecast((5.0, 6.0, 7.0), last=4.0), made_at_seconds=NOW + 730),
    )
    more, _ = round_of(high, policy=PoolPolicy(rho=50), state=memory, now=NOW + 730)
    assert ordered(more.pools[0]) == [(1, "pre-warm")]


def test_in_a_static_pool_a_start_that_is_refused_holds_up_orders_from_its_first_verdict_on() -> (
    None
):
    """What would do it may refuse for long, and two boots and a pull are 840 s."""
    memory, made_at = SETTLED, [*range(0, 840, 120), 835]
    for seconds in made_at:
        state = pool(
            *FOUR,
            booting("stuck"),
            forecast=replace(FOUR_WANTED, made_at_seconds=NOW + seconds),
            static=True,
        )
        made, memory = round_of(state, state=memory, now=NOW + seconds)
        assert named(made.pools[0], Verdict.RELEASE) == ["stuck"]
    found = []
    for seconds in (839, 840):
        rising = replace(forecast((5.0, 6.0, 7.0), last=4.0), made_at_seconds=NOW + seconds)
        high = pool(*FOUR, booting("stuck"), forecast=rising, static=True)
        more, memory = round_of(high, policy=PoolPolicy(rho=50), state=memory, now=NOW + seconds)
        found.append(ordered(more.pools[0]))
    assert found == [[], [(1, "pre-warm")]]


def test_what_is_no_machine_on_its_way_stays() -> None:
    assert gone(booting("was-up", cancellable=False)) == []


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param(PoolPolicy(warm_floor_nodes=5), id="a warm floor"),
        pytest.param(PoolPolicy(keep_new_nodes_seconds=600.0), id="new nodes are kept"),
        pytest.param(PoolPolicy(levers=frozenset(Lever) - {Lever.NODE_RELEASE}), id="its lever"),
    ],
)
def test_what_the_operator_asks_for_boots_on(policy: PoolPolicy) -> None:
    assert gone(booting("new")) == ["new"]
    assert gone(booting("new"), policy=policy) == []


def test_spare_nodes_for_lost_spot_machines_boot_on() -> None:
    policy = PoolPolicy(spot_hedge=SpotHedge(spare_nodes=1))
    spot = booting("spot", capacity_type=CapacityType.SPOT)
    assert gone(spot) == ["spot"]
    assert gone(spot, policy=policy) == []


def test_only_what_a_floor_wants_boots_on() -> None:
    new = [booting(f"new-{i}", minutes=3 - i) for i in range(3)]
    assert gone(*new, policy=PoolPolicy(warm_floor_nodes=5)) == ["new-1", "new-2"]


def test_a_domain_that_is_not_known_yet_is_not_broken() -> None:
    plan = plan_of(
        pool(*FOUR[:3], busy("linked", clique="d1"), booting("new"), forecast=FOUR_WANTED)
    )
    assert named(plan, Verdict.RELEASE) == []
    assert "cancel: not called off: it does not tell its NVLink domain yet" in texts(plan)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"forecast": None}, id="no forecast"),
        pytest.param(
            {"forecast": replace(FOUR_WANTED, made_at_seconds=NOW - 901)}, id="an old forecast"
        ),
    ],
)
def test_without_a_forecast_all_boot_on(given: dict[str, Any]) -> None:
    assert gone(booting("new"), **given) == []


def test_a_start_without_a_state_lets_all_boot_on() -> None:
    state = pool(*FOUR, booting("new"), forecast=FOUR_WANTED)
    fresh, memory = round_of(state, state=DecisionState())
    assert named(fresh.pools[0], Verdict.RELEASE) == []
    later, _ = round_of(state, state=memory, now=NOW + 120)
    assert named(later.pools[0], Verdict.RELEASE) == ["new"]


def test_a_pool_that_orders_cancels_nothing() -> None:
    floor = PoolPolicy(warm_floor_nodes=6)
    state = pool(*FOUR, booting("new"), forecast=FOUR_WANTED)
    plan = plan_of(state, floor)
    assert ordered(plan) == [(1, "warm floor")]
    assert named(plan, Verdict.RELEASE) == []


def test_what_somebody_orders_after_a_node_was_let_go_boots_on() -> None:
    """A buffer of another owner would order it again and again."""
    _, memory = round_of(pool(*FOUR, booting("new"), forecast=FOUR_WANTED), state=SETTLED)
    again = booting("again", ordered_seconds=NOW + 5)
    state = pool(*FOUR, again, forecast=replace(FOUR_WANTED, made_at_seconds=NOW + 120))
    soon, memory = round_of(state, state=memory, now=NOW + 120)
    assert named(soon.pools[0], Verdict.RELEASE) == []
    assert "it was ordered after the last one was let go, and no pod that waited since" in texts(
        soon.pools[0]
    )
    # Two boots of 6 minutes and a pull of 2 are over, and the release is forgotten.
    late = replace(state, forecast=replace(FOUR_WANTED, made_at_seconds=NOW + 840))
    _, memory = round_of(late, state=memory, now=NOW + 840)
    then, _ = round_of(late, state=memory, now=NOW + 960)
    assert named(then.pools[0], Verdict.RELEASE) == ["again"]


def test_what_was_ordered_for_pods_that_are_gone_again_is_let_go() -> None:
    _, memory = round_of(pool(*FOUR, booting("new"), forecast=FOUR_WANTED), state=SETTLED)
    again = booting("again", ordered_seconds=NOW + 5)
    state = pool(*FOUR, again, forecast=replace(FOUR_WANTED, made_at_seconds=NOW + 120))
    wait = replace(state, demand_gpus=5.0, pods_wait=True)
    then, memory = round_of(wait, state=memory, now=NOW + 120)
    assert named(then.pools[0], Verdict.RELEASE) == []
    later, _ = round_of(state, state=memory, now=NOW + 240)
    assert named(later.pools[0], Verdict.RELEASE) == ["again"]


@pytest.mark.parametrize("every", [1, 2, 3, 5])
def test_pods_that_wait_now_and_then_do_not_have_a_buffer_of_others_fought(every: int) -> None:
    """A pod waits in every Nth of the rounds of 2 min; what is called off is bought at once."""
    lasts = 2 * 360.0 + 120.0  # two boots and a pull
    memory, off = SETTLED, []
    bought = NOW - 60
    for i in range(240):
        now = NOW + 120 * i
        if now - bought >= 360:  # it got ready, its pods came and went, and another is bought
            bought = now - 60
        waits = i % every == 1 % every and every > 1
        state = pool(
            *FOUR,
            booting(f"of-{bought:.0f}", ordered_seconds=bought),
            forecast=replace(FOUR_WANTED, made_at_seconds=now),
            demand_gpus=5.0 if waits else 4.0,
            pods_wait=waits,
        )
        made, memory = round_of(state, state=memory, now=now)
        if named(made.pools[0], Verdict.RELEASE):
            off.append(now)
            bought = now + 5
    assert off
    # A pod that waits explains one more node where the one bought for it was called off.
    bound = 3 if every == 2 else 2
    assert max(sum(at <= other < at + lasts for other in off) for at in off) <= bound


def test_a_wait_explains_as_many_machines_as_its_pods_needed() -> None:
    _, memory = round_of(pool(*FOUR, booting("new"), forecast=FOUR_WANTED), state=SETTLED)
    again = [booting(f"again-{i}", ordered_seconds=NOW + 5 + i) for i in range(3)]
    state = pool(*FOUR, *again, forecast=replace(FOUR_WANTED, made_at_seconds=NOW + 120))
    _, memory = round_of(replace(state, demand_gpus=6.0), state=memory, now=NOW + 120)
    later, _ = round_of(state, state=memory, now=NOW + 240)
    assert named(later.pools[0], Verdict.RELEASE) == ["again-0", "again-1"]


def test_what_is_called_off_leaves_the_ceiling_to_what_is_held() -> None:
    """Of $2 an hour one node is held; two of the same price would be above it."""
    policy = PoolPolicy(rho=30, idle_usd_per_hour_max=2.0)
    plan = plan_of(pool(*FOUR, empty("ready"), booting("new"), forecast=FIVE_WANTED), policy)
    assert verdicts(plan)["ready"] == "hold: forecast hold"
    assert named(plan, Verdict.RELEASE) == ["new"]
