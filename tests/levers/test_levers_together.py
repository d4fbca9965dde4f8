"""What holds of any plan and any objects: nothing is done twice, half or for ever."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hypothesis import given, settings

from policies.levers.change import Address, Change, Verb
from policies.levers.discovery import Discovery
from policies.levers.ladder import LeverInput, actions
from policies.node_plan import NodePlan
from tests.levers.rounds import POOL, acted
from tests.levers.situations import Round, Scene, scenes
from tests.levers.toy_store import ToyStore
from tests.policies.pools import NOW

BEFORE = NOW - 120.0
ANY = settings(max_examples=60, deadline=None)


@ANY
@given(scene=scenes())
def test_the_same_round_again_changes_nothing(scene: Scene) -> None:
    store = _played(scene)
    _carry_out(store, _changes(scene, store))
    assert _changes(scene, store) == []


@ANY
@given(scene=scenes())
def test_a_round_that_was_cut_off_anywhere_ends_the_same(scene: Scene) -> None:
    store = _played(scene)
    changes = _changes(scene, store)
    whole = copy.deepcopy(store)
    _carry_out(whole, changes)
    for done in range(len(changes)):
        cut = copy.deepcopy(store)
        _carry_out(cut, changes[:done])
        _carry_out(cut, _changes(scene, cut))
        assert _bare(cut) == _bare(whole)


@ANY
@given(scene=scenes())
def test_nothing_of_ours_outlives_its_lease(scene: Scene) -> None:
    first = _bare(scene.store)
    store = _played(scene)
    _carry_out(store, _changes(scene, store))
    for hour in range(1, 28):
        _carry_out(store, _without_plan(store, NOW + 3600.0 * hour))
    assert _without_plan(store, NOW + 200_000) == []
    left = _bare(store)
    gone = {address for address in first if address not in left}
    assert {address.kind for address in gone} <= {"NodeClaim"}  # released
    assert left == {address: one for address, one in first.items() if address not in gone}


@ANY
@given(scene=scenes())
def test_only_our_objects_and_fields_that_are_not_anothers_are_changed(scene: Scene) -> None:
    made = {address for address in scene.store.documents if address.namespace == "foresail"}
    labels = scene.store.documents[POOL]["metadata"]["labels"]
    for change in _all_changes(scene):
        assert change.address not in made
        assert not any("/spec/template" in path for path in _paths(change))
        if change.address == POOL and "app.kubernetes.io/managed-by" in labels:
            raise AssertionError("the cloud's own pool")
        if change.address.kind == "Node":
            owners = scene.store.owners[change.address]
            assert not {
                path
                for path, managers in owners.items()
                if "somebody" in managers and path[-1] in _applied_annotations(change)
            }


@ANY
@given(scene=scenes())
def test_mere_advice_changes_nothing(scene: Scene) -> None:
    store = copy.deepcopy(scene.store)
    advice = replace(scene.now.plan, act=False)
    done = acted(scene.state, advice, store, policy=scene.now.policy, discovery=scene.now.discovery)
    assert not any(one.execute for one in done.changes)


def _played(scene: Scene) -> ToyStore:
    """The objects after the earlier rounds, some of which died."""
    store = scene.store
    for number, one in enumerate(scene.before):
        changes = _of(scene, store, one, BEFORE + 30 * number)
        _carry_out(store, changes[: one.dies_after])
    return store


def _changes(scene: Scene, store: ToyStore) -> list[Change]:
    return _of(scene, store, scene.now, NOW)


def _of(scene: Scene, store: ToyStore, one: Round, now: float) -> list[Change]:
    done = acted(scene.state, one.plan, store, policy=one.policy, discovery=one.discovery, now=now)
    return [change for change in done.changes if change.execute]


def _all_changes(scene: Scene) -> Iterator[Change]:
    for number, one in enumerate(scene.before):
        changes = _of(scene, scene.store, one, BEFORE + 30 * number)[: one.dies_after]
        yield from changes
        _carry_out(scene.store, changes)
    yield from _changes(scene, scene.store)


def _without_plan(store: ToyStore, now: float) -> list[Change]:
    given_ = LeverInput(
        plan=NodePlan(at_seconds=now, pools=()),
        pools={},
        policies={},
        discovery=Discovery(),
        objects=store.objects(),
        namespace="foresail",
    )
    return list(actions(given_).changes)


def _carry_out(store: ToyStore, changes: list[Change]) -> None:
    for one in changes:
        store.take(one)


def _bare(store: ToyStore) -> dict[Address, Any]:
    """The objects, without the UIDs of those that were made."""
    found = copy.deepcopy(store.documents)
    for document in found.values():
        if document["metadata"]["uid"].startswith("made-"):
            document["metadata"]["uid"] = "made"
        document["spec"] = {k: v for k, v in document.get("spec", {}).items() if v != []}
        document["metadata"].setdefault("annotations", {})
    return found


def _paths(change: Change) -> Iterator[str]:
    if change.verb is Verb.PATCH:
        yield from (str(one["path"]) for one in change.body)  # type: ignore[union-attr,index]
    elif change.address.kind == "NodePool" and "spec" in (change.body or {}):
        yield "/spec/template"


def _applied_annotations(change: Change) -> set[str]:
    body: Any = change.body
    if change.verb is not Verb.APPLY:
        return set()
    return set(body["metadata"].get("annotations", {}))
