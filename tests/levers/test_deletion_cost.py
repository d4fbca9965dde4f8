"""Costs are written on pods where they change, and never over those of another manager."""

from dataclasses import replace
from typing import Any

import pytest

from policies.levers.change import Address
from policies.policy.pool_policy import LEVERS_DEFAULT, Lever
from tests.levers.rounds import ACT, acted, body_of, carry_out, plan, short, words, world
from tests.levers.toy_store import ToyStore
from tests.policies.pools import NOW, busy, pool

DELETION = "controller.kubernetes.io/pod-deletion-cost"
DISRUPTION = "karpenter.sh/disruption-cost"
STATE = pool(busy("a"), demand_gpus=1.0)
POD = Address(kind="Pod", resource="pods", namespace="llm", name="a-0")
UID = "uid-a-0"
RANKED = plan(deletion_costs={UID: 100})


def test_a_cost_is_applied_with_our_manager_and_a_lease_of_a_day() -> None:
    (change,) = acted(STATE, RANKED, _store()).changes
    assert body_of(change) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "a-0",
            "namespace": "llm",
            "uid": UID,
            "annotations": {DELETION: "100", "foresail.io/ranked-until": "2027-01-16T08:00:00Z"},
        },
    }
    assert change.lease_end_seconds == NOW + 86_400


@pytest.mark.parametrize(
    ("later", "written"),
    [pytest.param(43_200, [], id="half-a-day"), pytest.param(43_201, ["100"], id="more")],
)
def test_a_cost_that_stands_is_renewed_twice_a_day(later: float, written: list[str]) -> None:
    store = _store()
    carry_out(store, acted(STATE, RANKED, store).changes)
    # The rules leave out pods that have the cost already.
    changes = acted(STATE, plan(), store, now=NOW + later).changes
    assert [body_of(one)["metadata"]["annotations"][DELETION] for one in changes] == written


def test_the_other_cost_takes_its_place() -> None:
    store = _store()
    carry_out(store, acted(STATE, RANKED, store).changes)
    carry_out(store, acted(STATE, plan(disruption_costs={UID: 200}), store).changes)
    annotations = store.documents[POD]["metadata"]["annotations"]
    assert {DELETION, DISRUPTION} & annotations.keys() == {DISRUPTION}


def test_a_pod_whose_lease_a_tenant_writes_is_not_asked_for_again_and_again() -> None:
    done = acted(STATE, RANKED, _store({"foresail.io/ranked-until": "soon"}, "tenant"))
    assert done.changes == ()
    assert "llm/a-0: tenant writes foresail.io/ranked-until: it is not ranked" in words(done)


def test_a_cost_that_karpenter_writes_stays_karpenters() -> None:
    store = _store({DELETION: "7"}, "karpenter")
    done = acted(STATE, RANKED, store)
    assert done.changes == ()
    assert f"llm/a-0: Karpenter writes {DELETION}, and it stays theirs" in words(done)


def test_costs_that_the_policy_forbids_are_taken_off() -> None:
    store = _store({"note": "mine"})
    carry_out(store, acted(STATE, RANKED, store).changes)
    policy = replace(ACT, levers=LEVERS_DEFAULT - {Lever.POD_DELETION_COST})
    changes = acted(STATE, plan(), store, policy=policy).changes
    assert short(changes) == ["apply Pod llm/a-0"]
    carry_out(store, changes)
    assert store.documents[POD]["metadata"]["annotations"] == {"note": "mine"}


def _store(annotations: dict[str, Any] | None = None, manager: str = "somebody") -> ToyStore:
    store = world(STATE)
    metadata = {"uid": UID, "namespace": "llm", "annotations": annotations or {}}
    store.put(POD, {"metadata": metadata, "spec": {"nodeName": "node-a"}}, manager)
    return store
