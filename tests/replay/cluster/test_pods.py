"""Which node a pod gets, which pod goes first, and pods that come and go together."""

from dataclasses import replace

import pytest

from fleet.cluster.owners import Workload
from policies.node_plan import NodeDecision, Verdict
from policies.situation import Situation
from replay.cluster.settings import GangRun, PodChoice
from tests.replay.cluster.small import CHAT, CODE, JOB, POOL, Scripted, cluster, service

FOUR = replace(POOL, gpus_per_node=4)
KEPT = replace(POOL, consolidate_after_seconds=None)


def pods_by_node(situation: Situation) -> list[int]:
    return [len(node.pods) for node in situation.pools[0].nodes]


def gang(pods: int, *, created: float = 100, run: float = 1000) -> GangRun:
    return GangRun(
        workload=JOB,
        pods=pods,
        gpus_per_pod=1,
        pools=("p",),
        created_seconds=created,
        run_seconds=run,
        pod_seconds=30,
    )


def test_pods_go_to_the_fullest_node() -> None:
    policy = Scripted()
    code = service((0, 1), (50, 0), (60, 0), (110, 1), workload=CODE)
    # Four pods of chat fill the first node, code's is alone on the second.
    run = cluster(service((0, 4), (100, 3)), code, pools=(FOUR,), policy=policy)
    run.run(130)
    assert pods_by_node(policy.seen[-1]) == [4, 0]


def test_a_replica_set_takes_from_the_node_with_most_of_its_pods() -> None:
    policy = Scripted()
    # 4 + 2 pods of equal age: its ranking prefers pods that share a node.
    run = cluster(service((0, 6), (600, 4)), pools=(FOUR,), policy=policy)
    run.run(730)
    assert pods_by_node(policy.seen[-1]) == [2, 2]


def test_the_emptiest_node_gives_first_where_deletion_costs_say_so() -> None:
    policy = Scripted()
    run = cluster(
        service((0, 6), (600, 4)),
        pools=(FOUR,),
        policy=policy,
        pod_choice=PodChoice.EMPTIEST_NODE,
    )
    run.run(740)
    assert pods_by_node(policy.seen[-1]) == [4]


def test_a_policys_deletion_costs_decide_which_pods_go() -> None:
    policy = Scripted(deletion_costs={f"chat-{n}": 10 for n in (1, 2, 3, 4)})
    run = cluster(service((0, 6), (600, 4)), pools=(FOUR,), policy=policy)
    run.run(740)
    assert pods_by_node(policy.seen[-1]) == [4]


def test_pods_that_wait_go_before_pods_that_run() -> None:
    run = cluster(service((0, 1), (100, 2), (150, 1)))
    run.run(1000)
    assert run.waits[CHAT].seconds == [50]
    assert run.nodes("p") == 1


def test_a_pod_that_ends_during_the_pull_has_waited_until_then() -> None:
    run = cluster(service((0, 0), (103, 1), (210, 0)))
    run.run(1000)
    assert run.waits[CHAT].seconds == [107]


def test_services_share_the_nodes_of_a_pool() -> None:
    policy = Scripted()
    run = cluster(service((0, 1)), service((0, 2), workload=CODE), pools=(FOUR,), policy=policy)
    run.run(1)
    assert pods_by_node(policy.seen[-1]) == [3]
    assert policy.seen[-1].pools[0].demand_gpus == 3


def test_a_gang_starts_when_all_its_pods_have_a_node() -> None:
    policy = Scripted()
    # Two of its three pods would fit at once.
    pools = (replace(KEPT, nodes_at_start=2),)
    run = cluster(gangs=(gang(3),), pools=pools, policy=policy)
    run.run(190)
    assert pods_by_node(policy.seen[-1]) == [0, 0, 0]
    waiting = policy.seen[-1].pools[0].gangs[0]
    assert (waiting.waiting_pods, waiting.ends_at_seconds) == (3, None)
    run.run(250)
    # Ordered at 101, initialized at 201, pulled at 221, serving at 251 for 1000 s.
    assert pods_by_node(policy.seen[-1]) == [1, 1, 1]
    assert policy.seen[-1].pools[0].gangs[0].ends_at_seconds == 1251
    assert policy.seen[-1].pools[0].demand_gpus == 0
    run.run(1260)
    assert run.books["p"].used_gpu_seconds == 3 * (1251 - 201)
    assert run.waits[JOB].seconds == [101, 101, 121]


def test_a_reclaimed_node_makes_its_pods_wait_again() -> None:
    spot = replace(POOL, reclaims_per_hour=3600)
    run = cluster(service((0, 0), (103, 1)), pools=(spot,))
    run.run(5000)
    reclaimed = run.books["p"].reclaimed
    assert reclaimed > 10
    assert len(run.waits[CHAT].seconds) in (reclaimed, reclaimed + 1)


def test_a_gang_that_loses_a_node_starts_again_as_a_whole() -> None:
    spot = replace(POOL, reclaims_per_hour=6)
    run = cluster(gangs=(gang(2, run=3000),), pools=(spot,), seed=3)
    run.run(40_000)
    waits = len(run.waits[JOB].seconds)
    assert waits > 2
    assert waits % 2 == 0


def test_a_gang_that_loses_one_of_its_pools_gives_back_the_other() -> None:
    # A pod of the gang shares the only node of p with the service; the other one has a node of q.
    pools = (replace(POOL, gpus_per_node=2, nodes_max=1), replace(POOL, name="q"))
    tune = replace(gang(2, run=600), pools=("p", "q"))

    def lose(seen: Situation) -> tuple[NodeDecision, ...]:
        if seen.now_seconds != 240:
            return ()
        (lost,) = seen.pools[0].nodes
        return (NodeDecision(node=lost.name, uid=lost.uid, verdict=Verdict.RELEASE),)

    run = cluster(service((0, 1)), gangs=(tune,), pools=pools, policy=Scripted(nodes=lose))
    run.run(5000)
    assert len(run.waits[JOB].seconds) == 4
    assert (run.nodes("p"), run.nodes("q")) == (1, 0)


@pytest.mark.parametrize("choice", PodChoice)
def test_the_youngest_pod_of_one_node_goes_first(choice: PodChoice) -> None:
    policy = Scripted()
    run = cluster(
        service((0, 1), (1000, 2), (5000, 1)), pools=(FOUR,), policy=policy, pod_choice=choice
    )
    run.run(5100)
    assert [pod.uid for pod in policy.seen[-1].pools[0].nodes[0].pods] == ["chat-1"]


def test_workloads_are_told_apart_by_all_of_their_name() -> None:
    other = Workload(kind="Deployment", namespace="b", name="chat")
    run = cluster(service((0, 1), (100, 2)), service((0, 1), (100, 3), workload=other))
    run.run(1000)
    assert (len(run.waits[CHAT].seconds), len(run.waits[other].seconds)) == (1, 2)
