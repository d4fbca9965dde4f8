"""Nodes are ordered by a CapacityBuffer, which is drained before it is deleted."""

from dataclasses import replace

import pytest

from fleet.cluster.nodes import CapacityType
from fleet.reasons import Reason
from policies.levers.discovery import Discovery
from policies.levers.objects import node_address
from policies.node_plan import Verdict
from policies.policy.pool_policy import LEVERS_DEFAULT, Lever, Mode, PoolPolicy
from policies.situation import NodeStage
from tests.levers.rounds import (
    ACT,
    ALL,
    BUFFER,
    POD_SPEC,
    TEMPLATE,
    acted,
    at,
    body_of,
    carry_out,
    decision,
    held,
    order,
    plan,
    short,
    words,
    world,
)
from tests.policies.pools import NOW, busy, coming, empty, pool

LABELS = {
    "app.kubernetes.io/managed-by": "foresail",
    "foresail.io/pool": "h100",
    "foresail.io/policy": "balanced",
}
MARKS = {"foresail.io/kept-because": "pre-warm", "foresail.io/kept-until": at(NOW + 900)}


def test_an_order_makes_a_template_and_a_buffer() -> None:
    state = pool(busy("a", 8), gpus_per_node=8, demand_gpus=8.0)
    done = acted(state, plan(orders=(order(2),)), world(state))

    template, buffer = done.changes
    assert template.address.path == "/api/v1/namespaces/foresail/podtemplates/foresail-h100"
    body = dict(body_of(template))
    digest = body["metadata"]["annotations"].pop("foresail.io/template-hash")
    assert len(digest) == 16
    assert body == {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {
            "name": "foresail-h100",
            "namespace": "foresail",
            "labels": LABELS,
            "annotations": MARKS,
        },
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {
                "nodeSelector": {"team": "llm", "karpenter.sh/nodepool": "h100"},
                "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
                "containers": [
                    {
                        "name": "room",
                        "image": "registry.example/vllm:1",
                        # Eight pods of one GPU fit on a node.
                        "resources": {
                            "requests": {
                                "cpu": "28",
                                "memory": str(64 * 2**30),
                                "nvidia.com/gpu": "8",
                            },
                            "limits": {"nvidia.com/gpu": "8"},
                        },
                    }
                ],
            },
        },
    }
    assert buffer.address.path == (
        "/apis/autoscaling.x-k8s.io/v1beta1/namespaces/foresail/capacitybuffers/foresail-h100"
    )
    assert buffer.after == (template.address,)
    assert buffer.body == {
        "apiVersion": "autoscaling.x-k8s.io/v1beta1",
        "kind": "CapacityBuffer",
        "metadata": {
            "name": "foresail-h100",
            "namespace": "foresail",
            "labels": LABELS,
            "annotations": MARKS,
        },
        "spec": {
            "provisioningStrategy": "buffer.x-k8s.io/active-capacity",
            "replicas": 2,
            "podTemplateRef": {"name": "foresail-h100"},
        },
    }
    assert buffer.lease_end_seconds == NOW + 900


@pytest.mark.parametrize(
    ("nodes", "demand", "orders", "replicas"),
    [
        pytest.param((busy("a"),), 1, 2, 2, id="beyond-used-nodes"),
        # Its pods would take the empty node first, and no new one be bought.
        pytest.param((busy("a"), empty("b")), 1, 2, 3, id="empty-nodes-are-counted-in"),
        pytest.param((busy("a"), coming("b")), 1, 2, 3, id="nodes-on-their-way-too"),
        # Its NodeClaim says some seconds later than its pods that it is initialized.
        pytest.param(
            (busy("a"), busy("b", stage=NodeStage.REGISTERED)), 2, 2, 2, id="not-those-with-pods"
        ),
        # Pods that wait will take the empty node, and Karpenter buys for the others by itself.
        pytest.param((busy("a"), empty("b")), 2, 2, 2, id="not-those-that-pods-wait-for"),
        pytest.param((busy("a"), empty("b")), 4, 2, 2, id="more-pods-wait-than-nodes-are-there"),
        pytest.param((busy("a"), empty("b", leaving=True)), 1, 2, 2, id="not-leaving-ones"),
    ],
)
def test_its_size_is_what_is_wanted_beyond_what_is_asked_for(
    nodes: tuple[object, ...], demand: float, orders: int, replicas: int
) -> None:
    state = pool(*nodes, demand_gpus=float(demand))
    done = acted(state, plan(orders=(order(orders),)), world(state))
    assert body_of(done.changes[-1])["spec"]["replicas"] == replicas


def test_a_node_that_takes_no_pod_is_not_bought_again_in_each_round() -> None:
    x, arriving = empty("x"), [coming("a"), coming("b")]
    before = pool(x, demand_gpus=0.0)
    store = world(before)
    carry_out(store, acted(before, plan(held(x), orders=(order(2),)), store).changes)
    assert store.documents[BUFFER]["spec"]["replicas"] == 3
    # The node is lost; Karpenter buys a third one for the room that is asked for.
    arriving.append(coming("c"))
    for later in (10, 20):
        state = pool(x, *arriving, demand_gpus=0.0)
        carry_out(store, acted(state, plan(held(x)), store, now=NOW + later).changes)
        assert store.documents[BUFFER]["spec"]["replicas"] == 3


def test_a_node_that_is_not_ready_is_no_room() -> None:
    state = pool(empty("x"), demand_gpus=0.0)
    store = world(state)
    taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    store.documents[node_address("node-x")]["spec"]["taints"] = [taint]
    done = acted(state, plan(held(empty("x")), orders=(order(2),)), store)
    assert body_of(done.changes[-1])["spec"]["replicas"] == 2


def test_it_falls_in_the_round_in_which_the_demand_rises() -> None:
    before = pool(busy("a"), coming("b"), coming("c"), demand_gpus=1.0)
    store = world(before)
    carry_out(store, acted(before, plan(orders=(order(1),)), store).changes)
    assert store.documents[BUFFER]["spec"]["replicas"] == 3

    risen = replace(before, demand_gpus=2.0)
    (change,) = acted(risen, plan(), store).changes
    assert body_of(change)["spec"]["replicas"] == 1


def test_it_covers_what_comes_until_holds_take_over() -> None:
    state = pool(busy("a"), coming("b"), demand_gpus=1.0)
    store = world(state)
    carry_out(store, acted(state, plan(orders=(order(1),)), store).changes)
    assert store.documents[BUFFER]["spec"]["replicas"] == 2
    both = pool(busy("a"), coming("b"), coming("c"), demand_gpus=1.0)
    assert acted(both, plan(), store).changes == ()

    b, c = empty("b"), empty("c")
    come = pool(busy("a"), b, c, demand_gpus=1.0)
    store_now = world(come)
    store_now.documents |= {BUFFER: store.documents[BUFFER], TEMPLATE: store.documents[TEMPLATE]}
    store_now.owners |= {BUFFER: store.owners[BUFFER], TEMPLATE: store.owners[TEMPLATE]}
    done = acted(come, plan(held(b), held(c)), store_now)
    assert short(done.changes) == [
        "apply Node node-b",
        "apply Node node-c",
        "apply CapacityBuffer foresail/foresail-h100",
    ]
    assert body_of(done.changes[-1])["spec"]["replicas"] == 0


def test_it_is_deleted_only_when_it_is_known_to_be_empty() -> None:
    state = pool(busy("a"), demand_gpus=1.0)
    store = world(state)
    carry_out(store, acted(state, plan(orders=(order(1),)), store).changes)
    store.documents[BUFFER]["status"] = {"conditions": [_condition("True", "FitsExistingCapacity")]}
    (drain,) = acted(state, plan(), store, now=NOW + 10).changes
    assert body_of(drain)["spec"] == {
        "provisioningStrategy": "buffer.x-k8s.io/active-capacity",
        "replicas": 0,
        "podTemplateRef": {"name": "foresail-h100"},
    }
    store.take(drain)
    assert acted(state, plan(), store, now=NOW + 69).changes == ()
    # Two reconciles of 30 s.
    assert short(acted(state, plan(), store, now=NOW + 70).changes)[0].startswith("delete Cap")

    store.documents[BUFFER]["status"] = {"conditions": [_condition("False", "BufferEmpty")]}
    (delete,) = acted(state, plan(), store, now=NOW + 12).changes
    assert (delete.verb.value, delete.address, delete.uid) == ("delete", BUFFER, "made-2")


def test_a_buffer_without_an_answer_gives_way_to_placeholders() -> None:
    state = pool(busy("a"), demand_gpus=1.0)
    store = world(state)
    wanted = plan(orders=(order(1),))
    carry_out(store, acted(state, wanted, store).changes)
    assert acted(state, wanted, store, now=NOW + 59).changes == ()
    done = acted(state, wanted, store, now=NOW + 60)
    assert short(done.changes) == [
        "apply CapacityBuffer foresail/foresail-h100",
        "apply PriorityClass foresail-placeholder",
        "apply Deployment foresail/foresail-h100",
    ]
    assert "not by capacity buffer: no controller answered a buffer of ours" in words(done)
    carry_out(store, done.changes)
    # The empty buffer stays, so that not every round waits for an answer again.
    assert acted(state, wanted, store, now=NOW + 300).changes == ()


@pytest.mark.parametrize(
    ("discovery", "policy", "why"),
    [
        pytest.param(
            Discovery(pool_scale=True),
            ACT,
            "autoscaling.x-k8s.io/v1beta1 is not served",
            id="not-served",
        ),
        pytest.param(
            ALL,
            replace(ACT, levers=LEVERS_DEFAULT - {Lever.CAPACITY_BUFFER}),
            "the policy does not allow it",
            id="not-allowed",
        ),
    ],
)
def test_without_it_placeholders_order(discovery: Discovery, policy: PoolPolicy, why: str) -> None:
    state = pool(busy("a"), demand_gpus=1.0)
    wanted = plan(orders=(order(1),))
    done = acted(state, wanted, world(state), discovery=discovery, policy=policy)
    assert short(done.changes)[-1] == "apply Deployment foresail/foresail-h100"
    assert f"levers: not by capacity buffer: {why}" in words(done)


def test_a_buffer_of_somebody_else_is_left_alone() -> None:
    state = pool(busy("a"), demand_gpus=1.0)
    store = world(state)
    store.put(BUFFER, {"metadata": {"namespace": "foresail"}, "spec": {"replicas": 3}})
    done = acted(state, plan(orders=(order(1),)), store)
    assert short(done.changes)[-1] == "apply Deployment foresail/foresail-h100"
    assert "CapacityBuffer foresail/foresail-h100 is not ours" in words(done)


def test_nodes_on_demand_have_a_buffer_of_their_own() -> None:
    state = pool(busy("a"), empty("b", capacity_type=CapacityType.SPOT), demand_gpus=1.0)
    typed = order(1, capacity_type=CapacityType.ON_DEMAND)
    done = acted(state, plan(orders=(order(1), typed)), world(state))
    buffers = [one for one in done.changes if one.address.kind == "CapacityBuffer"]
    sizes = [body_of(one)["spec"]["replicas"] for one in buffers]
    assert sizes == [1, 2]  # the spot node is room for the other one
    template = body_of(done.changes[0])["template"]
    selector = template["spec"]["nodeSelector"]
    assert selector["karpenter.sh/capacity-type"] == "on-demand"


def test_a_lease_is_renewed_when_half_of_it_is_gone() -> None:
    state = pool(busy("a"), coming("b"), demand_gpus=1.0)
    store = world(state)
    wanted = plan(orders=(order(1),))
    carry_out(store, acted(state, wanted, store).changes)
    store.documents[BUFFER]["status"] = {"conditions": [_condition("True", "RequiresNewCapacity")]}
    assert acted(state, wanted, store, now=NOW + 450).changes == ()
    renewed = acted(state, wanted, store, now=NOW + 451).changes
    assert short(renewed) == [
        "apply PodTemplate foresail/foresail-h100",
        "apply CapacityBuffer foresail/foresail-h100",
    ]


def test_a_claim_stands_in_no_template() -> None:
    claiming = {
        **POD_SPEC,
        "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"}],
        "containers": [{"name": "vllm", "image": "v", "resources": {"claims": [{"name": "gpu"}]}}],
    }
    state = pool(busy("a"), demand_gpus=1.0)
    wanted = plan(orders=(order(1),))
    done = acted(state, wanted, world(state), pod_spec=claiming)
    spec = body_of(done.changes[0])["template"]["spec"]
    assert "resourceClaims" not in spec
    assert spec["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert "nothing has shown that Karpenter buys nodes for such" in words(done)


def test_no_node_is_bought_for_a_resource_that_its_nodes_never_show() -> None:
    claiming = {**POD_SPEC, "resourceClaims": [{"name": "gpu", "resourceClaimName": "g"}]}
    state = pool(busy("a"), demand_gpus=1.0)
    store = world(state)
    node = next(doc for address, doc in store.documents.items() if address.kind == "Node")
    node["status"]["allocatable"] = {"cpu": "8"}
    done = acted(state, plan(orders=(order(1),)), store, pod_spec=claiming)
    assert done.changes == ()
    assert "no node of it has shown its GPUs as an extended resource" in words(done)
    assert "1 nodes are wanted, and no lever can order them: nothing is done" in words(done)


def test_advice_is_computed_and_not_carried_out() -> None:
    state = pool(busy("a"), empty("b"), demand_gpus=1.0)
    advised = plan(held(empty("b")), orders=(order(1),), act=False)
    done = acted(state, advised, world(state), policy=replace(ACT, mode=Mode.ADVISE))
    assert len(done.changes) == 3
    assert not any(one.execute for one in done.changes)


def test_the_reason_of_most_nodes_is_written() -> None:
    state = pool(busy("a"), demand_gpus=1.0)
    orders = (order(1), order(3, Reason.GANG))
    done = acted(state, plan(orders=orders), world(state))
    annotations = body_of(done.changes[-1])["metadata"]["annotations"]
    assert annotations["foresail.io/kept-because"] == "gang"


def test_a_node_that_nobody_wants_does_not_keep_the_buffer() -> None:
    state = pool(busy("a"), coming("b"), demand_gpus=1.0)
    store = world(state)
    carry_out(store, acted(state, plan(orders=(order(1),)), store).changes)
    surplus = pool(busy("a"), empty("b"), demand_gpus=1.0)
    left = plan(decision(empty("b"), Verdict.LEAVE))
    (change,) = acted(surplus, left, store).changes
    assert body_of(change)["spec"]["replicas"] == 0


def _condition(status: str, reason: str) -> dict[str, str]:
    return {"type": "Provisioning", "status": status, "reason": reason}
