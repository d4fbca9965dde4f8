"""Changes of levers on a real API server: what it takes, what it keeps, and what it refuses.

Karpenter's definitions are there and Karpenter is not, so that nothing else changes the objects.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests

from fleet.cluster.kinds import Kind, record_of
from fleet.cluster.reading import Cluster
from foresail.api.change_executor import ChangeExecutor, Outcome, Retries
from foresail.api.discovering import discover, made_objects
from foresail.clock import wall_clock
from policies.levers.change import Change, Verb, applied
from policies.levers.discovery import Discovery
from policies.levers.garbage import collect
from policies.levers.ladder import LeverInput, actions
from policies.levers.objects import Objects, node_address
from policies.node_plan import NodePlan, PoolPlan
from policies.policy.pool_policy import LEVERS_DEFAULT, Lever
from policies.situation import PoolState
from tests.e2e import bed as beds
from tests.e2e import kinds, kubernetes
from tests.e2e.clients import api_client
from tests.levers.rounds import ACT, POD_SPEC, held, order, plan, released
from tests.policies.pools import empty, pool

pytestmark = pytest.mark.looptime(False)  # processes live in real time

NAMESPACE, NODE = "levers", "levers-node"
NOW = wall_clock() // 60 * 60  # a budget begins with a minute
EMPTY = replace(empty(NODE, empty_since_seconds=NOW - 600), name="levers-claim")
KARPENTER = "/apis/karpenter.sh/v1"
_PATIENT = Retries(request=60.0)
NODE_CLASS = {"group": "test.foresail.dev", "kind": "Nothing", "name": "nothing"}


@pytest.fixture(scope="module")
def cluster(bed: beds.Bed) -> Iterator[beds.Bed]:
    """Karpenter's definitions, a node of a NodeClaim, and a dynamic and a static pool."""
    definitions = beds.module("karpenter", "sigs.k8s.io/karpenter") / "pkg" / "apis" / "crds"
    there = "nodepools.karpenter.sh" in bed.kubectl("get", "crd", "-o", "name")
    made = kinds.definitions(sorted(definitions.glob("*.yaml")))
    bed.apply(*made)
    bed.wait(lambda: _is_served(bed), "Karpenter's kinds to be served")
    bed.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    kubernetes.add_node(bed, NODE, gpus=1, labels={"karpenter.sh/nodepool": "h100"})
    bed.apply(_pool("h100"), _pool("h100-static", replicas=1), _claim())
    claim_path = f"{KARPENTER}/nodeclaims/levers-claim"
    bed.send("PATCH", f"{claim_path}/status", {"status": {"nodeName": NODE}})
    yield bed
    bed.kubectl("delete", "namespace", NAMESPACE)
    bed.kubectl("delete", "node", NODE, "--ignore-not-found")
    bed.kubectl("delete", "nodeclaim", "levers-claim", "--ignore-not-found")
    bed.kubectl("delete", "nodepool", "h100", "h100-static")
    bed.kubectl("delete", "priorityclass", "foresail-placeholder", "--ignore-not-found")
    if not there:
        kinds.remove(bed, made)


async def test_a_hold_is_taken_off_and_another_owners_annotation_stays(cluster: beds.Bed) -> None:
    state = _state(cluster)
    wanted = plan(held(state.nodes[0], NOW + 900))
    await _carried_out(cluster, state, wanted)
    assert _annotations(cluster)["foresail.io/kept-because"] == "forecast hold"
    assert await _changes(cluster, state, wanted) == ()

    metadata = {"name": NODE, "annotations": {"karpenter.sh/do-not-disrupt": "true"}}
    cluster.apply({"apiVersion": "v1", "kind": "Node", "metadata": metadata})
    await _carried_out(cluster, state, plan())
    await _collected(cluster, NOW + 900)
    found = _annotations(cluster)
    assert found["karpenter.sh/do-not-disrupt"] == "true"
    assert not any(name.startswith("foresail.io/") for name in found)
    cluster.kubectl("annotate", "node", NODE, "karpenter.sh/do-not-disrupt-")


async def test_a_node_that_is_gone_is_not_made_by_a_hold(cluster: beds.Bed) -> None:
    address = node_address("levers-gone")
    uid = "00000000-0000-0000-0000-000000000000"
    body = applied(address, uid, {})
    hold = Change(verb=Verb.APPLY, address=address, lever="hold", why="-", body=body, uid=uid)
    (outcome,) = await _sent(cluster, (hold,))
    assert outcome.ending.value == "changed since it was read", outcome.text
    assert "levers-gone" not in cluster.kubectl("get", "nodes", "-o", "name")


async def test_a_taint_comes_once_and_goes_again(cluster: beds.Bed) -> None:
    state = _state(cluster)
    wanted = plan(released(state.nodes[0]))
    (taint,) = await _changes(cluster, state, wanted)
    assert _endings(await _sent(cluster, (taint, taint))) == ["done", "changed since it was read"]
    taints = cluster.read(f"/api/v1/nodes/{NODE}")["spec"]["taints"]
    assert [(one["key"], one["effect"]) for one in taints] == [
        ("foresail.io/release", "NoSchedule")
    ]
    await _carried_out(cluster, state, plan())
    assert "taints" not in cluster.read(f"/api/v1/nodes/{NODE}")["spec"]


async def test_a_node_claim_goes_by_its_uid_alone(cluster: beds.Bed) -> None:
    state = _state(cluster)
    wanted = plan(released(state.nodes[0]))
    await _carried_out(cluster, state, wanted)
    (delete,) = await _changes(cluster, state, wanted, now=NOW + 10)
    assert (delete.verb, delete.empty_node) == (Verb.DELETE, NODE)
    other = replace(delete, uid="00000000-0000-0000-0000-000000000000")
    assert _endings(await _sent(cluster, (other,))) == ["changed since it was read"]
    assert _endings(await _sent(cluster, (delete, delete))) == ["done", "done"]
    assert "levers-claim" not in cluster.kubectl("get", "nodeclaims", "-o", "name")
    cluster.apply(_claim())
    path = f"{KARPENTER}/nodeclaims/levers-claim/status"
    cluster.send("PATCH", path, {"status": {"nodeName": NODE}})
    await _carried_out(cluster, _state(cluster), plan())


@pytest.mark.parametrize("buffers", [True, False])
async def test_what_orders_nodes_is_taken_and_the_same_round_again_changes_nothing(
    cluster: beds.Bed, *, buffers: bool
) -> None:
    state = _state(cluster)
    wanted = plan(orders=(order(2),))
    discovery = Discovery(capacity_buffers=buffers)
    await _carried_out(cluster, state, wanted, discovery)
    kind = "capacitybuffer" if buffers else "deployment"
    made = cluster.get(kind, "foresail-h100", "-n", NAMESPACE, "--show-managed-fields")
    assert made["spec"]["replicas"] == 3  # the empty node is counted in
    assert made["metadata"]["managedFields"][0]["manager"] == "foresail"
    assert await _changes(cluster, state, wanted, discovery=discovery) == ()
    await _collected(cluster, NOW + 1000)
    await _collected(cluster, NOW + 5000)
    await _collected(cluster, NOW + 5001)
    left = cluster.kubectl("get", f"{kind},podtemplate", "-n", NAMESPACE, "-o", "name")
    assert left.strip() == ""


async def test_the_size_of_a_static_pool_is_set_and_set_back(cluster: beds.Bed) -> None:
    state = pool(name="h100-static", static=True, demand_gpus=0.0)
    wanted = replace(plan(orders=(order(3),)), pool="h100-static")
    changes = await _changes(cluster, state, wanted)
    scale = changes[-1]
    assert _endings(await _sent(cluster, changes)) == ["done", "done"]
    # Compare and set: the second of two leaders finds another size.
    assert _endings(await _sent(cluster, (scale,))) == ["changed since it was read"]
    path = f"{KARPENTER}/nodepools/h100-static"
    assert cluster.read(path)["spec"]["replicas"] == 3
    await _collected(cluster, NOW + 900)
    found = cluster.read(path)
    assert found["spec"]["replicas"] == 1
    assert not any("foresail.io" in key for key in found["metadata"].get("annotations", {}))


async def test_a_static_pool_of_no_nodes_can_be_raised(cluster: beds.Bed) -> None:
    path = f"{KARPENTER}/nodepools/h100-static"
    cluster.send("PATCH", path, {"spec": {"replicas": 0}})
    state = pool(name="h100-static", static=True, demand_gpus=0.0)
    wanted = replace(plan(orders=(order(1),)), pool="h100-static")
    await _carried_out(cluster, state, wanted)
    assert cluster.read(path)["spec"]["replicas"] == 1
    await _collected(cluster, NOW + 900)
    assert cluster.read(path)["spec"]["replicas"] == 0
    cluster.send("PATCH", path, {"spec": {"replicas": 1}})


async def test_a_budget_of_quiet_hours_is_added_and_taken_out(cluster: beds.Bed) -> None:
    levers = LEVERS_DEFAULT | {Lever.QUIET_HOURS}
    policy = replace(ACT, levers=levers, quiet_until_seconds=NOW + 3600)
    path = f"{KARPENTER}/nodepools/h100"
    await _carried_out(cluster, _state(cluster), plan(), policy=policy)
    budgets = cluster.read(path)["spec"]["disruption"]["budgets"]
    assert [one["nodes"] for one in budgets] == ["10%", "0"]
    assert budgets[1]["duration"] == "60m"
    await _collected(cluster, NOW + 3600)
    assert cluster.read(path)["spec"]["disruption"]["budgets"] == [{"nodes": "10%"}]


async def test_the_cost_of_another_manager_is_not_overwritten(cluster: beds.Bed) -> None:
    cost = {"controller.kubernetes.io/pod-deletion-cost": "7"}
    metadata = {"name": "chat", "namespace": NAMESPACE, "annotations": cost}
    spec = {"containers": [{"name": "c", "image": "c"}], "schedulerName": "nobody"}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    uid = cluster.get("pod", "chat", "-n", NAMESPACE)["metadata"]["uid"]
    state, wanted = _state(cluster), plan(deletion_costs={uid: 100})
    assert await _changes(cluster, state, wanted) == ()

    cluster.kubectl("annotate", "pod", "chat", "-n", NAMESPACE, f"{next(iter(cost))}-")
    (change,) = await _changes(cluster, state, wanted)
    cluster.kubectl("annotate", "pod", "chat", "-n", NAMESPACE, f"{next(iter(cost))}=9")
    (outcome,) = await _sent(cluster, (change,))
    assert outcome.ending.value == "another manager's field", outcome.text
    assert "kubectl-annotate" in outcome.text


async def test_what_the_cluster_can_do_is_found(cluster: beds.Bed) -> None:
    async with api_client(cluster.kubeconfig("admin")) as client:
        found = await discover(client, Cluster(name="bed"))
    assert (found.capacity_buffers, found.pool_scale, found.not_read) == (True, True, ())


def _is_served(bed: beds.Bed) -> bool:
    """Their storage needs a moment more than their definition."""
    paths = (
        "karpenter.sh/v1/nodepools",
        "karpenter.sh/v1/nodeclaims",
        "autoscaling.x-k8s.io/v1beta1/capacitybuffers",
    )
    try:
        for path in paths:
            bed.read(f"/apis/{path}")
    except requests.HTTPError:
        return False
    return True


def _pool(name: str, **spec: Any) -> dict[str, Any]:
    template = {"spec": {"nodeClassRef": NODE_CLASS, "requirements": []}}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": name},
        "spec": {"template": template, **spec},
    }


def _claim() -> dict[str, Any]:
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {"name": "levers-claim", "labels": {"karpenter.sh/nodepool": "h100"}},
        "spec": {"nodeClassRef": NODE_CLASS, "requirements": []},
    }


def _state(bed: beds.Bed) -> PoolState:
    """The pool as the rules see it: one empty node."""
    uid = bed.read(f"{KARPENTER}/nodeclaims/levers-claim")["metadata"]["uid"]
    return pool(replace(EMPTY, uid=uid), demand_gpus=0.0)


async def _objects(bed: beds.Bed, client: Any) -> Objects:
    paths = {
        Kind.NODE: "/api/v1/nodes",
        Kind.POD: "/api/v1/pods",
        Kind.NODE_POOL: f"{KARPENTER}/nodepools",
        Kind.NODE_CLAIM: f"{KARPENTER}/nodeclaims",
    }
    records = {
        kind: [record_of(kind, one) for one in bed.read(path)["items"]]
        for kind, path in paths.items()
    }
    return Objects.of(Cluster.of("bed", records), await made_objects(client, NAMESPACE))


async def _changes(
    bed: beds.Bed, state: PoolState, wanted: PoolPlan, **given: Any
) -> tuple[Change, ...]:
    discovery = given.get("discovery") or Discovery(capacity_buffers=True, pool_scale=True)
    async with api_client(bed.kubeconfig("admin")) as client:
        objects = await _objects(bed, client)
    return actions(
        LeverInput(
            plan=NodePlan(at_seconds=given.get("now", NOW), pools=(wanted,)),
            pools={state.name: state},
            policies={state.name: given.get("policy", ACT)},
            discovery=discovery,
            objects=objects,
            pod_specs={state.name: POD_SPEC},
            namespace=NAMESPACE,
        )
    ).changes


async def _carried_out(
    bed: beds.Bed,
    state: PoolState,
    wanted: PoolPlan,
    discovery: Discovery | None = None,
    **given: Any,
) -> None:
    changes = await _changes(bed, state, wanted, discovery=discovery, **given)
    outcomes = await _sent(bed, changes)
    assert {one.ending.value for one in outcomes} <= {"done"}, [one.text for one in outcomes]


async def _collected(bed: beds.Bed, now: float) -> None:
    async with api_client(bed.kubeconfig("admin")) as client:
        changes = collect(await _objects(bed, client), now)
        outcomes = await ChangeExecutor(client=client, retries=_PATIENT).carry_out(changes)
    assert {one.ending.value for one in outcomes} <= {"done"}, [one.text for one in outcomes]


async def _sent(bed: beds.Bed, changes: tuple[Change, ...]) -> tuple[Outcome, ...]:
    async with api_client(bed.kubeconfig("admin")) as client:
        return await ChangeExecutor(client=client, retries=_PATIENT).carry_out(changes)


def _endings(outcomes: tuple[Outcome, ...]) -> list[str]:
    return [one.ending.value for one in outcomes]


def _annotations(bed: beds.Bed) -> dict[str, str]:
    found: dict[str, str] = bed.read(f"/api/v1/nodes/{NODE}")["metadata"]["annotations"]
    return found
