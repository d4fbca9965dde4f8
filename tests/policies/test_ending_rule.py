"""A node that ends whatever anybody does is replaced while its pods still run on it."""

from dataclasses import replace
from typing import Any

import pytest

from fleet.cluster.owners import Workload
from policies.node_plan import Verdict
from policies.policy.pool_policy import PoolPolicy
from policies.situation import GangDemand, PoolState
from tests.policies.pools import (
    busy,
    coming,
    empty,
    forecast,
    named,
    ordered,
    plan_of,
    pool,
    texts,
)


def four(*more: Any, ending: bool = True, **fields: Any) -> PoolState:
    """Four nodes whose pods fill them, of which one ends."""
    return pool(busy("a"), busy("b"), busy("c"), busy("d", ending=ending), *more, **fields)


def test_a_node_is_ordered_for_the_pods_of_one_that_ends() -> None:
    plan = plan_of(four())
    assert ordered(plan) == [(1, "pre-warm")]
    assert "for the pods of d, before another could be there" in str(plan.orders[0].steps)
    assert ordered(plan_of(four(ending=False))) == []


def test_what_was_ordered_is_not_ordered_again_and_is_held_until_the_pods_come() -> None:
    assert ordered(plan_of(four(coming("e")))) == []
    there = plan_of(four(empty("e")))
    assert (ordered(there), named(there, Verdict.HOLD)) == ([], ["e"])
    # One more than the pods fill is nothing of this rule's.
    assert len(named(plan_of(four(empty("e"), empty("f"))), Verdict.HOLD)) == 1


def test_nodes_for_growth_are_ordered_beside_it() -> None:
    grows = forecast((5.0, 5.0, 5.0), last=4.0)
    assert ordered(plan_of(four(forecast=grows))) == [(1, "pre-warm"), (1, "pre-warm")]
    assert ordered(plan_of(four(ending=False, forecast=grows))) == [(1, "pre-warm")]


def test_what_the_schedule_orders_is_enough_for_it() -> None:
    assert ordered(plan_of(four(), PoolPolicy(warm_floor_nodes=4))) == [(1, "warm floor")]


@pytest.mark.parametrize(("ceiling_usd", "nodes"), [(2.0, 1), (1.0, 0)])
def test_a_ceiling_limits_it(ceiling_usd: float, nodes: int) -> None:
    policy = PoolPolicy(idle_usd_per_hour_max=ceiling_usd)
    assert sum(order.nodes for order in plan_of(four(), policy).orders) == nodes
    assert len(named(plan_of(four(empty("e")), policy), Verdict.HOLD)) == nodes


def test_nothing_is_ordered_for_a_gang_which_ends_with_its_node_nor_for_one_that_is_drained() -> (
    None
):
    train = Workload(kind="JobSet", namespace="ml", name="tune")
    gang = GangDemand(workload=train, pods=1, gpus_per_pod=1, waiting_pods=0)
    state = four()
    runs = replace(state.nodes[3], pods=(replace(state.nodes[3].pods[0], workload=train),))
    of_gang = replace(state, nodes=(*state.nodes[:3], runs), gangs=(gang,), demand_gpus=3.0)
    assert ordered(plan_of(of_gang)) == []
    # Its pods are evicted and wait: Karpenter sees them.
    drained = replace(state.nodes[3], leaving=True)
    assert ordered(plan_of(replace(state, nodes=(*state.nodes[:3], drained)))) == []


def test_a_node_that_ends_empty_needs_none_in_its_place() -> None:
    plan = plan_of(pool(busy("a"), empty("b", ending=True), demand_gpus=1.0))
    assert (ordered(plan), named(plan, Verdict.HOLD)) == ([], [])
    assert "before another could be there" not in texts(plan)
