"""A machine that still starts is called off by the delete of its NodeClaim."""

from dataclasses import replace
from typing import Any

import pytest

from fleet.cluster.karpenter import node_claim_of
from fleet.cluster.nodes import CapacityType
from fleet.cluster.pods import pod_of
from policies.levers.cancel import waits_for
from policies.levers.change import Address
from policies.levers.objects import claim_address, node_address
from policies.node_plan import PoolPlan, Verdict
from policies.policy.pool_policy import LEVERS_DEFAULT, Lever
from policies.situation import PoolNode, PoolState
from tests.levers.rounds import (
    ACT,
    BUFFER,
    POOL,
    acted,
    body_of,
    carry_out,
    decision,
    node_document,
    order,
    plan,
    released,
    short,
    words,
    world,
)
from tests.levers.toy_store import Document, ToyStore
from tests.policies.pools import NOW, coming, pool

A, B = coming("a", ordered_seconds=NOW - 90), coming("b", ordered_seconds=NOW - 60)
STATE = pool(A, B, demand_gpus=0.0)
B_GOES = plan(decision(A, Verdict.LEAVE), released(B))


def starting(state: PoolState = STATE, **of_pool: Any) -> ToyStore:
    """The objects of machines without a Node."""
    store = world(state, **of_pool)
    for node in state.nodes:
        del store.documents[node_address(f"node-{node.name}")]
        store.documents[claim_address(node.name)] |= claim(node)
    return store


def claim(node: PoolNode, **spec: Any) -> Document:
    labels = {"karpenter.sh/nodepool": "h100"}
    name = {"name": node.name, "uid": node.uid, "resourceVersion": "7"}
    return {"metadata": {"labels": labels, **name}, "spec": spec, "status": {}}


def waiting(name: str, *, labels: Document | None = None, **spec: Any) -> Document:
    container = {"name": "c", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    metadata = {"name": name, "namespace": "llm", "uid": f"uid-{name}", "labels": labels or {}}
    return {"metadata": metadata, "spec": {"containers": [container], **spec}}


def pods(name: str) -> Address:
    return Address(kind="Pod", resource="pods", namespace="llm", name=name)


def cancelled(store: ToyStore, wanted: PoolPlan = B_GOES, **given: Any) -> list[str]:
    done = acted(STATE, wanted, store, **given)
    return [str(one.address) for one in done.changes if one.verb.value == "delete"]


def test_its_claim_is_deleted_as_it_was_read() -> None:
    (delete,) = acted(STATE, B_GOES, starting()).changes
    assert (delete.verb.value, delete.address, delete.uid) == ("delete", claim_address("b"), B.uid)
    assert delete.start_of is not None
    assert (delete.start_of.version, delete.empty_node) == ("7", None)


def test_one_that_has_registered_is_deleted_without_a_taint() -> None:
    store = starting()
    store.documents[claim_address("b")]["status"] = {"nodeName": "node-b"}
    store.put(node_address("node-b"), node_document())
    (delete,) = acted(STATE, B_GOES, store).changes
    assert (delete.address, delete.empty_node) == (claim_address("b"), "node-b")


def test_the_buffer_that_asked_for_it_falls_first() -> None:
    store = starting()
    carry_out(store, acted(STATE, plan(orders=(order(1),)), store).changes)
    assert store.documents[BUFFER]["spec"]["replicas"] == 3
    done = acted(STATE, B_GOES, store)
    assert short(done.changes) == [
        "apply CapacityBuffer foresail/foresail-h100",
        "delete NodeClaim b",
    ]
    falls, delete = done.changes
    assert body_of(falls)["spec"]["replicas"] == 1
    assert delete.after == (BUFFER,)


def test_of_two_buffers_that_fall_both_fall_first() -> None:
    """What one of them asks for may be what the other one's node would be."""
    kinds = CapacityType.ON_DEMAND, CapacityType.SPOT
    nodes = [replace(one, capacity_type=kind) for one, kind in zip((A, B), kinds, strict=True)]
    state = pool(*nodes, demand_gpus=0.0)
    store = starting(state)
    orders = tuple(order(1, capacity_type=kind) for kind in kinds)
    carry_out(store, acted(state, plan(orders=orders), store).changes)
    done = acted(state, plan(*map(released, nodes)), store)
    buffers = {one.address for one in done.changes if one.address.kind == "CapacityBuffer"}
    after = [one.after for one in done.changes if one.verb.value == "delete"]
    assert len(buffers) == 2
    assert [set(one) for one in after] == [buffers, buffers]


def test_what_a_buffer_asks_for_is_not_called_off() -> None:
    store = starting()
    carry_out(store, acted(STATE, plan(orders=(order(1),)), store).changes)
    # Without a pod it is not known what to ask for, and the buffer stays as it is.
    assert cancelled(store, pod_spec=None) == []
    assert "b goes on starting: CapacityBuffer foresail/foresail-h100 still asks for it" in words(
        acted(STATE, B_GOES, store, pod_spec=None)
    )


def test_placeholder_pods_have_to_be_gone() -> None:
    store = starting()
    labels = {"foresail.io/placeholder": "h100"}
    for name in ("p1", "p2"):
        store.put(pods(name), waiting(name, labels=labels, priority=-10))
    assert cancelled(store) == []
    assert "b goes on starting: 2 placeholder pods still wait" in words(acted(STATE, B_GOES, store))
    del store.documents[pods("p2")]
    assert cancelled(store) == ["NodeClaim b"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(
            lambda store: store.put(pods("new"), waiting("new")),
            "pod llm/new waits and may get it",
            id="a pod that the plan does not know",
        ),
        pytest.param(
            lambda store: store.documents[claim_address("b")]["metadata"].update(
                annotations={"karpenter.sh/do-not-disrupt": "true"}
            ),
            "others keep it",
            id="others keep it",
        ),
        pytest.param(
            lambda store: store.documents.pop(claim_address("b")),
            "no NodeClaim of Karpenter's made it",
            id="no NodeClaim",
        ),
    ],
)
def test_what_others_need_goes_on(change: Any, why: str) -> None:
    store = starting()
    assert cancelled(store) == ["NodeClaim b"]
    change(store)
    assert cancelled(store) == []
    assert f"b goes on starting: {why}" in words(acted(STATE, B_GOES, store))


@pytest.mark.parametrize(
    ("marks", "goes"),
    [
        pytest.param({}, False, id="of others"),
        pytest.param({"foresail.io/kept-until": "2027-01-15T09:00:00Z"}, True, id="ours"),
    ],
)
def test_only_a_hold_of_others_on_its_node_keeps_it(marks: Document, goes: bool) -> None:
    store = starting()
    store.documents[claim_address("b")]["status"] = {"nodeName": "node-b"}
    held = node_document(annotations={"karpenter.sh/do-not-disrupt": "true", **marks})
    store.put(node_address("node-b"), held)
    assert bool(cancelled(store)) == goes


def test_a_pod_on_its_node_keeps_it() -> None:
    store = starting()
    store.documents[claim_address("b")]["status"] = {"nodeName": "node-b"}
    store.put(node_address("node-b"), node_document())
    store.put(pods("early"), waiting("early", nodeName="node-b"))
    assert cancelled(store) == []
    assert "pod llm/early is on it" in words(acted(STATE, B_GOES, store))


def test_one_that_was_just_ordered_goes_on() -> None:
    store = starting()
    assert cancelled(store, now=NOW - 31) == []
    said = words(acted(STATE, B_GOES, store, now=NOW - 31))
    assert "b goes on starting: it was ordered 29 s ago" in said
    assert cancelled(store, now=NOW - 30) == ["NodeClaim b"]


def test_it_needs_the_lever_of_releases() -> None:
    policy = ACT.__class__(
        policy=ACT.policy, mode=ACT.mode, levers=LEVERS_DEFAULT - {Lever.NODE_RELEASE}
    )
    assert cancelled(starting(), policy=policy) == []


def test_a_static_pool_gets_smaller_instead() -> None:
    state = pool(A, B, demand_gpus=0.0, static=True)
    store = starting(state)
    done = acted(state, B_GOES, store)
    assert not any(one.verb.value == "delete" for one in done.changes)
    carry_out(store, done.changes)
    assert store.documents[POOL]["spec"]["replicas"] == 1
    assert "b goes on starting: its pool is static, and its size falls instead" in words(done)


@pytest.mark.parametrize(
    ("pod", "waits"),
    [
        pytest.param(waiting("p"), True, id="one with GPUs"),
        pytest.param(waiting("p", containers=[]), True, id="one without"),
        pytest.param(waiting("p", nodeName="n"), False, id="bound"),
        pytest.param(waiting("p", schedulingGates=[{"name": "g"}]), False, id="held by a gate"),
        pytest.param(
            waiting("p", nodeSelector={"karpenter.sh/nodepool": "a10"}), False, id="other"
        ),
        pytest.param(
            waiting("p", nodeSelector={"karpenter.sh/nodepool": "h100"}), True, id="of the pool"
        ),
        pytest.param(
            waiting("p", nodeSelector={"nvidia.com/gpu.product": "H100"}), True, id="a late label"
        ),
        pytest.param(
            waiting("p", labels={"foresail.io/placeholder": "h100"}, priority=-10),
            False,
            id="a placeholder",
        ),
    ],
)
def test_which_pods_wait_for_it(pod: Document, waits: bool) -> None:
    assert waits_for(pod_of(pod), node_claim_of(claim(A))) == waits


@pytest.mark.parametrize(("zone", "goes"), [("a", False), ("b", True)])
def test_the_labels_of_its_node_count_too(zone: str, goes: bool) -> None:
    store = starting()
    store.documents[claim_address("b")]["status"] = {"nodeName": "node-b"}
    node = node_document()
    node["metadata"]["labels"]["topology.kubernetes.io/zone"] = "a"
    store.put(node_address("node-b"), node)
    store.put(pods("new"), waiting("new", nodeSelector={"topology.kubernetes.io/zone": zone}))
    # Nothing tells the zone of the other one, which is not called off.
    assert bool(cancelled(store)) == goes


def test_what_the_machine_is_required_to_be_excludes_a_pod() -> None:
    arm = [{"key": "kubernetes.io/arch", "operator": "In", "values": ["arm64"]}]
    starts = node_claim_of(claim(A, requirements=arm))
    assert waits_for(pod_of(waiting("p", nodeSelector={"kubernetes.io/arch": "arm64"})), starts)
    assert not waits_for(pod_of(waiting("p", nodeSelector={"kubernetes.io/arch": "amd64"})), starts)


def test_pods_are_listed_by_a_node_that_was_not_read_yet() -> None:
    store = starting()
    store.documents[claim_address("b")]["status"] = {"nodeName": "node-b"}
    (delete,) = acted(STATE, B_GOES, store).changes
    assert delete.empty_node == "node-b"
    store.put(pods("early"), waiting("early", nodeName="node-b"))
    assert cancelled(store) == []


def test_a_pod_that_does_not_tolerate_its_taint_waits_for_another() -> None:
    tainted = node_claim_of(claim(A, taints=[{"key": "gpu", "effect": "NoSchedule"}]))
    tolerations = [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert not waits_for(pod_of(waiting("p")), tainted)
    assert waits_for(pod_of(waiting("p", tolerations=tolerations)), tainted)


def test_a_pod_of_a_daemon_set_is_meant_for_another_node() -> None:
    document = waiting("p")
    document["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": True}
    ]
    assert not waits_for(pod_of(document), node_claim_of(claim(A)))
