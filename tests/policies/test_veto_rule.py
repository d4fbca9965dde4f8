"""A node whose replica loads its model stays, for a limited time."""

from fleet.cluster.nodes import CapacityType
from policies.node_plan import Verdict
from policies.policy.pool_policy import PoolPolicy
from tests.policies.pools import NOW, empty, node, plan_of, pod, pool, round_of, texts, verdicts

MINUTE = 60.0


def loading(minutes: float, name: str = "a"):
    return node(name, pods=(pod("new", ready=False, created_seconds=NOW - minutes * MINUTE),))


def test_a_loading_replica_holds_its_node_for_a_lease() -> None:
    plan = plan_of(pool(loading(5), demand_gpus=1.0))
    assert verdicts(plan) == {"a": "hold: veto"}
    assert plan.nodes[0].until_seconds == NOW + 900
    assert texts(plan).splitlines()[-1] == (
        "veto: pod llm/new loads its model for 5 min; the veto ends in 25 min at the latest"
    )


def test_the_last_lease_ends_with_the_veto() -> None:
    plan = plan_of(pool(loading(28), demand_gpus=1.0))
    assert plan.nodes[0].until_seconds == NOW + 2 * MINUTE


def test_a_pod_that_never_gets_ready_keeps_no_node() -> None:
    plan = plan_of(pool(loading(31), demand_gpus=1.0))
    assert verdicts(plan) == {"a": "leave: serves"}
    assert "pod llm/new is not ready after 31 min: the veto is lifted" in texts(plan)


def test_the_veto_ends_when_loads_of_the_workload_usually_have() -> None:
    learned = pod(
        "new",
        ready=False,
        created_seconds=NOW - 5 * MINUTE,
        loading_until_seconds=NOW + 3 * MINUTE,
    )
    plan = plan_of(pool(node("a", pods=(learned,)), demand_gpus=1.0))
    assert plan.nodes[0].until_seconds == NOW + 3 * MINUTE
    assert "the veto ends in 3 min at the latest" in texts(plan)


def test_of_several_loading_pods_the_last_to_end_counts() -> None:
    soon = pod("soon", ready=False, created_seconds=NOW, loading_until_seconds=NOW + MINUTE)
    late = pod("late", ready=False, created_seconds=NOW - 10 * MINUTE)
    plan = plan_of(pool(node("a", pods=(soon, late)), demand_gpus=2.0))
    assert "pod llm/late loads its model for 10 min; the veto ends in 20 min" in texts(plan)


def test_a_clock_that_goes_back_does_not_lengthen_the_veto() -> None:
    state = pool(loading(29), demand_gpus=1.0)
    _, memory = round_of(state)
    _, memory = round_of(state, state=memory, now=NOW - 86_400)
    plan, _ = round_of(state, state=memory, now=NOW - 86_400 + 31 * MINUTE)
    assert plan.pools[0].nodes[0].verdict is Verdict.LEAVE


def test_a_policy_without_a_veto_leaves_loading_nodes_to_karpenter() -> None:
    plan = plan_of(pool(loading(5), demand_gpus=1.0), PoolPolicy(veto_seconds=None))
    assert verdicts(plan) == {"a": "leave: serves"}


def test_an_empty_reserved_node_is_held_beside_any_ceiling() -> None:
    policy = PoolPolicy(idle_usd_per_hour_max=0.0)
    reserved = empty("r", capacity_type=CapacityType.RESERVED, usd_per_hour=98.0)
    assert verdicts(plan_of(pool(reserved, demand_gpus=0.0), policy)) == {"r": "hold: reserved"}
