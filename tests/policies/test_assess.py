"""A reading of a cluster becomes the pools that the rules see."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fleet.account.loading import Load, PodLoad
from fleet.catalogue import shipped
from fleet.cluster.hardware import Prices
from fleet.cluster.kinds import Kind, Record, record_of
from fleet.cluster.nodes import CapacityType
from fleet.cluster.owners import Workload
from fleet.cluster.reading import Cluster
from fleet.instances import instances
from fleet.reasons import Reason
from fleet.snapshot import Known, snapshot_of
from policies.node_plan import Verdict
from policies.policy.pool_policy import PoolPolicy
from policies.policy.resolve import policy_for
from policies.reading.assess import Assessment, Beside, Replicas, assess
from policies.reading.nodes import NodesSeen
from policies.rounds import Emptied
from policies.situation import NodeStage, PoolNode, PoolState
from tests.policies.capacity_policies import policy
from tests.policies.pools import LEAD, round_of, texts

NOW = 1_796_000_000.0
KNOWN = Known(catalogue=shipped(), prices=Prices(instances=instances()))
Json = dict[str, Any]


def stamp(minutes_ago: float) -> str:
    return datetime.fromtimestamp(NOW - 60 * minutes_ago, UTC).isoformat()


def pool(name: str, **spec: Any) -> Json:
    template = {
        "metadata": {"labels": spec.pop("labels", {})},
        "spec": {"requirements": spec.pop("requirements", []), "taints": spec.pop("taints", [])},
    }
    disruption = {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "10m"}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": {"template": template, "disruption": disruption, **spec},
    }


def claim(name: str, *stages: str, pool: str = "h100", node: str | None = None) -> Json:
    conditions = [
        {"type": one, "status": "True", "lastTransitionTime": stamp(60)} for one in stages
    ]
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "labels": {"karpenter.sh/nodepool": pool},
            "creationTimestamp": stamp(70),
        },
        "spec": {"resources": {"requests": {"nvidia.com/gpu": "8"}}},
        "status": {"conditions": conditions, **({"nodeName": node} if node else {})},
    }


def node(name: str, gpus: int = 8, pool: str = "h100", **metadata: Any) -> Json:
    resources = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    labels = {
        "karpenter.sh/nodepool": pool,
        "karpenter.sh/capacity-type": "on-demand",
        "topology.kubernetes.io/zone": "us-east-1a",
        "node.kubernetes.io/instance-type": "p5.48xlarge",
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        **metadata.pop("labels", {}),
    }
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": stamp(60)}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": labels, **metadata},
        "spec": {},
        "status": {"allocatable": resources, "capacity": resources, "conditions": [ready]},
    }


def pod(name: str, gpus: int = 1, node: str | None = None, **given: Any) -> Json:
    spec = {
        "containers": [{"name": "c", "resources": {"requests": {"nvidia.com/gpu": str(gpus)}}}],
        **given.pop("spec", {}),
    }
    if node is not None:
        spec["nodeName"] = node
    ready = {"type": "Ready", "status": "True" if given.pop("ready", True) else "False"}
    metadata = {
        "namespace": "llm",
        "name": name,
        "uid": f"uid-{name}",
        "creationTimestamp": stamp(30),
        **given,
    }
    status = {"phase": "Running" if node else "Pending", "conditions": [ready] if node else []}
    return {"metadata": metadata, "spec": spec, "status": status}


def owned(kind: str, name: str, labels: dict[str, str] | None = None) -> Json:
    owner = {"kind": kind, "name": name, "uid": "o", "controller": True}
    return {"ownerReferences": [owner], "labels": labels or {}}


def assessed(
    objects: dict[Kind, list[Json]], seen: NodesSeen | None = None, now: float = NOW, **beside: Any
) -> Assessment:
    records: dict[Kind, list[Record]] = {
        kind: [record_of(kind, one) for one in documents] for kind, documents in objects.items()
    }
    cluster = Cluster.of("test", records)
    snapshot = snapshot_of(cluster, KNOWN, None, now)
    values = Beside(**{"lead_time_of": lambda _name: LEAD, "prices": KNOWN.prices, **beside})
    return assess(cluster, snapshot, values, seen or NodesSeen(), now)


def only(assessment: Assessment) -> PoolState:
    assert len(assessment.pools) == 1, assessment.pools
    return assessment.pools[0]


def nodes_of(assessment: Assessment) -> dict[str, PoolNode]:
    return {one.name: one for state in assessment.pools for one in state.nodes}


def initialized(name: str, node_name: str) -> Json:
    return claim(name, "Launched", "Registered", "Initialized", node=node_name)


def test_a_pool_is_put_together_from_its_objects() -> None:
    assessment = assessed(
        {
            Kind.NODE_POOL: [pool("h100", limits={"nvidia.com/gpu": "40", "nodes": "6"})],
            Kind.NODE_CLAIM: [initialized("h100-a", "a"), claim("h100-b", "Launched")],
            Kind.NODE: [node("a")],
            Kind.POD: [
                pod("x", 2, "a", **owned("ReplicaSet", "chat-1", {"pod-template-hash": "1"})),
                pod("y", 3, "a", ready=False),
                pod("z", 4),
            ],
        }
    )
    state = only(assessment)
    assert (state.name, state.gpus_per_node, state.demand_gpus) == ("h100", 8, 9.0)
    assert state.usd_per_hour == pytest.approx(55.04)  # the list's p5.48xlarge
    assert (state.nodes_max, state.consolidate_after_seconds) == (5, 600.0)
    found = nodes_of(assessment)
    assert found["h100-a"].stage is NodeStage.INITIALIZED
    assert [(one.name, one.gpus, one.ready) for one in found["h100-a"].pods] == [
        ("llm/x", 2.0, True),
        ("llm/y", 3.0, False),
    ]
    assert found["h100-a"].pods[0].workload == Workload(
        kind="Deployment", namespace="llm", name="chat"
    )
    assert found["h100-a"].capacity_type is CapacityType.ON_DEMAND
    assert (found["h100-b"].stage, found["h100-b"].gpus) == (NodeStage.LAUNCHED, 8)


@pytest.mark.parametrize(
    ("machine", "nodes", "cancellable"),
    [
        pytest.param(claim("a"), [], True, id="ordered"),
        pytest.param(claim("a", "Launched", "Registered", node="n"), [node("n", 0)], True, id="up"),
        pytest.param(initialized("a", "n"), [node("n", 0)], False, id="its GPUs are lost"),
        pytest.param(
            {**claim("a"), "spec": {"resources": {"requests": {"cpu": "4"}}}},
            [node("n")],
            False,
            id="for pods without GPUs",
        ),
    ],
)
def test_a_machine_can_be_cancelled_on_its_way(
    machine: Json, nodes: list[Json], cancellable: bool
) -> None:
    machine["status"]["capacity"] = {"nvidia.com/gpu": "8"}
    types = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["p5.48xlarge"]}
    objects = {
        Kind.NODE_POOL: [pool("h100", requirements=[types])],
        Kind.NODE_CLAIM: [machine],
        Kind.NODE: nodes,
    }
    assert nodes_of(assessed(objects))["a"].cancellable == cancellable


def test_a_node_without_a_claim_cannot_be_cancelled() -> None:
    assert not nodes_of(assessed({Kind.NODE: [node("n")]}))["n"].cancellable


ROUTER = {
    "spec": {"containers": [{"name": "c"}]},
    **owned("ReplicaSet", "router-1", {"pod-template-hash": "1"}),
}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param(ROUTER, "llm/x", id="of a Deployment"),
        pytest.param({"spec": ROUTER["spec"]}, "llm/x", id="of nobody"),
        pytest.param({**ROUTER, **owned("DaemonSet", "net")}, None, id="of a DaemonSet"),
        pytest.param({**ROUTER, **owned("Node", "n")}, None, id="a static pod"),
        pytest.param({}, None, id="with GPUs"),
    ],
)
def test_a_pod_without_gpus_keeps_its_node_unless_it_is_a_part_of_it(
    given: Json, found: str | None
) -> None:
    assessment = assessed({Kind.NODE: [node("n")], Kind.POD: [pod("x", node="n", **given)]})
    assert nodes_of(assessment)["n"].cpu_pod == found


@pytest.mark.parametrize(("phase", "on"), [("Succeeded", "n"), ("Running", "m"), ("Pending", None)])
def test_a_pod_that_has_ended_or_is_elsewhere_keeps_no_node(phase: str, on: str | None) -> None:
    router = pod("x", node=on, **ROUTER)
    router["status"]["phase"] = phase
    assessment = assessed({Kind.NODE: [node("n")], Kind.POD: [router]})
    assert nodes_of(assessment)["n"].cpu_pod is None


def test_a_machine_on_its_way_is_held_by_others_where_its_claim_says_so() -> None:
    kept = claim("a")
    kept["metadata"]["annotations"] = {"karpenter.sh/do-not-disrupt": "true"}
    objects = {Kind.NODE_POOL: [pool("h100")], Kind.NODE_CLAIM: [kept, claim("b")]}
    found = nodes_of(assessed(objects))
    assert (found["a"].held_by_others, found["b"].held_by_others) == (True, False)


def test_placeholder_pods_are_no_demand_and_their_room_is_free() -> None:
    labels = {"labels": {"foresail.io/placeholder": "h100"}}
    assessment = assessed(
        {
            Kind.NODE_POOL: [pool("h100")],
            Kind.NODE_CLAIM: [initialized("h100-a", "a")],
            Kind.NODE: [node("a")],
            Kind.POD: [
                pod("x", 8, "a", spec={"priority": -10}, **labels),
                pod("y", 8, spec={"priority": -10}, **labels),
            ],
        }
    )
    state = only(assessment)
    assert (state.demand_gpus, state.nodes[0].pods) == (0.0, ())
    assert state.nodes[0].empty_since_seconds == NOW


def test_a_claim_that_is_initialized_without_gpus_is_not() -> None:
    # Of a static pool, whose claims ask for no GPUs.
    assessment = assessed(
        {
            Kind.NODE_POOL: [pool("h100", replicas=1)],
            Kind.NODE_CLAIM: [initialized("h100-a", "a")],
            Kind.NODE: [node("a", 0)],
        }
    )
    assert only(assessment).static
    assert nodes_of(assessment)["h100-a"].stage is NodeStage.REGISTERED


def test_a_node_is_empty_since_the_first_reading_that_saw_it_so() -> None:
    objects = {Kind.NODE_CLAIM: [initialized("h100-a", "a")], Kind.NODE: [node("a")]}
    first = assessed(objects)
    assert nodes_of(first)["h100-a"].empty_since_seconds == NOW
    later = assessed(objects, first.seen, NOW + 90)
    assert nodes_of(later)["h100-a"].empty_since_seconds == NOW
    used = assessed({**objects, Kind.POD: [pod("x", 1, "a")]}, later.seen, NOW + 180)
    assert nodes_of(used)["h100-a"].empty_since_seconds is None


def test_a_node_is_empty_since_its_last_pod_where_that_was_seen_between_readings() -> None:
    objects = {Kind.NODE_CLAIM: [initialized("h100-a", "a")], Kind.NODE: [node("a")]}
    before = assessed(objects, now=NOW - 100).seen
    # Since that reading it has had a pod.
    last = {"a": Emptied(at_seconds=NOW - 20, replaced_until_seconds=NOW - 5)}
    for seen in (before, NodesSeen()):
        found = assessed(objects, seen, NOW, emptied=last)
        assert nodes_of(found)["h100-a"].empty_since_seconds == NOW - 20
        assert nodes_of(found)["h100-a"].replaced_until_seconds == NOW - 5
    # A reading that saw it empty later saw it with a pod before.
    older = {"a": Emptied(at_seconds=NOW - 90, replaced_until_seconds=NOW - 75)}
    found = assessed(objects, found.seen, NOW + 60, emptied=older)
    assert nodes_of(found)["h100-a"].empty_since_seconds == NOW - 20


def test_what_left_a_node_is_not_known_where_nobody_saw_it_or_the_node_is_used() -> None:
    objects = {Kind.NODE_CLAIM: [initialized("h100-a", "a")], Kind.NODE: [node("a")]}
    assert nodes_of(assessed(objects))["h100-a"].replaced_until_seconds is None
    last = {"a": Emptied(at_seconds=NOW - 20, replaced_until_seconds=NOW - 5)}
    used = assessed({**objects, Kind.POD: [pod("x", 1, "a")]}, emptied=last)
    assert nodes_of(used)["h100-a"].replaced_until_seconds is None


def test_a_node_that_was_seen_starting_is_empty_since_its_start() -> None:
    starts = {Kind.NODE_CLAIM: [claim("h100-a", "Launched")], Kind.NODE_POOL: [pool("h100")]}
    first = assessed(starts, now=NOW - 7200)
    objects = {Kind.NODE_CLAIM: [initialized("h100-a", "a")], Kind.NODE: [node("a")]}
    found = nodes_of(assessed(objects, first.seen))["h100-a"]
    assert found.empty_since_seconds == found.stage_since_seconds == NOW - 3600


@pytest.mark.parametrize(
    ("held_until", "ours", "others"),
    [
        pytest.param({"a": NOW + 60}, NOW + 60, False, id="our lease"),
        pytest.param({}, None, True, id="somebody else's annotation"),
    ],
)
def test_a_hold_is_ours_where_we_have_its_lease(
    held_until: dict[str, float], ours: float | None, others: bool
) -> None:
    kept = node("a", annotations={"karpenter.sh/do-not-disrupt": "true"})
    found = nodes_of(assessed({Kind.NODE: [kept]}, held_until_seconds=held_until))["a"]
    assert (found.held_by_us_until_seconds, found.held_by_others) == (ours, others)


def test_pods_that_karpenter_ranks_are_left_to_it() -> None:
    ranked = pod("x", 1, "a", annotations={"karpenter.sh/managed-deletion-cost": "true"})
    assert not nodes_of(assessed({Kind.NODE: [node("a")], Kind.POD: [ranked]}))["a"].pods_moved


def test_a_pool_whose_use_is_unknown_is_left_alone_and_named() -> None:
    records = {Kind.NODE: [record_of(Kind.NODE, node("a"))], Kind.POD: None}
    cluster = Cluster.of("test", records)
    snapshot = snapshot_of(cluster, KNOWN, None, NOW)
    beside = Beside(lead_time_of=lambda _name: LEAD)
    assessment = assess(cluster, snapshot, beside, NodesSeen(), NOW)
    assert assessment.pools == ()
    assert assessment.remarks == ("pool h100 is left alone: no Pod was read, so use is unknown",)


def by_dra(name: str) -> Json:
    """The slice of a node with one GPU."""
    device = {"name": "gpu-0", "attributes": {"type": {"string": "gpu"}}}
    spec = {
        "driver": "gpu.nvidia.com",
        "nodeName": name,
        "pool": {"name": name, "generation": 1, "resourceSliceCount": 1},
        "devices": [device],
    }
    return {"metadata": {"name": name}, "spec": spec}


def test_while_taint_rules_cannot_be_read_pools_whose_gpus_dra_gives_out_are_left_alone() -> None:
    selectors = [{"cel": {"expression": "device.driver == 'gpu.nvidia.com'"}}]
    of_gpus = {"metadata": {"name": "gpu"}, "spec": {"selectors": selectors}}
    p5 = {
        "key": "node.kubernetes.io/instance-type",
        "operator": "In",
        "values": ["p5.48xlarge"],
    }
    objects = {
        Kind.NODE_POOL: [
            pool("dra"),
            pool("plugged"),
            pool("without-nodes", requirements=[p5]),
            pool("boots"),
            pool("without-gpus"),
        ],
        Kind.NODE: [
            node("a", gpus=0, pool="dra"),
            node("b", pool="plugged"),
            node("c", gpus=0, pool="boots"),
        ],
        Kind.SLICE: [by_dra("a")],
        Kind.CLASS: [of_gpus],
    }
    assert [one.name for one in assessed(objects).pools] == [
        "boots",
        "dra",
        "plugged",
        "without-nodes",
    ]
    unread = {"metadata": {"name": "r"}, "spec": {"deviceSelector": {"selectors": selectors}}}

    assessment = assessed({**objects, Kind.TAINT_RULE: [unread]})

    assert [one.name for one in assessment.pools] == ["plugged"]
    assert [one for one in assessment.remarks if "left alone" in one] == [
        f"pool {name} is left alone: not every DeviceTaintRule was read, so pods may get no GPU of "
        "its nodes"
        for name in ("boots", "dra", "without-nodes")
    ]


def test_an_empty_pool_has_the_gpus_of_its_machine_type() -> None:
    types = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["p5.48xlarge"]}
    spot = {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]}
    state = only(assessed({Kind.NODE_POOL: [pool("h100", requirements=[types, spot])]}))
    assert (state.gpus_per_node, state.capacity_type) == (8, CapacityType.SPOT)
    assert state.usd_per_hour is None


def asking(**labels: list[str]) -> list[Json]:
    """Requirements of a NodePool; `gpu_count` is the label `karpenter.k8s.aws/instance-gpu-count`.

    The machine types are `type`.
    """
    names = {one: f"karpenter.k8s.aws/instance-{one.replace('_', '-')}" for one in labels}
    names["type"] = "node.kubernetes.io/instance-type"
    return [
        {"key": names[one], "operator": "In", "values": values} for one, values in labels.items()
    ]


@pytest.mark.parametrize(
    ("asked", "gpus", "usd"),
    [
        pytest.param(asking(family=["p4d"]), 8, 21.9576, id="a family of one size"),
        pytest.param(asking(family=["p5"], gpu_count=["8"]), 8, 55.04, id="and its GPUs"),
        pytest.param(asking(family=["p5"], size=["4xlarge"]), 1, 6.88, id="and a size"),
        pytest.param(asking(family=["p5", "p5en"], size=["48xlarge"]), 8, 63.296, id="the dearest"),
        pytest.param(
            asking(type=["p5.48xlarge", "g6e.12xlarge"], gpu_count=["4"]), 4, 10.4926, id="of types"
        ),
        pytest.param(
            asking(type=["p5.48xlarge"], family=["p5", "p4d"]), 8, 55.04, id="a type of families"
        ),
    ],
)
def test_a_pool_without_a_node_has_what_its_requirements_leave(
    asked: list[Json], gpus: int, usd: float
) -> None:
    assessment = assessed({Kind.NODE_POOL: [pool("h100", requirements=asked)]})
    state = only(assessment)
    assert (state.gpus_per_node, state.usd_per_hour) == (gpus, usd)
    assert assessment.remarks == ()


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(asking(family=["p5"]), id="a family of two sizes"),
        pytest.param(asking(family=["p5en", "p99"]), id="a family that is not known"),
        pytest.param(asking(type=["p5.48xlarge", "g6e.12xlarge"]), id="types of two sizes"),
        pytest.param(asking(gpu_name=["h100"]), id="a GPU"),
        pytest.param(asking(category=["g", "p"]), id="categories"),
    ],
)
def test_a_pool_that_has_had_no_node_and_does_not_tell_its_gpus_is_named(asked: list[Json]) -> None:
    others = [
        pool("general", requirements=asking(family=["m7i"])),
        pool("cpu", requirements=asking(category=["c", "m"]), limits={"nvidia.com/gpu": "0"}),
    ]
    assessment = assessed({Kind.NODE_POOL: [pool("h100", requirements=asked), *others]})
    assert assessment.pools == ()
    (remark,) = assessment.remarks
    assert remark == (
        "pool h100 is left alone: no node of it was seen since the start, and its requirements do "
        "not tell how many GPUs one has"
    )


@pytest.mark.parametrize(
    ("asked", "pools"),
    [
        pytest.param(asking(gpu_name=["h100"]), 1, id="which asks for a GPU"),
        pytest.param(asking(family=["p5"]), 1, id="which asks for a family"),
        pytest.param(asking(type=["p5.48xlarge", "g6e.12xlarge"]), 1, id="of two types"),
        pytest.param([], 1, id="which asks for nothing"),
        pytest.param(
            asking(family=["g6e"], gpu_count=["1", "4"]), 0, id="and is not that any more"
        ),
    ],
)
def test_a_pool_whose_last_node_is_gone_is_what_it_was(asked: list[Json], pools: int) -> None:
    objects = {Kind.NODE_POOL: [pool("h100", requirements=asked)]}
    seen = assessed({**objects, Kind.NODE: [node("a")]}).seen
    for _ in range(2):
        assessment = assessed(objects, seen)
        found = [(one.gpus_per_node, one.usd_per_hour, one.generation) for one in assessment.pools]
        assert found == [(8, 55.04, "h100-sxm")] * pools
        seen = assessment.seen
    gone = assessed({Kind.NODE_POOL: [], Kind.NODE: []}, seen)
    assert (gone.pools, gone.seen.usual) == ((), {})


def test_a_node_that_is_never_launched_leaves_its_pool_what_it_was() -> None:
    objects = {Kind.NODE_POOL: [pool("h100", requirements=asking(family=["p5"]))]}
    ordered = claim("h100-b")  # for a pod of one GPU
    ordered["spec"]["resources"]["requests"]["nvidia.com/gpu"] = "1"
    seen = assessed({**objects, Kind.NODE: [node("a")]}).seen
    for claims in ([ordered], []):
        assessment = assessed({**objects, Kind.NODE_CLAIM: claims}, seen)
        state = only(assessment)
        assert (state.gpus_per_node, state.usd_per_hour, len(state.nodes)) == (
            8,
            55.04,
            len(claims),
        )
        assert assessment.seen.usual == seen.usual
        seen = assessment.seen
    unseen = only(assessed({**objects, Kind.NODE_CLAIM: [ordered]}))
    assert unseen.gpus_per_node == 1  # nothing else tells


@pytest.mark.parametrize(
    ("own", "capacity", "usd"),
    [
        pytest.param({"h100-sxm/spot": 3.0}, "spot", 24.0, id="spot, by the generation"),
        pytest.param({"p5.48xlarge/spot": 2.0}, "spot", 16.0, id="spot, by the machine type"),
        pytest.param({"h100-sxm/spot": 3.0}, "on-demand", 55.04, id="a price of spot alone"),
        pytest.param({"h100-sxm": 4.0}, "on-demand", 32.0, id="of all before the list price"),
        pytest.param({"h100-sxm/reserved": 1.0, "h100-sxm": 4.0}, "reserved", 8.0, id="reserved"),
    ],
)
def test_a_new_node_costs_what_the_operator_says_of_its_machines(
    own: dict[str, float], capacity: str, usd: float
) -> None:
    types = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["p5.48xlarge"]}
    paid = {"key": "karpenter.sh/capacity-type", "operator": "In", "values": [capacity]}
    objects = {Kind.NODE_POOL: [pool("h100", requirements=[types, paid])]}
    state = only(assessed(objects, prices=Prices(instances=instances(), own=own)))
    assert state.usd_per_hour == usd


def test_new_nodes_on_demand_cost_what_the_list_says_beside_spot_nodes() -> None:
    spot = {"karpenter.sh/capacity-type": "spot"}
    on_demand = claim("h100-b", "Launched")
    on_demand["metadata"]["labels"] |= {
        "karpenter.sh/capacity-type": "on-demand",
        "node.kubernetes.io/instance-type": "p5.48xlarge",
    }
    types = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["p5.48xlarge"]}
    objects = {
        Kind.NODE_POOL: [pool("h100", requirements=[types])],
        Kind.NODE_CLAIM: [initialized("h100-a", "a")],
        Kind.NODE: [node("a", labels=spot, annotations={"foresail.io/usd-per-gpu-hour": "3.1"})],
    }
    state = only(assessed(objects))
    assert state.usd_per_hour == pytest.approx(24.8)
    assert (state.usd_per_hour_on_demand, state.usd_per_hour_ordered) == (55.04, 55.04)

    objects[Kind.NODE_CLAIM].append(on_demand)
    assert nodes_of(assessed(objects))["h100-b"].usd_per_hour == 55.04


def test_a_spot_pool_at_zero_is_ordered_under_a_ceiling_where_its_price_is_known() -> None:
    types = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["p5.48xlarge"]}
    spot = {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]}
    objects = {Kind.NODE_POOL: [pool("h100", requirements=[types, spot])]}
    floor = (policy(idleCeiling={"usdPerHour": 30}, warmFloors=[{"nodes": 1}]),)
    for own, orders in (({}, 0), ({"h100-sxm/spot": 3.0}, 1), ({"h100-sxm/spot": 4.0}, 0)):
        state = only(assessed(objects, prices=Prices(instances=instances(), own=own)))
        plan, _ = round_of(state, policy=lambda one, at: policy_for(floor, one, at))
        assert len(plan.pools[0].orders) == orders, own


def test_a_pool_without_a_node_keeps_its_policy_and_its_floor() -> None:
    types = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["p5.48xlarge"]}
    state = only(assessed({Kind.NODE_POOL: [pool("h100", requirements=[types])]}))
    assert (state.generation, state.usd_per_hour) == ("h100-sxm", 55.04)
    policies = (
        policy(
            pools={"generations": ["h100*"]},
            idleCeiling={"usdPerHour": 60},
            warmFloors=[{"nodes": 1}],
        ),
    )
    plan, _ = round_of(state, policy=lambda one, at: policy_for(policies, one, at))
    assert [(one.nodes, one.reason) for one in plan.pools[0].orders] == [(1, Reason.WARM_FLOOR)]


TWO_POOLS = {
    Kind.NODE_POOL: [
        pool("h100", labels={"team": "chat"}),
        pool("l40s", taints=[{"key": "batch", "effect": "NoSchedule"}]),
    ],
    Kind.NODE: [
        node("a"),
        node("b", 4, "l40s", labels={"node.kubernetes.io/instance-type": "g6e.24xlarge"}),
    ],
}


@pytest.mark.parametrize(
    ("spec", "gpus", "demand"),
    [
        pytest.param({}, 1, {"h100": 1.0, "l40s": 0.0}, id="the only pool that it tolerates"),
        pytest.param(
            {"tolerations": [{"operator": "Exists"}], "nodeSelector": {"team": "chat"}},
            1,
            {"h100": 1.0, "l40s": 0.0},
            id="the pool of its node selector",
        ),
        pytest.param(
            {"tolerations": [{"operator": "Exists"}]},
            6,
            {"h100": 6.0, "l40s": 0.0},
            id="the only pool with such nodes",
        ),
        pytest.param(
            {"tolerations": [{"operator": "Exists"}]}, 1, {"h100": 0.0, "l40s": 0.0}, id="in doubt"
        ),
    ],
)
def test_a_waiting_pod_counts_where_there_is_no_doubt(
    spec: Json, gpus: int, demand: dict[str, float]
) -> None:
    assessment = assessed({**TWO_POOLS, Kind.POD: [pod("w", gpus, spec=spec)]})
    assert {one.name: one.demand_gpus for one in assessment.pools} == demand


@pytest.mark.parametrize(
    ("waiting", "wait"),
    [
        pytest.param([], (False, False), id="none"),
        pytest.param([pod("x", 1, "a")], (False, False), id="one that runs"),
        pytest.param([pod("x")], (True, False), id="for one pool"),
        pytest.param(
            [pod("x", spec={"tolerations": [{"operator": "Exists"}]})], (True, True), id="in doubt"
        ),
        pytest.param([pod("x", 9)], (False, False), id="for none"),
        pytest.param(
            [pod("x", spec={"nodeSelector": {"nvidia.com/gpu.product": "H100"}})],
            (True, False),
            id="by a label that a driver sets later",
        ),
        pytest.param(
            [pod("x", spec={"nodeSelector": {"karpenter.sh/nodepool": "a10"}})],
            (False, False),
            id="for another pool",
        ),
    ],
)
def test_pods_wait_for_each_pool_that_they_may_get(
    waiting: list[Json], wait: tuple[bool, bool]
) -> None:
    pools = assessed({**TWO_POOLS, Kind.POD: waiting}).pools
    assert tuple(one.pods_wait for one in pools) == wait


def test_a_pod_in_doubt_is_named_in_the_steps_of_each_pool() -> None:
    tolerates = {"tolerations": [{"operator": "Exists"}]}
    assessment = assessed({**TWO_POOLS, Kind.POD: [pod("w", 1, spec=tolerates)]})
    plan, _ = round_of(*assessment.pools, policy=PoolPolicy(), now=NOW)
    text = "pod llm/w waits for 1 GPUs and is not counted: it may get a node of h100 or l40s"
    assert all(text in texts(one) for one in plan.pools)


def test_a_heavier_pool_is_tried_first() -> None:
    pools = [pool("h100", weight=10), pool("l40s")]
    assessment = assessed({**TWO_POOLS, Kind.NODE_POOL: pools, Kind.POD: [pod("w")]})
    assert {one.name: one.demand_gpus for one in assessment.pools} == {"h100": 1.0, "l40s": 0.0}


def test_a_pod_that_fits_no_pool_is_named() -> None:
    assessment = assessed({**TWO_POOLS, Kind.POD: [pod("w", 16)]})
    assert assessment.remarks == ("pod llm/w waits for 16 GPUs, and no pool fits",)


JOB_SET = {"jobset.sigs.k8s.io/jobset-name": "tune"}


def test_the_pods_of_a_job_set_are_one_demand() -> None:
    gate = {"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]}
    end = {"foresail.io/expected-end": "2026-12-01T18:00:00Z"}
    state = only(
        assessed(
            {
                Kind.NODE: [node("a")],
                Kind.POD: [
                    pod("serve", 1, "a"),
                    pod("t-0", 4, "a", labels=JOB_SET, annotations=end),
                    pod("t-1", 4, labels=JOB_SET),
                    pod("t-2", 4, labels=JOB_SET, spec=gate),
                ],
            }
        )
    )
    assert state.demand_gpus == 1.0
    (gang,) = state.gangs
    assert gang.workload == Workload(kind="JobSet", namespace="llm", name="tune")
    assert (gang.pods, gang.waiting_pods, gang.seen_pods, gang.gpus_per_pod) == (3, 2, 1, 4.0)
    assert gang.ends_at_seconds == 1_796_148_000.0


@pytest.mark.parametrize(
    ("metadata", "spec", "name", "pods"),
    [
        pytest.param(
            {
                "labels": {
                    "leaderworkerset.sigs.k8s.io/name": "big",
                    "leaderworkerset.sigs.k8s.io/group-index": "2",
                }
            },
            {},
            "LeaderWorkerSet llm/big/2",
            1,
            id="a group of a LeaderWorkerSet",
        ),
        pytest.param(
            {
                "labels": {
                    "ray.io/cluster": "c",
                    "ray.io/originated-from-crd": "RayJob",
                    "ray.io/originated-from-cr-name": "fit",
                }
            },
            {},
            "RayJob llm/fit",
            1,
            id="a RayJob",
        ),
        pytest.param(
            {}, {"schedulingGroup": {"podGroupName": "g"}}, "PodGroup llm/g", 4, id="a PodGroup"
        ),
        pytest.param(
            {
                "labels": {"kueue.x-k8s.io/pod-group-name": "k"},
                "annotations": {"kueue.x-k8s.io/pod-group-total-count": "3"},
            },
            {},
            "Kueue pod group llm/k",
            3,
            id="a pod group of Kueue",
        ),
        pytest.param(
            owned("Job", "sweep", {"kueue.x-k8s.io/podset": "main"}),
            {},
            "Job llm/sweep",
            1,
            id="a job that Kueue admits",
        ),
    ],
)
def test_other_gangs_are_recognised(metadata: Json, spec: Json, name: str, pods: int) -> None:
    group = record_of(
        Kind.POD_GROUP,
        {
            "metadata": {"name": "g", "namespace": "llm"},
            "spec": {"schedulingPolicy": {"gang": {"minCount": 4}}},
        },
    )
    state = only(
        assessed(
            {Kind.NODE: [node("a")], Kind.POD: [pod("p", 1, spec=spec, **metadata)]},
            pod_groups=(group,),
        )
    )
    (gang,) = state.gangs
    workload = gang.workload
    assert f"{workload.kind} {workload.namespace}/{workload.name}" == name
    assert (gang.pods, gang.waiting_pods, gang.missing_pods) == (pods, pods, pods - 1)


REPLICA = {
    "kueue.x-k8s.io/queue-name": "serving",
    "kueue.x-k8s.io/podset": "main",
    "pod-template-hash": "1",
}
OF_STATEFUL_SET: Json = {
    **owned("StatefulSet", "chat", {"kueue.x-k8s.io/pod-group-name": "statefulset-chat"}),
    "annotations": {
        "kueue.x-k8s.io/pod-group-total-count": "3",
        "kueue.x-k8s.io/pod-group-serving": "true",
    },
}


@pytest.mark.parametrize(
    ("metadata", "kind"),
    [
        pytest.param(owned("ReplicaSet", "chat-1", REPLICA), "Deployment", id="a Deployment"),
        pytest.param(OF_STATEFUL_SET, "StatefulSet", id="a StatefulSet"),
    ],
)
def test_replicas_that_kueue_admits_are_demand_and_no_gang(metadata: Json, kind: str) -> None:
    pods = [pod("x", 8, "a", **metadata), pod("y", 8, "b", **metadata)]
    found = assessed({Kind.NODE: [node("a"), node("b")], Kind.POD: pods})
    state = only(found)
    assert (state.demand_gpus, state.gangs) == (16.0, ())
    chat = Workload(kind=kind, namespace="llm", name="chat")
    assert found.replicas[chat]["h100"].pods == 2


def test_pods_of_a_pod_group_without_a_size_start_one_by_one() -> None:
    group = {"metadata": {"name": "g", "namespace": "llm"}}
    member = pod("p", 8, spec={"schedulingGroup": {"podGroupName": "g"}})
    for policy_, demand, gangs in (({"basic": {}}, 8.0, 0), ({"gang": {"minCount": 1}}, 0.0, 1)):
        of_policy = {**group, "spec": {"schedulingPolicy": policy_}}
        objects = {Kind.NODE: [node("a")], Kind.POD: [member], Kind.POD_GROUP: [of_policy]}
        state = only(assessed(objects))
        assert (state.demand_gpus, len(state.gangs)) == (demand, gangs)


def test_a_pod_with_the_label_of_a_placeholder_counts_unless_its_priority_is_below_zero() -> None:
    def gpus_used(priority: int) -> float:
        labels = {"foresail.io/placeholder": "h100"}
        one = pod("chat", 1, "a", labels=labels, spec={"priority": priority})
        return only(assessed({Kind.NODE: [node("a")], Kind.POD: [one]})).demand_gpus

    assert (gpus_used(0), gpus_used(-10)) == (1.0, 0.0)


@pytest.mark.parametrize("stated", ["9" * 400, "1e3", "-1", "\u0663", ""])
def test_an_absurd_number_of_pods_is_none(stated: str) -> None:
    labels = {"kueue.x-k8s.io/pod-group-name": "k"}
    annotations = {"kueue.x-k8s.io/pod-group-total-count": stated}
    waiting = pod("p", 1, labels=labels, annotations=annotations)
    state = only(assessed({Kind.NODE: [node("a")], Kind.POD: [waiting]}))
    assert state.gangs[0].pods == 1


def test_a_reading_leads_to_a_plan() -> None:
    objects = {
        Kind.NODE_CLAIM: [initialized("h100-a", "a"), initialized("h100-b", "b")],
        Kind.NODE: [node("a"), node("b")],
        Kind.POD: [pod("x", 8, "a", ready=False), pod("t", 8, labels=JOB_SET)],
    }
    plan, _ = round_of(*assessed(objects).pools, policy=PoolPolicy(), now=NOW)
    held = {one.node: one.reason for one in plan.pools[0].nodes if one.verdict is Verdict.HOLD}
    # The pod came 30 min ago, so the veto is over; b waits for the gang.
    assert held == {"h100-b": "gang"}


def test_a_node_that_its_claim_does_not_name_yet_is_one_node() -> None:
    machine = claim("c", "Launched")
    machine["status"]["providerID"] = "aws:///i-1"
    its_node = node("a")
    its_node["spec"]["providerID"] = "aws:///i-1"
    state = only(assessed({Kind.NODE: [its_node], Kind.NODE_CLAIM: [machine]}))
    assert [(one.name, one.uid) for one in state.nodes] == [("c", "uid-c")]


KUEUE: Json = {
    "labels": {"kueue.x-k8s.io/pod-group-name": "k"},
    "annotations": {"kueue.x-k8s.io/pod-group-total-count": "3"},
}


def without_gpus(name: str) -> Json:
    made = pod(name, node="a", **KUEUE)
    made["spec"]["containers"] = [{"name": "c"}]
    return made


def ended(name: str) -> Json:
    made = pod(name, 8, "a", **KUEUE)
    made["status"]["phase"] = "Succeeded"
    return made


@pytest.mark.parametrize("third", [without_gpus("launcher"), ended("worker")])
def test_pods_of_a_gang_that_need_no_gpus_wait_for_no_node(third: Json) -> None:
    workers = [pod("w-0", 8, "a", **KUEUE), pod("w-1", 8, "b", **KUEUE)]
    state = only(assessed({Kind.NODE: [node("a"), node("b")], Kind.POD: [*workers, third]}))
    (gang,) = state.gangs
    assert (gang.pods, gang.waiting_pods) == (2, 0)
    plan, _ = round_of(state)
    assert plan.pools[0].orders == ()


def test_a_gang_in_two_pools_is_waited_for_in_neither() -> None:
    pods = [pod("w-0", 8, "a", **KUEUE), pod("w-1", 8, "b", **KUEUE)]
    found = assessed({Kind.NODE: [node("a"), node("b", pool="other")], Kind.POD: pods})
    assert [(one.name, one.gangs[0].waiting_pods) for one in found.pools] == [
        ("h100", 0),
        ("other", 0),
    ]


@pytest.mark.parametrize(
    ("taints", "leaving"),
    [
        pytest.param([], False, id="down"),
        pytest.param([{"key": "karpenter.sh/disrupted"}], True, id="down and drained"),
    ],
)
def test_a_node_whose_gpus_no_pod_can_have_is_not_held(taints: list[Json], leaving: bool) -> None:
    its_node = node("a")
    its_node["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
    its_node["spec"]["taints"] = taints
    state = only(assessed({Kind.NODE: [its_node], Kind.NODE_CLAIM: [initialized("c", "a")]}))
    (found,) = state.nodes
    assert (found.stage, found.leaving) == (NodeStage.INITIALIZED, leaving)
    plan, _ = round_of(state, policy=PoolPolicy(warm_floor_nodes=1))
    assert (plan.pools[0].nodes[0].verdict, plan.pools[0].nodes[0].reason) == (
        Verdict.LEAVE,
        Reason.OUT,
    )


def test_what_is_known_of_loading_reaches_the_pod() -> None:
    load = PodLoad(
        pod="llm/x",
        uid="uid-x",
        node="a",
        workload=None,
        load=Load.LOADING,
        since_seconds=NOW - 60,
        usual_seconds=90.0,
        believed_until_seconds=NOW + 200,
    )
    objects = {Kind.NODE: [node("a")], Kind.POD: [pod("x", 1, "a", ready=False)]}
    (found,) = nodes_of(assessed(objects, loads={"uid-x": load}))["a"].pods
    assert (found.loads, found.loading_until_seconds) == (True, NOW + 200)


def test_replicas_of_a_workload_are_counted_in_each_pool() -> None:
    chat = owned("ReplicaSet", "chat-1", {"pod-template-hash": "1"})
    assessment = assessed(
        {
            Kind.NODE: [node("a"), node("b", pool="a100")],
            Kind.POD: [
                pod("x", 2, "a", **chat),
                pod("y", 2, "b", **chat),
                pod("z", 2, "a", **chat),
                pod("g", 4, "a", **owned("Job", "train", {"jobset.sigs.k8s.io/jobset-name": "t"})),
            ],
        }
    )
    workload = Workload(kind="Deployment", namespace="llm", name="chat")
    assert assessment.replicas == {
        workload: {
            "h100": Replicas(pods=2, gpus=4.0, labels={"pod-template-hash": "1"}),
            "a100": Replicas(pods=1, gpus=2.0, labels={"pod-template-hash": "1"}),
        }
    }
    assert {name: len(pods) for name, pods in assessment.pods.items()} == {"h100": 3, "a100": 1}


def without_driver(name: str) -> Json:
    none = {"nvidia.com/gpu": "0"}
    status = {**node(name)["status"], "allocatable": none, "capacity": none}
    return {**node(name), "status": status}


def test_a_node_whose_driver_is_gone_serves_on_and_is_no_room_on_its_way() -> None:
    objects = {
        Kind.NODE_POOL: [pool("h100")],
        Kind.NODE_CLAIM: [initialized("h100-a", "a")],
        Kind.NODE: [without_driver("a")],
        Kind.POD: [pod("x", 8, "a")],
    }
    (found,) = only(assessed(objects)).nodes
    assert (found.stage, [one.gpus for one in found.pods]) == (NodeStage.INITIALIZED, [8.0])


def test_the_rest_of_a_node_whose_driver_is_gone_is_out_of_service() -> None:
    objects = {Kind.NODE: [without_driver("a")], Kind.POD: [pod("x", 2, "a")]}
    (found,) = only(assessed(objects)).nodes
    assert (found.stage, found.out_of_service) == (NodeStage.INITIALIZED, True)
