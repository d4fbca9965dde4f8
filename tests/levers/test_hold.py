"""Nodes are held by an annotation with a reason and a lease, and only ours is ever taken off."""

from dataclasses import replace

import pytest

from fleet.reasons import Reason
from policies.levers.objects import node_address
from policies.node_plan import Verdict
from policies.policy.pool_policy import LEVERS_DEFAULT, Lever
from tests.levers.rounds import (
    ACT,
    acted,
    at,
    body_of,
    carry_out,
    decision,
    held,
    node_document,
    plan,
    short,
    words,
    world,
)
from tests.levers.toy_store import RefusedError
from tests.policies.pools import NOW, coming, empty, pool

A = empty("a")
STATE = pool(A, demand_gpus=0.0)
NODE = node_address("node-a")


def test_a_hold_writes_the_annotation_its_reason_and_its_lease() -> None:
    (change,) = acted(STATE, plan(held(A)), world(STATE)).changes
    assert body_of(change) == {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": "node-a",
            # Without it, an apply would make a node that is gone.
            "uid": "uid-node-a",
            "annotations": {
                "karpenter.sh/do-not-disrupt": "true",
                "foresail.io/kept-because": "forecast hold",
                "foresail.io/kept-until": at(NOW + 900),
            },
        },
    }
    assert (change.lever, change.why) == ("hold", "as the test has it")
    assert change.lease_end_seconds == NOW + 900


@pytest.mark.parametrize(
    ("later", "until", "reason", "written"),
    [
        pytest.param(450, 450 + 900, Reason.FORECAST_HOLD, False, id="half-is-left"),
        pytest.param(451, 451 + 900, Reason.FORECAST_HOLD, True, id="less-than-half"),
        pytest.param(10, 900, Reason.FORECAST_HOLD, False, id="as-it-stands"),
        pytest.param(10, 910, Reason.WARM_FLOOR, True, id="another-reason"),
        pytest.param(10, 400, Reason.FORECAST_HOLD, True, id="shorter"),
        pytest.param(950, 1850, Reason.FORECAST_HOLD, True, id="over"),
    ],
)
def test_it_is_written_again_only_where_that_changes_something(
    later: float, until: float, reason: Reason, written: bool
) -> None:
    store = world(STATE)
    carry_out(store, acted(STATE, plan(held(A)), store).changes)
    again = plan(held(A, NOW + until, reason=reason))
    changes = acted(STATE, again, store, now=NOW + later).changes
    assert [
        body_of(one)["metadata"]["annotations"]["foresail.io/kept-until"] for one in changes
    ] == ([at(NOW + until)] if written else [])


@pytest.mark.parametrize("reason", list(Reason))
def test_any_reason_is_written_once(reason: Reason) -> None:
    store = world(STATE)
    wanted = plan(held(A, reason=reason))
    carry_out(store, acted(STATE, wanted, store).changes)
    assert acted(STATE, wanted, store).changes == ()


@pytest.mark.parametrize("verdict", [Verdict.LEAVE, Verdict.RELEASE])
def test_ours_is_taken_off_where_the_plan_does_not_hold(verdict: Verdict) -> None:
    store = world(STATE)
    carry_out(store, acted(STATE, plan(held(A)), store).changes)
    done = acted(STATE, plan(decision(A, verdict)), store)
    assert done.changes[0].body == {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "node-a", "uid": "uid-node-a"},
    }
    store.take(done.changes[0])
    assert store.documents[NODE]["metadata"]["annotations"] == {}


def test_the_annotation_of_somebody_else_stays_when_ours_goes() -> None:
    store = world(STATE)
    carry_out(store, acted(STATE, plan(held(A)), store).changes)
    path = ("metadata", "annotations", "karpenter.sh/do-not-disrupt")
    store.owners[NODE][path].add("kubectl")
    carry_out(store, acted(STATE, plan(decision(A, Verdict.LEAVE)), store).changes)
    assert store.documents[NODE]["metadata"]["annotations"] == {
        "karpenter.sh/do-not-disrupt": "true"
    }


def test_a_node_that_others_keep_gets_none_of_ours() -> None:
    store = world(STATE)
    kept = node_document(annotations={"karpenter.sh/do-not-disrupt": "true"})
    store.put(NODE, kept, "kubectl")
    done = acted(STATE, plan(held(A)), store)
    assert done.changes == ()
    assert "node-a: others keep it, and it stays theirs" in words(done)
    assert acted(STATE, plan(decision(A, Verdict.LEAVE)), store).changes == ()


def test_another_value_of_somebody_else_is_not_overwritten() -> None:
    store = world(STATE)
    store.put(NODE, node_document(annotations={"karpenter.sh/do-not-disrupt": "no"}), "kubectl")
    (change,) = acted(STATE, plan(held(A)), store).changes
    with pytest.raises(RefusedError, match="kubectl"):
        store.take(change)


def test_a_node_that_was_replaced_under_its_name_is_not_held() -> None:
    store = world(STATE)
    (change,) = acted(STATE, plan(held(A)), store).changes
    store.documents[NODE]["metadata"]["uid"] = "another"
    with pytest.raises(RefusedError, match="another UID"):
        store.take(change)


def test_a_machine_without_a_node_is_not_held_yet() -> None:
    b = coming("b")
    state = pool(b, demand_gpus=0.0)
    store = world(state)
    del store.documents[node_address("node-b")]
    done = acted(state, plan(held(b)), store)
    assert done.changes == ()
    assert "hold: b has no Node to annotate yet" in words(done)


def test_holds_that_the_policy_forbids_are_taken_off() -> None:
    store = world(STATE)
    carry_out(store, acted(STATE, plan(held(A)), store).changes)
    policy = replace(ACT, levers=LEVERS_DEFAULT - {Lever.NODE_HOLD})
    assert short(acted(STATE, plan(held(A)), store, policy=policy).changes) == ["apply Node node-a"]
