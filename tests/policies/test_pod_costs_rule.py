"""Replicas of the emptiest node go first, so that nodes of several GPUs can empty."""

from fleet.cluster.nodes import CapacityType
from fleet.cluster.owners import Workload
from policies.policy.pool_policy import Lever, PoolPolicy
from tests.policies.pools import busy, empty, node, plan_of, pod, pool, texts

SET = Workload(kind="StatefulSet", namespace="llm", name="shards")
LWS = Workload(kind="LeaderWorkerSet", namespace="llm", name="big")


def eights(*nodes, **fields):
    return pool(*nodes, gpus_per_node=8, demand_gpus=16.0, **fields)


def test_pods_of_emptier_nodes_cost_less() -> None:
    plan = plan_of(eights(busy("full", 8), busy("half", 8, used=4), busy("low", 8, used=1)))
    cost = {uid.removeprefix("uid-"): cost for uid, cost in plan.deletion_costs.items()}
    assert cost["low-0"] < cost["half-0"] < cost["full-0"]
    assert {cost[f"half-{i}"] for i in range(4)} == {cost["half-0"]}
    assert min(cost.values()) > 0
    assert max(cost.values()) < 2**20  # Karpenter's trap is at 2**27


def test_equally_full_nodes_differ_so_that_one_empties_first() -> None:
    plan = plan_of(eights(busy("a", 8, used=2), busy("b", 8, used=2)))
    costs = plan.deletion_costs
    assert costs["uid-a-0"] == costs["uid-a-1"] != costs["uid-b-0"] == costs["uid-b-1"]


def test_only_what_changes_is_written() -> None:
    first = plan_of(eights(busy("a", 8, used=2), busy("b", 8, used=2), busy("c", 8, used=5)))
    written = first.deletion_costs

    def with_cost(name: str, used: int):
        pods = tuple(
            pod(f"{name}-{i}", deletion_cost=written[f"uid-{name}-{i}"]) for i in range(used)
        )
        return node(name, 8, pods=pods)

    same = eights(with_cost("a", 2), with_cost("b", 2), with_cost("c", 5))
    assert plan_of(same).deletion_costs == {}
    # A pod of c ended; a and b keep their costs although c is written again.
    changed = eights(with_cost("a", 2), with_cost("b", 2), with_cost("c", 4))
    assert set(plan_of(changed).deletion_costs) == {f"uid-c-{i}" for i in range(4)}


def test_other_controllers_keep_their_own_order() -> None:
    mixed = node("mixed", 8, pods=(pod("web"), pod("s", workload=SET), pod("w", workload=LWS)))
    plan = plan_of(eights(mixed, busy("half", 8, used=4)))
    assert {"uid-s", "uid-w"}.isdisjoint(plan.deletion_costs)
    assert "pod-costs: 1 pods of StatefulSet keep their own order" in texts(plan)
    assert "pod-costs: 1 pods of LeaderWorkerSet keep their own order" in texts(plan)


def test_a_node_that_cannot_empty_is_not_emptied_first() -> None:
    pinned = node("pinned", 8, pods=(pod("web"), pod("s", workload=SET)))
    plan = plan_of(eights(pinned, busy("half", 8, used=4)))
    assert plan.deletion_costs["uid-half-0"] < plan.deletion_costs["uid-web"]


def test_a_node_that_a_pod_without_gpus_keeps_is_emptied_late() -> None:
    kept = busy("kept", 8, used=1, cpu_pod="web/router")
    plan = plan_of(eights(kept, busy("half", 8, used=4)))
    assert plan.deletion_costs["uid-half-0"] < plan.deletion_costs["uid-kept-0"]


def test_a_reserved_node_is_emptied_last() -> None:
    reserved = busy("reserved", 8, used=1, capacity_type=CapacityType.RESERVED)
    plan = plan_of(eights(reserved, busy("half", 8, used=4)))
    assert plan.deletion_costs["uid-half-0"] < plan.deletion_costs["uid-reserved-0"]


def test_where_another_controller_ranks_pods_the_disruption_cost_is_set_instead() -> None:
    plan = plan_of(
        eights(busy("a", 8, used=1, pods_moved=False), busy("b", 8, used=4, pods_moved=False))
    )
    assert plan.deletion_costs == {}
    assert plan.disruption_costs["uid-a-0"] < plan.disruption_costs["uid-b-0"]
    assert "they get karpenter.sh/disruption-cost instead" in texts(plan)


def test_single_gpu_nodes_and_a_single_node_need_no_order() -> None:
    assert plan_of(pool(busy("a"), busy("b"), demand_gpus=2.0)).deletion_costs == {}
    assert plan_of(eights(busy("a", 8, used=3), empty("b", 8))).deletion_costs == {}


def test_the_policy_may_forbid_it() -> None:
    policy = PoolPolicy(levers=frozenset(Lever) - {Lever.POD_DELETION_COST})
    state = eights(busy("a", 8, used=1), busy("b", 8, used=4))
    assert plan_of(state, policy).deletion_costs == {}
