"""Nodes above the wanted number go, the one that frees most first."""

from dataclasses import replace

import pytest

from fleet.cluster.nodes import CapacityType
from policies.decide import DecisionState
from policies.node_plan import Verdict
from policies.policy.pool_policy import Lever, PoolPolicy
from policies.situation import PoolNode, PoolState
from tests.policies.pools import (
    NOW,
    busy,
    empty,
    forecast,
    named,
    node,
    plan_of,
    pool,
    round_of,
    texts,
    verdicts,
)

FOUR = tuple(busy(f"busy-{i}") for i in range(4))
FIVE_WANTED = forecast((4.0, 5.0, 6.0))  # at rho 30
FOUR_WANTED = forecast((4.0, 4.1, 4.2))
ONE_WANTED = forecast((1.0, 1.1, 1.2), last=1.0)
LATENCY = PoolPolicy(rho=30)


@pytest.mark.parametrize(
    ("nodes", "released"),
    [
        pytest.param((empty("a", minutes=5), empty("b", minutes=50)), ["b"], id="longest empty"),
        pytest.param(
            (empty("a", minutes=5, usd_per_hour=3.0), empty("b", minutes=50)), ["a"], id="dearest"
        ),
        pytest.param(
            (
                empty("a", minutes=5),
                empty("b", minutes=50, capacity_type=CapacityType.RESERVED, usd_per_hour=9.0),
            ),
            ["a"],
            id="never a reserved one",
        ),
        pytest.param(
            (empty("a", minutes=5), empty("b", minutes=50, held_by_others=True)),
            ["a"],
            id="never one that others hold",
        ),
        pytest.param(
            (empty("a", minutes=5), empty("b", minutes=50, cpu_pod="web/router")),
            ["a"],
            id="never one with a pod that asks for no GPU",
        ),
    ],
)
def test_of_two_empty_nodes_one_goes(nodes: tuple[PoolNode, ...], released: list[str]) -> None:
    plan = plan_of(pool(*FOUR, *nodes, forecast=FIVE_WANTED), LATENCY)
    assert named(plan, Verdict.RELEASE) == released


def fallen(
    *nodes: PoolNode,
    before: float,
    now: float,
    gpus: int = 1,
    gpus_per_pod: int = 1,
) -> PoolState:
    """Demand was one thing when the forecast was made, and is another; little more is expected."""
    return pool(
        *nodes,
        gpus_per_node=gpus,
        gpus_per_pod=gpus_per_pod,
        demand_gpus=now,
        forecast=forecast((before, before + 0.1, before + 0.2), last=before),
    )


@pytest.mark.parametrize(
    ("rho", "gpus", "gpus_per_pod", "released"),
    # An even chance of a wait of 8 minutes by each GPU of a pod, against two idle minutes of each
    # GPU of the node.
    [
        (3.0, 1, 1, []),
        (0.4, 1, 1, ["new"]),
        (3.0, 8, 1, ["new"]),
        (10.0, 8, 1, []),
        (3.0, 8, 8, []),
        (0.4, 8, 8, ["new"]),
    ],
)
def test_a_forecast_from_before_demand_fell_lets_a_node_go_where_pods_are_worth_little(
    rho: float, gpus: int, gpus_per_pod: int, released: list[str]
) -> None:
    used = [busy(f"used-{i}", gpus) for i in range(4)]
    new = empty("new", gpus, minutes=1)
    demand = 4.0 * gpus
    for before, found in ((demand + gpus_per_pod, released), (demand, ["new"])):
        state = fallen(*used, new, before=before, now=demand, gpus=gpus, gpus_per_pod=gpus_per_pod)
        plan = plan_of(state, PoolPolicy(rho=rho))
        assert named(plan, Verdict.RELEASE) == found


@pytest.mark.parametrize("seconds", [-14.0, 5.0], ids=["before the forecast", "after it"])
@pytest.mark.parametrize(
    ("before", "released"),
    [
        pytest.param(5.0, [], id="an earlier reading of its step made it"),
        pytest.param(4.0, ["new"], id="it knows that demand has fallen"),
    ],
)
def test_the_demand_that_a_forecast_knows_counts_and_not_its_time(
    seconds: float, before: float, released: list[str]
) -> None:
    """Its time is the beginning of its step, and its demand the highest reading until the round."""
    new = replace(empty("new"), empty_since_seconds=NOW + seconds)
    state = fallen(*FOUR, new, before=before, now=4.0)
    plan, _ = round_of(state, policy=PoolPolicy(rho=3), now=NOW + 20)
    assert named(plan.pools[0], Verdict.RELEASE) == released


def test_of_nodes_above_those_that_the_forecast_knew_in_use_each_goes() -> None:
    state = fallen(*FOUR, empty("old", minutes=50), empty("new"), before=5.0, now=4.0)
    plan = plan_of(state, PoolPolicy(rho=3))
    assert named(plan, Verdict.RELEASE) == ["old"]
    assert (
        "release: not released: demand was 5 GPUs when the forecast was made, and the next one "
        "decides, unless Karpenter removes it before"
    ) in texts(plan)


def test_a_hold_runs_on_until_a_forecast_knows_that_demand_has_fallen() -> None:
    held = empty("held", held_by_us_until_seconds=NOW + 300)
    plan = plan_of(fallen(*FOUR, held, before=5.0, now=4.0), PoolPolicy(rho=3))
    assert [(one.verdict, one.until_seconds) for one in plan.nodes if one.node == "held"] == [
        (Verdict.HOLD, NOW + 300)
    ]


def test_no_part_of_an_nvlink_domain_goes_while_the_rest_waits_for_a_forecast() -> None:
    domain = (empty("a", clique="d1"), empty("b", clique="d1", minutes=50))
    plan = plan_of(fallen(*FOUR, *domain, before=5.0, now=4.0), PoolPolicy(rho=3))
    assert named(plan, Verdict.RELEASE) == []


def test_a_part_of_an_nvlink_domain_stays_with_the_rest() -> None:
    nodes = (busy("used", clique="d1"), empty("part", clique="d1"), empty("own"))
    plan = plan_of(pool(*nodes, demand_gpus=1.0, forecast=ONE_WANTED))
    assert named(plan, Verdict.RELEASE) == ["own"]
    assert "not released: the rest of its NVLink domain d1 stays" in texts(plan)


def test_a_whole_nvlink_domain_goes_at_once() -> None:
    nodes = (busy("used"), empty("a", clique="d1"), empty("b", clique="d1"))
    plan = plan_of(pool(*nodes, demand_gpus=1.0, forecast=ONE_WANTED))
    assert named(plan, Verdict.RELEASE) == ["a", "b"]


def test_a_node_with_a_pod_is_not_released() -> None:
    partly = busy("partly", 8, used=1)
    state = pool(
        busy("full", 8),
        partly,
        gpus_per_node=8,
        demand_gpus=5.0,
        forecast=forecast((5.0, 5.1, 5.2), last=5.0),
    )
    assert verdicts(plan_of(state)) == {"full": "leave: serves", "partly": "leave: fragmentation"}


def test_a_node_that_does_not_tell_since_when_it_is_empty_is_not_released() -> None:
    unknown = empty("unknown", empty_since_seconds=None)
    plan = plan_of(pool(*FOUR, unknown, forecast=FOUR_WANTED))
    assert named(plan, Verdict.RELEASE) == []


def test_a_start_without_a_state_neither_releases_nor_drops_what_stands() -> None:
    held = empty("held", held_by_us_until_seconds=NOW + 300)
    state = pool(*FOUR, held, empty("other"), forecast=FOUR_WANTED)
    fresh, memory = round_of(state, state=DecisionState())
    assert verdicts(fresh.pools[0])["held"] == "hold: forecast hold"
    assert verdicts(fresh.pools[0])["other"] == "leave: no reason"
    later, _ = round_of(state, state=memory, now=NOW + 120)
    assert named(later.pools[0], Verdict.RELEASE) == ["held", "other"]


def test_releases_need_their_lever() -> None:
    policy = PoolPolicy(levers=frozenset(Lever) - {Lever.NODE_RELEASE})
    plan = plan_of(pool(*FOUR, empty("spare"), forecast=FOUR_WANTED), policy)
    assert named(plan, Verdict.RELEASE) == []
    assert "release: not released: the policy does not allow releases" in texts(plan)


def test_a_pool_without_a_policy_is_left_alone() -> None:
    state = pool(*FOUR, empty("spare"), forecast=FOUR_WANTED)
    plan, _ = round_of(state, policy=lambda _pool, _at: None)
    assert verdicts(plan.pools[0])["spare"] == "leave: no reason"
    assert texts(plan.pools[0]) == "policy: no policy covers this pool"


@pytest.mark.parametrize(
    ("pools", "message"),
    [
        pytest.param(
            (pool(demand_gpus=0.0), pool(demand_gpus=0.0)),
            "two pools are called 'h100': decide for each cluster alone",
            id="one name twice",
        ),
        pytest.param(
            (pool(demand_gpus=0.0, gpus_per_node=0),),
            "pool 'h100' has 0 GPUs a node: leave out pools without",
            id="no GPUs",
        ),
    ],
)
def test_a_situation_that_makes_no_sense_is_refused(
    pools: tuple[PoolState, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        round_of(*pools)


def test_a_node_out_of_service_takes_no_place_of_one_that_serves() -> None:
    down = node("down", out_of_service=True)
    plan = plan_of(pool(*FOUR, down, empty("b"), forecast=FIVE_WANTED), LATENCY)
    assert (verdicts(plan)["down"], verdicts(plan)["b"]) == (
        "leave: out of service",
        "hold: forecast hold",
    )
