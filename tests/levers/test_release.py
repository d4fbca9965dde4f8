"""An empty node goes in steps over rounds: taint, look again, delete its NodeClaim."""

from dataclasses import replace

import pytest

from policies.levers.change import Address
from policies.levers.objects import claim_address, node_address
from policies.node_plan import Verdict
from policies.policy.pool_policy import LEVERS_DEFAULT, Lever
from tests.levers.rounds import (
    ACT,
    acted,
    body_of,
    carry_out,
    decision,
    held,
    node_document,
    plan,
    released,
    short,
    words,
    world,
)
from tests.levers.toy_store import RefusedError, ToyStore
from tests.policies.pools import NOW, busy, empty, pool

A = empty("a")
STATE = pool(A, demand_gpus=0.0)
NODE = node_address("node-a")
TAINT = {"key": "foresail.io/release", "value": "1800000000", "effect": "NoSchedule"}
OTHER = {"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}


def test_first_it_is_tainted_then_its_claim_is_deleted_by_uid() -> None:
    store = world(STATE)
    wanted = plan(released(A))
    (taint,) = acted(STATE, wanted, store).changes
    assert body_of(taint) == (
        {"op": "test", "path": "/metadata/uid", "value": "uid-node-a"},
        {"op": "test", "path": "/spec/taints", "value": None},
        {"op": "add", "path": "/spec/taints", "value": [TAINT]},
    )
    store.take(taint)

    early = acted(STATE, wanted, store, now=NOW + 9)
    assert early.changes == ()
    assert "its NodeClaim is deleted in 1 s, if still empty" in words(early)

    (delete,) = acted(STATE, wanted, store, now=NOW + 10).changes
    assert (delete.verb.value, delete.address) == ("delete", claim_address("a"))
    assert (delete.uid, delete.empty_node) == ("uid-a", "node-a")


def test_a_node_that_has_just_become_empty_is_not_tainted_yet() -> None:
    new = empty("a", minutes=0)
    state = pool(new, demand_gpus=0.0)
    store = world(state)
    early = acted(state, plan(released(new)), store, now=NOW + 29)
    assert early.changes == ()
    assert "node-a has been empty for 29 s: a pod may be about to come" in words(early)
    assert len(acted(state, plan(released(new)), store, now=NOW + 30).changes) == 1


@pytest.mark.parametrize(
    ("replaced_until", "tainted_from"),
    [
        pytest.param(None, 30, id="nobody saw what left it"),
        pytest.param(NOW + 15, 15, id="a ReplicaSet's pod left it"),
        pytest.param(NOW + 22, 22, id="a Job's pod left it 8 s before"),
    ],
)
def test_an_empty_node_is_tainted_when_no_pod_comes_back_to_it_any_more(
    replaced_until: float | None, tainted_from: int
) -> None:
    new = replace(empty("a", minutes=0), replaced_until_seconds=replaced_until)
    state = pool(new, demand_gpus=0.0)
    done = [
        bool(acted(state, plan(released(new)), world(state), now=NOW + second).changes)
        for second in range(32)
    ]
    assert done == [second >= tainted_from for second in range(32)]


def test_a_taint_is_added_to_those_of_others() -> None:
    store = world(STATE)
    store.documents[NODE]["spec"]["taints"] = [OTHER]
    (taint,) = acted(STATE, plan(released(A)), store).changes
    assert body_of(taint)[1:] == ({"op": "add", "path": "/spec/taints/-", "value": TAINT},)
    store.take(taint)
    assert store.documents[NODE]["spec"]["taints"] == [OTHER, TAINT]


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        pytest.param(pool(busy("a")), Verdict.LEAVE, id="a-pod-was-bound-meanwhile"),
        pytest.param(pool(busy("a")), Verdict.RELEASE, id="and-the-plan-does-not-know-it-yet"),
        pytest.param(STATE, Verdict.LEAVE, id="the-plan-changed"),
        pytest.param(STATE, Verdict.HOLD, id="it-is-held-now"),
    ],
)
def test_the_taint_is_taken_off_where_the_node_stays(state: object, verdict: Verdict) -> None:
    store = _tainted()
    store.documents[NODE]["spec"]["taints"] = [OTHER, TAINT]
    node = state.nodes[0]  # type: ignore[attr-defined]
    wanted = held(node) if verdict is Verdict.HOLD else decision(node, verdict)
    done = acted(state, plan(wanted), store, now=NOW + 20)  # type: ignore[arg-type]
    untaint = done.changes[-1]
    assert body_of(untaint) == (
        {"op": "test", "path": "/metadata/uid", "value": "uid-node-a"},
        {"op": "test", "path": "/spec/taints/1/key", "value": "foresail.io/release"},
        {"op": "remove", "path": "/spec/taints/1"},
    )
    store.take(untaint)
    assert store.documents[NODE]["spec"]["taints"] == [OTHER]
    assert not any(one.verb.value == "delete" for one in done.changes)


def test_a_pod_with_other_devices_ends_a_release_that_could_never_be_carried_out() -> None:
    store = _tainted()
    container = {"name": "c", "resources": {"limits": {"vpc.amazonaws.com/efa": "1"}}}
    document = {
        "metadata": {"namespace": "llm"},
        "spec": {"nodeName": "node-a", "containers": [container]},
    }
    store.put(Address(kind="Pod", resource="pods", namespace="llm", name="mpi"), document)
    (untaint,) = acted(STATE, plan(released(A)), store, now=NOW + 20).changes
    assert untaint.why == "pod llm/mpi is on it"
    store.take(untaint)
    assert acted(STATE, plan(released(A)), store, now=NOW + 40).changes == ()


def test_a_list_of_taints_that_changed_meanwhile_is_not_touched() -> None:
    store = _tainted()
    (untaint,) = acted(STATE, plan(decision(A, Verdict.LEAVE)), store).changes
    store.documents[NODE]["spec"]["taints"] = [OTHER, TAINT]
    with pytest.raises(RefusedError, match="taints"):
        store.take(untaint)


def test_a_hold_of_ours_goes_in_the_same_round_as_the_taint_comes() -> None:
    store = world(STATE)
    carry_out(store, acted(STATE, plan(held(A)), store).changes)
    done = acted(STATE, plan(released(A)), store)
    assert short(done.changes) == ["apply Node node-a", "patch Node node-a"]


def test_a_node_that_goes_keeps_a_taint_that_is_over() -> None:
    done = acted(STATE, plan(released(A)), _tainted(), now=NOW + 3600)
    assert short(done.changes) == ["delete NodeClaim a"]


def test_a_clock_that_went_back_keeps_no_node() -> None:
    done = acted(STATE, plan(released(A)), _tainted(), now=NOW - 3600)
    assert short(done.changes) == ["delete NodeClaim a"]


@pytest.mark.parametrize(
    ("why", "text"),
    [
        pytest.param("forbidden", "the policy does not allow releases", id="not-allowed"),
        pytest.param("kept", "others keep it", id="others-keep-it"),
        pytest.param("no claim", "no NodeClaim of Karpenter's made it", id="no-claim"),
    ],
)
def test_a_node_that_is_not_ours_to_release_stays(why: str, text: str) -> None:
    store, policy = world(STATE), ACT
    match why:
        case "forbidden":
            policy = replace(ACT, levers=LEVERS_DEFAULT - {Lever.NODE_RELEASE})
        case "kept":
            kept = {"karpenter.sh/do-not-disrupt": "true"}
            store.put(NODE, node_document(annotations=kept))
        case _:
            del store.documents[claim_address("a")]
            store.documents[node_address("a")] = store.documents.pop(NODE)
            store.documents[node_address("a")]["metadata"]["name"] = "a"
            store.owners[node_address("a")] = {}
    done = acted(STATE, plan(released(A)), store, policy=policy)
    assert done.changes == ()
    assert text in words(done)


def _tainted() -> ToyStore:
    store = world(STATE)
    carry_out(store, acted(STATE, plan(released(A)), store).changes)
    return store
