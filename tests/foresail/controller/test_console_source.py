"""The controller as a source: plans as they are heard, prices of their pods, nodes of a round."""

import pytest

from bench._faults_row import Observe
from fleet.cluster.kinds import Kind, record_of
from fleet.cluster.reading import Cluster
from foresail.client import Changed, Removed, Snapshot
from foresail.console.fleet_html import nodes_html, summary_html
from foresail.console.records import Level
from foresail.controller.console_source import ControllerSource
from foresail.controller.rounds import ClusterRound, ClusterRounds, PlannedReplicas
from tests.foresail.console.plans import plan
from tests.policies.test_assess import KNOWN, NOW, Json, node, owned, pod, pool
from tests.policies.test_node_planning import policies


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def source_of(
    made: ClusterRound | None = None,
    *,
    watches: bool = True,
    clock: Clock | None = None,
    trouble: str | None = "nodes: not listed yet",
    wall: float = NOW,
) -> ControllerSource:
    steady = clock or Clock()
    return ControllerSource(
        cluster="test",
        last=lambda: made,
        trouble=lambda: trouble,
        plans_trouble=lambda: None,
        watches=watches,
        steady=steady,
        wall=lambda: wall,
    )


def round_of(objects: dict[Kind, list[Json]]) -> ClusterRound:
    records = {kind: [record_of(kind, one) for one in many] for kind, many in objects.items()}
    cluster = Cluster.of("test", records)
    return ClusterRounds(KNOWN).make(cluster, policies(), PlannedReplicas(), NOW)


def scaled(name: str, target: str) -> Json:
    return {
        "metadata": {"namespace": "llm", "name": name, "uid": name},
        "spec": {"scaleTargetRef": {"kind": "StatefulSet", "name": target}},
    }


def two_nodes() -> dict[Kind, list[Json]]:
    """Three GPUs of chat on one node, and an empty node."""
    chats = [pod(f"chat-{n}", 1, "a", **owned("StatefulSet", "chat")) for n in range(3)]
    return {
        Kind.NODE_POOL: [pool("h100")],
        Kind.NODE_CLAIM: [],
        Kind.NODE: [node("a"), node("b")],
        Kind.POD: chats,
        Kind.SCALED_OBJECT: [scaled("chat", "chat"), scaled("other", "other")],
    }


def test_plans_come_change_and_go() -> None:
    source = source_of()
    assert source.fleet().plans_missing == "no plan was heard yet"

    clock = Clock()
    source = source_of(clock=clock)
    source.take(Snapshot(plans=(plan("a"), plan("b")), version="1"))
    assert [row.name for row in source.fleet().workloads] == ["a", "b"]
    clock.seconds += 10
    source.take(Changed(plan=plan("a", planned=9), version="2"))
    assert source.fleet().workloads[0].planned == 9
    clock.seconds += 10
    source.take(Removed(workload=plan("b").workload, version="3"))
    assert [row.name for row in source.fleet().workloads] == ["a"]
    clock.seconds += 10
    source.take(Snapshot(plans=(plan("c"),), version="9"))
    assert [row.name for row in source.fleet().workloads] == ["c"]


def test_a_plan_that_is_not_heard_of_again_stands_no_longer(observed: Observe) -> None:
    clock = Clock()
    source = source_of(clock=clock)
    source.take(Snapshot(plans=(plan("a"),), version="1"))  # it stands for 200 s
    clock.seconds = 199.0
    assert source.fleet().workloads[0].state.level is Level.OK
    clock.seconds = 201.0
    state = source.fleet().workloads[0].state
    assert state.level is Level.BAD
    assert "stands no longer, 3m25s old" in state.text
    shown = len(source.fleet().workloads)
    observed(f"{shown} of 1 workloads shown: {state.text}", lost=1 - shown)


def test_without_a_plans_api_it_says_how_to_name_one() -> None:
    assert "--plans" in (source_of(watches=False).fleet().plans_missing or "")


def test_before_a_round_nodes_are_unknown() -> None:
    fleet = source_of().fleet()
    assert fleet.nodes is None
    assert fleet.nodes_missing == "nodes: not listed yet"


def test_a_workload_costs_what_the_gpus_of_its_pods_cost() -> None:
    source = source_of(round_of(two_nodes()))
    source.take(Snapshot(plans=(plan("chat"), plan("other")), version="1"))
    chat, other = source.fleet().workloads

    each = KNOWN.catalogue.find("NVIDIA-H100-80GB-HBM3")
    assert each is not None
    assert each.usd_per_hour_of(8) == pytest.approx(6.88)
    assert chat.usd_per_hour == pytest.approx(3 * 6.88)
    assert other.usd_per_hour is None  # it has no pods on GPUs


def test_nodes_have_reasons_with_dollars_that_add_up() -> None:
    nodes = source_of(round_of(two_nodes())).fleet().nodes

    assert nodes is not None
    assert {one.reason: one.gpus for one in nodes.reasons} == {
        "serving": 3.0,
        "fragmentation": 5.0,
        "no reason": 8.0,
    }
    dollars = [one.usd_per_hour for one in nodes.reasons]
    assert sum(filter(None, dollars)) == pytest.approx(16 * 6.88)
    (cluster,) = nodes.clusters
    assert (cluster.name, cluster.gpus, cluster.used, cluster.free) == ("test", 16.0, 3.0, 13.0)
    assert [(row.node, row.used) for row in nodes.rows] == [("a", "3/8"), ("b", "0/8")]


@pytest.mark.parametrize(
    ("passed", "trouble", "why"),
    [
        pytest.param(100.0, None, None, id="of the last minutes"),
        pytest.param(3 * 3600, "pods: HTTP 403", "3h ago: pods: HTTP 403", id="unreadable"),
        pytest.param(1200.0, None, "20m ago: no round was made since", id="no rounds"),
    ],
)
def test_nodes_and_dollars_of_an_old_round_say_so(
    passed: float, trouble: str | None, why: str | None
) -> None:
    source = source_of(round_of(two_nodes()), trouble=trouble, wall=NOW + passed)
    source.take(Snapshot(plans=(plan("chat"), plan("other")), version="1"))
    fleet = source.fleet()
    drawn = (summary_html(fleet), nodes_html(fleet))
    assert [why is not None and why in one for one in drawn] == [why is not None] * 2
    assert ["dollars of " in one for one in drawn] == [why is not None] * 2
    (chat,) = source.keys_of("llm", "chat")
    page = source.workload(chat)
    assert page is not None
    assert [one for one in page.remarks if why and one.endswith(why)] == list(page.remarks)
    assert bool(page.remarks) is (why is not None)
    # The workload without pods on GPUs has no dollars that could be old.
    (other,) = source.keys_of("llm", "other")
    without = source.workload(other)
    assert without is not None
    assert without.remarks == ()


def test_a_replica_of_several_pods_costs_what_they_cost_together() -> None:
    def member(name: str, group: int, on: str) -> Json:
        labels = {
            "leaderworkerset.sigs.k8s.io/name": "big",
            "leaderworkerset.sigs.k8s.io/group-index": str(group),
        }
        return pod(name, 4, on, **owned("StatefulSet", "big", labels))

    objects = two_nodes()
    objects[Kind.POD] = [
        member("big-0", 0, "a"),
        member("big-0-1", 0, "b"),
        member("big-1", 1, "a"),
        member("big-1-1", 1, "b"),
    ]
    target = {"scaleTargetRef": {"kind": "LeaderWorkerSet", "name": "big"}}
    objects[Kind.SCALED_OBJECT] = [{**scaled("big", "big"), "spec": target}]
    source = source_of(round_of(objects), trouble=None)
    source.take(Snapshot(plans=(plan("big"),), version="1"))
    (key,) = source.keys_of("llm", "big")
    page = source.workload(key)
    assert page is not None
    assert page.row.usd_per_hour == pytest.approx(16 * 6.88)
    # Two groups of two pods of four GPUs: the books count groups, as KEDA does.
    assert page.usd_per_gpu_hour == pytest.approx(8 * 6.88)


def test_a_page_is_found_by_name_and_knows_the_price_of_a_replica() -> None:
    source = source_of(round_of(two_nodes()))
    source.take(Snapshot(plans=(plan("chat"),), version="1"))

    (key,) = source.keys_of("llm", "chat")
    page = source.workload(key)

    assert page is not None
    assert page.usd_per_gpu_hour == pytest.approx(6.88)
    assert [one.planned for one in page.decisions] == [5]
    assert source.workload("no-such-key") is None
    assert source.keys_of("llm", "gone") == []
