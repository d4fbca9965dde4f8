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


def test_a_pod_that_loads_for_longer_than_its_workload_takes_keeps_no_node() -> None:
    def state(believed_minutes: float):
        until = NOW + believed_minutes * MINUTE
        new = pod("new", ready=False, created_seconds=NOW - 300, loading_until_seconds=until)
        return pool(node("a", pods=(new,)), demand_gpus=1.0)

    held = plan_of(state(2)).nodes[0]
    assert (held.verdict, held.until_seconds) == (Verdict.HOLD, NOW + 2 * MINUTE)
    assert verdicts(plan_of(state(-1))) == {"a": "leave: serves"}


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
