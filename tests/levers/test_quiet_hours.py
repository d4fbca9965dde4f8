"""Quiet hours are shown by default; where a policy opts in, one budget is added and taken out."""

from dataclasses import replace

import pytest

from policies.policy.pool_policy import LEVERS_DEFAULT, Lever
from policies.policy.quiet_budgets import QuietBudget
from tests.levers.rounds import ACT, POOL, acted, body_of, carry_out, plan, short, words, world
from tests.levers.toy_store import Document, ToyStore
from tests.policies.pools import NOW, pool

STATE = pool(demand_gpus=0.0)
EVERY_DAY = QuietBudget(schedule="0 8 * * *", duration="2h")
QUIET = replace(ACT, quiet_until_seconds=NOW + 7200, quiet_budgets=(EVERY_DAY,))
OPTED_IN = replace(QUIET, levers=LEVERS_DEFAULT | {Lever.QUIET_HOURS})
# NOW is 08:00 UTC on 15 January 2027.
BUDGET = {
    "nodes": "0",
    "reasons": ["Underutilized", "Drifted"],
    "schedule": "0 8 15 1 *",
    "duration": "120m",
}
OPERATORS = {"nodes": "10%"}


def test_by_default_the_budget_is_shown() -> None:
    done = acted(STATE, plan(), world(STATE), policy=QUIET)
    assert done.changes == ()
    assert words(done) == (
        "quiet hours: not written, because the policy does not opt in; to be added to "
        'spec.disruption.budgets: {"nodes": "0", "reasons": ["Underutilized", "Drifted"], '
        '"schedule": "0 8 * * *", "duration": "2h"}'
    )


def test_hours_that_no_budget_can_say_are_named() -> None:
    unsaid = QuietBudget(schedule=None, duration="2h", notes=("no words for it",))
    policy = replace(QUIET, quiet_budgets=(unsaid,))
    assert words(acted(STATE, plan(), world(STATE), policy=policy)) == (
        "quiet hours: not written, because the policy does not opt in; no words for it"
    )


def test_where_a_policy_opts_in_one_entry_is_added_at_the_end() -> None:
    store = world(STATE)
    (change,) = acted(STATE, plan(), store, policy=OPTED_IN).changes
    assert body_of(change) == (
        {"op": "test", "path": "/metadata/uid", "value": "uid-h100"},
        {"op": "add", "path": "/spec/disruption/budgets/-", "value": BUDGET},
        {
            "op": "add",
            "path": "/metadata/annotations/foresail.io~1quiet-budget",
            "value": "2027-01-15T10:00:00Z 0 8 15 1 *",
        },
    )
    store.take(change)
    assert _budgets(store) == [OPERATORS, BUDGET]
    assert acted(STATE, plan(), store, policy=OPTED_IN, now=NOW + 600).changes == ()


@pytest.mark.parametrize(
    ("policy", "later"),
    [
        pytest.param(replace(OPTED_IN, quiet_until_seconds=None), 7200, id="they-are-over"),
        pytest.param(QUIET, 60, id="the-policy-opts-out"),
        pytest.param(None, 7200, id="the-policy-is-gone"),
    ],
)
def test_it_is_taken_out_wherever_it_stands(policy: object, later: float) -> None:
    store = _quiet()
    more = {"nodes": "1", "reasons": ["Empty"]}
    _budgets(store).insert(0, more)
    changes = acted(STATE, plan(), store, policy=policy, now=NOW + later).changes
    assert body_of(changes[0])[1:] == (
        {"op": "test", "path": "/spec/disruption/budgets/2/schedule", "value": "0 8 15 1 *"},
        {"op": "remove", "path": "/spec/disruption/budgets/2"},
        {"op": "remove", "path": "/metadata/annotations/foresail.io~1quiet-budget"},
    )
    carry_out(store, changes)
    assert _budgets(store) == [more, OPERATORS]


def test_other_hours_take_its_place() -> None:
    store = _quiet()
    longer = replace(OPTED_IN, quiet_until_seconds=NOW + 10_800)
    changes = acted(STATE, plan(), store, policy=longer, now=NOW + 60).changes
    assert short(changes) == ["patch NodePool h100", "patch NodePool h100"]
    carry_out(store, changes)
    assert [one.get("duration") for one in _budgets(store)] == [None, "179m"]


def test_an_entry_that_the_operator_took_out_leaves_only_our_note() -> None:
    store = _quiet()
    del _budgets(store)[1]
    (change,) = acted(STATE, plan(), store, policy=QUIET).changes
    assert [one["op"] for one in body_of(change)] == ["test", "remove"]


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ({"argocd.argoproj.io/instance": "infra"}, "Argo CD keeps this pool as it is in Git"),
        ({"app.kubernetes.io/managed-by": "eks"}, "the cloud made this pool and keeps it"),
    ],
)
def test_pools_of_others_are_not_written(labels: dict[str, str], why: str) -> None:
    store = world(STATE)
    store.documents[POOL]["metadata"]["labels"] = labels
    done = acted(STATE, plan(), store, policy=OPTED_IN)
    assert done.changes == ()
    assert f"not written, because {why}; to be added to spec.disruption.budgets" in words(done)


def _quiet() -> ToyStore:
    store = world(STATE)
    carry_out(store, acted(STATE, plan(), store, policy=OPTED_IN).changes)
    return store


def _budgets(store: ToyStore) -> list[Document]:
    found: list[Document] = store.documents[POOL]["spec"]["disruption"]["budgets"]
    return found
