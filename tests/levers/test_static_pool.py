"""The size of a static pool is set through its scale, and set back after the lease."""

from dataclasses import replace

import pytest

from policies.levers.discovery import Discovery
from policies.levers.objects import claim_address
from policies.node_plan import NodeDecision, Verdict
from policies.policy.pool_policy import LEVERS_DEFAULT, Lever
from policies.situation import NodeStage
from tests.levers.rounds import (
    ACT,
    POOL,
    acted,
    at,
    body_of,
    carry_out,
    decision,
    held,
    order,
    plan,
    released,
    short,
    words,
    world,
)
from tests.policies.pools import NOW, busy, coming, empty, pool

STATIC = {"static": True, "demand_gpus": 1.0}
GIT = {"labels": {"kustomize.toolkit.fluxcd.io/name": "infra"}}


def test_an_order_raises_the_size_and_marks_the_pool_first() -> None:
    state = pool(busy("a"), **STATIC)
    mark, scale = acted(state, plan(orders=(order(2),)), world(state)).changes
    assert body_of(mark) == {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {
            "name": "h100",
            "uid": "uid-h100",
            "annotations": {
                "foresail.io/kept-because": "pre-warm",
                "foresail.io/kept-until": at(NOW + 900),
                "foresail.io/replicas-before": "1",
                "foresail.io/replicas-set": "1 3",
            },
        },
    }
    assert (scale.address, scale.subresource, scale.after) == (POOL, "scale", (POOL,))
    assert body_of(scale) == (
        {"op": "test", "path": "/metadata/uid", "value": "uid-h100"},
        {"op": "test", "path": "/spec/replicas", "value": 1},
        {"op": "add", "path": "/spec/replicas", "value": 3},
    )


def test_the_scale_of_an_empty_pool_has_no_number_to_test() -> None:
    state = pool(static=True, demand_gpus=0.0)
    scale = acted(state, plan(orders=(order(1),)), world(state)).changes[-1]
    assert body_of(scale)[1:] == (
        {"op": "test", "path": "/spec/replicas", "value": None},
        {"op": "add", "path": "/spec/replicas", "value": 1},
    )


def test_nodes_that_were_asked_for_are_not_asked_for_again() -> None:
    state = pool(busy("a"), **STATIC)
    store = world(state)
    wanted = plan(orders=(order(2),))
    carry_out(store, acted(state, wanted, store).changes)
    assert acted(state, wanted, store).changes == ()
    more = pool(busy("a"), coming("b"), **STATIC)
    assert acted(more, plan(orders=(order(1),)), store).changes == ()


def test_a_release_lowers_the_size_back_to_what_it_was() -> None:
    state = pool(busy("a"), **STATIC)
    store = world(state)
    carry_out(store, acted(state, plan(orders=(order(1),)), store).changes)
    b = empty("b")
    come = pool(busy("a"), b, **STATIC)
    scale, unmark = acted(come, plan(released(b)), store).changes
    assert body_of(scale)[-1] == {"op": "add", "path": "/spec/replicas", "value": 1}
    assert body_of(unmark)["metadata"] == {"name": "h100", "uid": "uid-h100"}
    carry_out(store, (scale, unmark))
    assert acted(come, plan(released(b)), store).changes == ()
    assert "foresail.io/replicas-set" not in store.documents[POOL]["metadata"]["annotations"]


def test_a_node_that_is_about_to_end_is_still_one_of_its_size() -> None:
    b = empty("b")
    state = pool(busy("a"), b, busy("c", ending=True), static=True, demand_gpus=2.0)
    # With a size of 1 Karpenter would take a node with pods beside the empty one.
    scale = acted(state, plan(released(b)), world(state)).changes[-1]
    assert body_of(scale)[-1] == {"op": "add", "path": "/spec/replicas", "value": 2}
    # What is ordered in its place comes before it goes.
    scale = acted(state, plan(orders=(order(1),)), world(state)).changes[-1]
    assert body_of(scale)[-1] == {"op": "add", "path": "/spec/replicas", "value": 4}


def test_its_lease_is_renewed_while_the_nodes_are_wanted() -> None:
    state = pool(busy("a"), **STATIC)
    store = world(state)
    carry_out(store, acted(state, plan(orders=(order(1),)), store).changes)
    b = empty("b")
    come = pool(busy("a"), b, **STATIC)
    wanted = plan(held(b, NOW + 2000))
    late = acted(come, wanted, store, now=NOW + 800)
    assert [one for one in short(late.changes) if "NodePool" in one] == ["apply NodePool h100"]
    # Nobody wants them any more: the lease runs out, and the size goes back.
    assert acted(come, plan(), store, now=NOW + 800).changes == ()
    back = acted(come, plan(), store, now=NOW + 900).changes
    assert short(back) == ["patch NodePool h100 scale", "apply NodePool h100"]
    assert back[0].lever == "garbage"


@pytest.mark.parametrize(
    ("node_pool", "why"),
    [
        pytest.param(
            {"metadata": {"annotations": {}, **GIT}},
            "Flux sets its replicas: leave the field out of Git",
            id="in-git",
        ),
        pytest.param(
            {"metadata": {"labels": {"app.kubernetes.io/managed-by": "eks"}}},
            "the cloud made this pool and keeps it",
            id="built-in",
        ),
    ],
)
def test_pools_of_others_are_left_alone(node_pool: dict[str, object], why: str) -> None:
    state = pool(busy("a"), **STATIC)
    manager = "kustomize-controller" if "Git" in why else "eks"
    store = world(state)
    document = store.documents[POOL]
    store.put(POOL, {**document, **node_pool}, manager)
    done = acted(state, plan(orders=(order(1),)), store)
    assert done.changes == ()
    assert f"levers: not by static pool: {why}" in words(done)


def test_a_pool_of_git_without_its_size_may_be_scaled() -> None:
    state = pool(busy("a"), **STATIC)
    store = world(state)
    store.put(POOL, {**store.documents[POOL], "metadata": {**GIT, "annotations": {"a": "b"}}})
    done = acted(state, plan(orders=(order(1),)), store)
    assert short(done.changes) == ["apply NodePool h100", "patch NodePool h100 scale"]


@pytest.mark.parametrize(
    ("discovery", "levers", "why"),
    [
        pytest.param(Discovery(), LEVERS_DEFAULT, "NodePools have no scale subresource", id="old"),
        pytest.param(
            Discovery(pool_scale=True),
            LEVERS_DEFAULT - {Lever.STATIC_POOL},
            "the policy does not allow it",
            id="not-allowed",
        ),
    ],
)
def test_its_size_stays_where_it_may_not_be_set(
    discovery: Discovery, levers: frozenset[Lever], why: str
) -> None:
    b = empty("b")
    state = pool(busy("a"), b, **STATIC)
    policy = replace(ACT, levers=levers)
    done = acted(state, plan(released(b)), world(state), discovery=discovery, policy=policy)
    assert done.changes == ()
    assert f"node-b stays: its pool is static, and its size stays: {why}" in words(done)


def test_a_size_that_somebody_else_has_set_since_is_theirs() -> None:
    state = pool(busy("a"), **STATIC)
    store = world(state)
    carry_out(store, acted(state, plan(orders=(order(2),)), store).changes)
    store.documents[POOL]["spec"]["replicas"] = 7
    after = acted(state, plan(), store, policy=None, now=NOW + 900).changes
    assert short(after) == ["apply NodePool h100"]
    assert "annotations" not in body_of(after[0])["metadata"]


@pytest.mark.parametrize(
    ("launched", "beside", "falls"),
    [
        pytest.param(False, held(empty("b")), True, id="not launched"),
        pytest.param(True, held(empty("b")), False, id="a held node"),
        pytest.param(True, decision(empty("b"), Verdict.LEAVE), False, id="an empty node"),
        pytest.param(True, None, True, id="no empty node"),
    ],
)
def test_the_size_falls_for_a_machine_that_karpenter_removes_first(
    launched: bool, beside: NodeDecision | None, falls: bool
) -> None:
    """Karpenter removes any node without pods for a launched one, whoever holds it."""
    stage = NodeStage.LAUNCHED if launched else NodeStage.ORDERED
    new, b = coming("new", stage=stage), empty("b")
    state = pool(busy("a"), new, *([b] if beside is not None else []), **STATIC)
    store = world(state)
    if launched:
        store.documents[claim_address("new")]["status"] = {"providerID": "aws:///i-1"}
    wanted = plan(released(new), *([beside] if beside is not None else []))
    done = acted(state, wanted, store)
    assert any(one.subresource == "scale" for one in done.changes) == falls
    says = "falls instead" if falls else "stays: Karpenter may remove an empty node"
    assert f"new goes on starting: its pool is static, and its size {says}" in words(done)
