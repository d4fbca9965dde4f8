"""Part of a pool does not depend on spot machines."""

from fleet.cluster.nodes import CapacityType
from policies.policy.pool_policy import PoolPolicy, SpotHedge
from tests.policies.pools import busy, empty, forecast, ordered, plan_of, pool, texts, verdicts

SPOT, ON_DEMAND = CapacityType.SPOT, CapacityType.ON_DEMAND
TWO_WANTED = forecast((2.0, 2.1, 2.2), last=2.0)


def test_spare_nodes_are_kept_while_a_node_is_a_spot_machine() -> None:
    policy = PoolPolicy(spot_hedge=SpotHedge(spare_nodes=1))
    nodes = (busy("a", capacity_type=SPOT), busy("b"), empty("c", minutes=1), empty("d"))
    plan = plan_of(pool(*nodes, demand_gpus=2.0, forecast=TWO_WANTED), policy)
    assert verdicts(plan)["c"] == "hold: pre-warm"
    assert verdicts(plan)["d"] == "release: no reason"
    safe = (busy("a"), busy("b"), empty("c"))
    plan = plan_of(pool(*safe, demand_gpus=2.0, forecast=TWO_WANTED), policy)
    assert verdicts(plan)["c"] == "release: no reason"


def test_a_missing_spare_node_is_ordered() -> None:
    policy = PoolPolicy(spot_hedge=SpotHedge(spare_nodes=2))
    nodes = (busy("a", capacity_type=SPOT), empty("b"))
    plan = plan_of(pool(*nodes, demand_gpus=1.0), policy)
    assert ordered(plan) == [(1, "pre-warm")]


def test_orders_are_on_demand_until_the_share_is() -> None:
    # 6 nodes with the 4 ordered; half are 3, and one is there.
    policy = PoolPolicy(warm_floor_nodes=6, spot_hedge=SpotHedge(on_demand_share=0.5))
    nodes = (busy("a", capacity_type=SPOT), busy("b", capacity_type=ON_DEMAND))
    plan = plan_of(pool(*nodes, demand_gpus=2.0), policy)
    assert [(one.nodes, one.capacity_type) for one in plan.orders] == [(2, ON_DEMAND), (2, None)]


def test_a_pool_of_spot_machines_says_that_it_has_none_on_demand() -> None:
    policy = PoolPolicy(warm_floor_nodes=2, spot_hedge=SpotHedge(on_demand_share=0.5))
    plan = plan_of(pool(demand_gpus=0.0, capacity_type=SPOT), policy)
    assert [one.capacity_type for one in plan.orders] == [None]
    assert "spot-hedge: the pool has spot machines only, none on demand" in texts(plan)
