"""What has outlived its lease is taken away, whoever made it."""

import pytest

from policies.levers.change import Address
from policies.levers.discovery import Discovery
from policies.levers.garbage import collect, ours_left, withdraw
from policies.levers.objects import PRIORITY_CLASS, node_address
from policies.policy.pool_policy import Lever
from tests.levers.rounds import (
    BUFFER,
    DEPLOYMENT,
    POOL,
    TEMPLATE,
    acted,
    body_of,
    carry_out,
    held,
    node_document,
    order,
    plan,
    short,
    world,
)
from tests.levers.toy_store import Document, ToyStore
from tests.policies.pools import NOW, busy, empty, pool

NODE = node_address("node-a")
STATE = pool(empty("a"), demand_gpus=0.0)


@pytest.mark.parametrize(
    "annotations",
    [
        pytest.param({"foresail.io/kept-until": "2027-01-15T07:59:59Z"}, id="over"),
        pytest.param({"foresail.io/kept-until": "some day"}, id="no-time"),
        pytest.param({"foresail.io/kept-until": "2028-01-15T08:00:00Z"}, id="of-a-wrong-clock"),
        pytest.param({"foresail.io/kept-because": "forecast hold"}, id="no-lease"),
    ],
)
def test_a_hold_that_nobody_renewed_is_taken_off(annotations: dict[str, str]) -> None:
    store = world(STATE)
    store.put(NODE, node_document(annotations=annotations), "foresail")
    (change,) = collect(store.objects(), NOW)
    assert (change.lever, change.uid) == ("garbage", "uid-node-a")
    assert change.why == "its lease has ended: nobody renewed the hold"
    store.take(change)
    assert store.documents[NODE]["metadata"]["annotations"] == {}


def test_a_hold_whose_lease_runs_is_left() -> None:
    store = world(STATE)
    carry_out(store, acted(STATE, plan(held(empty("a"))), store).changes)
    assert collect(store.objects(), NOW + 899) == ()
    assert short(collect(store.objects(), NOW + 900)) == ["apply Node node-a"]


@pytest.mark.parametrize(
    ("value", "collected"),
    [
        ("1799999700", True),
        ("1799999701", False),
        ("1800000299", False),
        ("1831536000", True),
        ("", True),
        ("soon", True),
    ],
)
def test_a_taint_of_a_release_that_stopped_is_taken_off(value: str, collected: bool) -> None:
    store = world(STATE)
    document = node_document()
    taint = {"key": "foresail.io/release", "value": value, "effect": "NoSchedule"}
    document["spec"] = {"taints": [taint]}
    store.put(NODE, document)
    assert bool(collect(store.objects(), NOW)) is collected


def test_a_buffer_of_a_controller_that_is_gone_is_drained_first() -> None:
    state = pool(busy("a"), demand_gpus=1.0)
    store = world(state)
    carry_out(store, acted(state, plan(orders=(order(1),)), store).changes)
    store.documents[BUFFER]["status"] = {"conditions": [{"type": "Provisioning", "status": "True"}]}
    assert collect(store.objects(), NOW + 899) == ()
    seen = []
    for later in (900, 930, 960, 990):
        changes = collect(store.objects(), NOW + later)
        seen.append(short(changes))
        carry_out(store, changes)
    assert seen == [
        ["apply CapacityBuffer foresail/foresail-h100"],
        [],
        ["delete CapacityBuffer foresail/foresail-h100"],
        ["delete PodTemplate foresail/foresail-h100"],
    ]
    assert {BUFFER, TEMPLATE}.isdisjoint(store.documents)


def test_placeholders_go_and_their_class_after_them() -> None:
    state = pool(busy("a"), demand_gpus=1.0)
    store = world(state)
    wanted = plan(orders=(order(1),))
    carry_out(store, acted(state, wanted, store, discovery=Discovery()).changes)
    first = collect(store.objects(), NOW + 900)
    assert [one.address for one in first] == [DEPLOYMENT]
    carry_out(store, first)
    assert [one.address for one in collect(store.objects(), NOW + 901)] == [PRIORITY_CLASS]


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({"app.kubernetes.io/managed-by": "foresail"}, id="no-pool-of-ours"),
        pytest.param({"foresail.io/pool": "h100"}, id="not-managed-by-us"),
        pytest.param(
            {
                "app.kubernetes.io/managed-by": "foresail",
                "foresail.io/pool": "h100",
                "argocd.argoproj.io/instance": "infra",
            },
            id="kept-in-git",
        ),
    ],
)
def test_objects_that_only_look_like_ours_are_left(labels: dict[str, str]) -> None:
    store = ToyStore()
    metadata = {"namespace": "foresail", "labels": labels}
    store.put(DEPLOYMENT, {"metadata": metadata, "spec": {"replicas": 1}})
    assert collect(store.objects(), NOW) == ()


def test_no_node_that_a_pod_uses_goes_when_a_size_is_set_back() -> None:
    state = pool(busy("a"), static=True, demand_gpus=1.0)
    store = world(state)
    carry_out(store, acted(state, plan(orders=(order(2),)), store).changes)
    for name in "abc":
        store.put(node_address(f"node-{name}"), node_document())
    for name in "ab":
        store.put(*_pod_on(f"node-{name}"))
    # A model that a DaemonSet serves uses its node too.
    owner = {"kind": "DaemonSet", "name": "vllm", "uid": "d", "controller": True}
    store.documents[_pod_on("node-b")[0]]["metadata"]["ownerReferences"] = [owner]
    changes = collect(store.objects(), NOW + 900)
    assert short(changes) == ["apply NodePool h100", "patch NodePool h100 scale"]
    assert body_of(changes[1])[-1]["value"] == 2
    carry_out(store, changes)
    assert collect(store.objects(), NOW + 960) == ()
    del store.documents[_pod_on("node-b")[0]]
    carry_out(store, collect(store.objects(), NOW + 1000))
    assert store.documents[POOL]["spec"]["replicas"] == 1
    assert store.documents[POOL]["metadata"]["annotations"] == {"karpenter.sh/nodepool-hash": "1"}


@pytest.mark.parametrize(
    ("labels", "manager"),
    [
        pytest.param({"app.kubernetes.io/managed-by": "eks"}, "eks", id="built-in"),
        pytest.param(
            {"kustomize.toolkit.fluxcd.io/name": "infra"}, "kustomize-controller", id="in-git"
        ),
    ],
)
def test_marks_that_came_with_a_copy_change_no_size_of_a_pool_of_others(
    labels: dict[str, str], manager: str
) -> None:
    """As of a NodePool that was exported while its size was ours, and is the cloud's or Git's."""
    state = pool(busy("a"), static=True, demand_gpus=1.0)
    store = world(state)
    carry_out(store, acted(state, plan(orders=(order(2),)), store).changes)
    exported = store.documents[POOL]
    metadata = {**exported["metadata"], "labels": labels}
    store.put(POOL, {**exported, "metadata": metadata}, manager)
    for changes in (collect(store.objects(), NOW + 900), withdraw(store.objects(), NOW)):
        assert short(changes) == ["apply NodePool h100"]
        assert "spec" not in body_of(changes[0])


def test_taken_back_is_all_that_is_ours_whatever_its_lease() -> None:
    state = pool(empty("a"), busy("b"), demand_gpus=1.0)
    store = world(state)
    store.put(node_address("node-b"), node_document())
    carry_out(store, acted(state, plan(held(empty("a")), orders=(order(1),)), store).changes)
    before = ours_left(store.objects())
    assert set(before) == {
        "CapacityBuffer foresail/foresail-h100",
        "PodTemplate foresail/foresail-h100",
        "Node node-a",
    }
    assert collect(store.objects(), NOW + 1) == ()
    # To 0, then gone when Karpenter has counted, and never the other way round.
    seen = []
    for later in (1, 31, 61, 66, 71):
        changes = withdraw(store.objects(), NOW + later)
        seen.append(short(changes))
        carry_out(store, changes)
    assert seen == [
        ["apply CapacityBuffer foresail/foresail-h100", "apply Node node-a"],
        [],
        ["delete CapacityBuffer foresail/foresail-h100"],
        ["delete PodTemplate foresail/foresail-h100"],
        [],
    ]
    assert ours_left(store.objects()) == ()


def test_taken_back_is_only_what_the_levers_wrote_that_are_named() -> None:
    state = pool(empty("a"), busy("b"), demand_gpus=1.0)
    store = world(state)
    carry_out(store, acted(state, plan(held(empty("a")), orders=(order(1),)), store).changes)
    nodes = frozenset({Lever.NODE_HOLD, Lever.NODE_RELEASE})
    assert ours_left(store.objects(), nodes) == ("Node node-a",)
    assert short(withdraw(store.objects(), NOW + 1, nodes)) == ["apply Node node-a"]
    buffers = frozenset({Lever.CAPACITY_BUFFER})
    assert set(ours_left(store.objects(), buffers)) == {str(BUFFER), str(TEMPLATE)}
    assert short(withdraw(store.objects(), NOW + 1, buffers)) == [f"apply {BUFFER}"]
    others = frozenset(Lever) - nodes - buffers
    assert (withdraw(store.objects(), NOW + 1, others), ours_left(store.objects(), others)) == (
        (),
        (),
    )


def test_taken_back_a_buffer_that_nobody_answered_is_not_kept_for_another_try() -> None:
    state = pool(busy("a"), demand_gpus=1.0)
    store = world(state)
    carry_out(store, acted(state, plan(orders=(order(1),)), store).changes)
    for later in (3600, 3661, 3670):
        carry_out(store, withdraw(store.objects(), NOW + later))
    assert ours_left(store.objects()) == ()


@pytest.mark.parametrize(
    "gpus", [pytest.param(1, id="GPUs"), pytest.param(0, id="no GPUs, as a router")]
)
def test_taken_back_a_pool_stays_as_large_as_pods_use_it_and_is_ours_no_more(gpus: int) -> None:
    state = pool(busy("a"), static=True, demand_gpus=1.0)
    store = world(state)
    carry_out(store, acted(state, plan(orders=(order(2),)), store).changes)
    for name in "abc":
        store.put(node_address(f"node-{name}"), node_document())
    for name in "ab":
        store.put(*_pod_on(f"node-{name}", gpus if name == "b" else 1))
    assert ours_left(store.objects()) == ("NodePool h100",)
    carry_out(store, withdraw(store.objects(), NOW + 1))
    (change,) = withdraw(store.objects(), NOW + 2)
    assert change.why == (
        "all is taken back: pods use its 2 nodes, so it stays larger than the 1 of before"
    )
    store.take(change)
    assert store.documents[POOL]["spec"]["replicas"] == 2
    assert ours_left(store.objects()) == ()


def test_taken_back_is_nothing_of_others() -> None:
    store = ToyStore()
    store.put(NODE, node_document(annotations={"karpenter.sh/do-not-disrupt": "true"}), "kubectl")
    metadata = {"namespace": "foresail", "labels": {"app.kubernetes.io/managed-by": "Helm"}}
    store.put(DEPLOYMENT, {"metadata": metadata, "spec": {"replicas": 1}})
    assert withdraw(store.objects(), NOW) == ()
    assert ours_left(store.objects()) == ()


def test_leases_that_a_tenant_writes_on_pods_cost_no_request() -> None:
    store = ToyStore()
    address, document = _pod_on("node-a")
    document["metadata"]["annotations"] = {"foresail.io/ranked-until": "2020-01-01T00:00:00Z"}
    store.put(address, document, "tenant")
    assert collect(store.objects(), NOW) == ()


def _pod_on(node: str, gpus: int = 1) -> tuple[Address, Document]:
    address = Address(kind="Pod", resource="pods", namespace="llm", name=f"chat-{node}")
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {"cpu": "1"}
    container = {"name": "c", "resources": {"limits": limits}}
    spec = {"nodeName": node, "containers": [container]}
    return address, {"metadata": {"namespace": "llm"}, "spec": spec}
