"""Policies from files and from objects together; a fault leaves what was in force."""

from pathlib import Path
from typing import Any

import pytest

from fleet.cluster.follow.api import Identity
from fleet.cluster.follow.watch import Changed, Gone, Listed, Unavailable
from foresail.controller.policies_in_force import PoliciesInForce, policy_object_of
from foresail.policy.files import PolicyFiles
from policies.planning.policy_choice import PolicyChoice
from scaler.errors import ForesailError
from tests.policies.pools import NOW, pool

FILE = "apiVersion: foresail.io/v1alpha1\nkind: CapacityPolicy\nmetadata: {name: %s}\n"


def document(name: str, **spec: Any) -> dict[str, Any]:
    """As a list has it: without its kind."""
    return {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": spec}


def listed(*documents: dict[str, Any]) -> Listed:
    records: Any = tuple(map(policy_object_of, documents))
    return Listed(records)


def changed(one: dict[str, Any]) -> Changed:
    record: Any = policy_object_of(one)
    return Changed(record)


def pools(*names: str) -> dict[str, Any]:
    return {"pools": {"names": list(names)}}


def names(policies: PoliciesInForce) -> list[str]:
    return [one.name for one in policies.current()]


def test_objects_come_change_and_go() -> None:
    policies = PoliciesInForce(None)
    assert not policies.known
    policies.take(listed(document("a", **pools("one"))))
    assert (policies.known, names(policies)) == (True, ["a"])
    policies.take(changed(document("b", **pools("two"))))
    assert names(policies) == ["a", "b"]
    policies.take(Gone(Identity("a", "uid-a")))
    assert names(policies) == ["b"]
    assert policies.problem is None


def test_a_policy_that_gets_a_fault_stays_as_it_was() -> None:
    policies = PoliciesInForce(None)
    policies.take(listed(document("a", delayedMinuteWorth={"gpuMinutes": 30})))
    before = policies.current()
    policies.take(changed(document("a", delayedMinuteWorth={"gpuMinutes": -1})))
    assert policies.current() == before
    assert policies.problem is not None
    assert policies.problem.startswith("CapacityPolicy a: spec.delayedMinuteWorth.gpuMinutes")
    policies.take(changed(document("a")))
    assert policies.current() != before
    assert policies.problem is None


def test_of_policies_that_can_only_collide_and_of_all_others_the_edits_count() -> None:
    policies = PoliciesInForce(None)
    policies.take(listed(document("a", mode="advise"), document("c", **pools("one"))))
    policies.take(changed(document("b")))
    assert names(policies) == ["a", "b", "c"]
    assert policies.problem is not None
    assert "'a' (CapacityPolicy a) and 'b' match the same pools" in policies.problem

    policies.take(changed(document("c", **pools("two"))))
    assert [one.spec.pools.names for one in policies.current() if one.spec.pools] == [("two",)]
    policies.take(Gone(Identity("b", "uid-b")))
    assert names(policies) == ["a", "c"]


def test_a_process_that_starts_has_the_policies_of_one_that_saw_each_edit() -> None:
    old, new = PoliciesInForce(None), PoliciesInForce(None)
    old.take(listed(document("b")))
    old.current()
    old.take(changed(document("a")))
    new.take(listed(document("a"), document("b")))
    assert old.current() == new.current()
    assert names(new) == ["a", "b"]


def test_a_pool_that_colliding_policies_match_is_left_alone() -> None:
    policies = PoliciesInForce(None)
    policies.take(listed(document("a"), document("b")))
    choice = PolicyChoice(policies=policies.current())
    assert choice.of(pool(), NOW) is None
    (fault,) = choice.faults
    assert "'a' and 'b'" in fault


def test_of_a_file_and_an_object_of_one_name_neither_is_in_force(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(FILE % "a" + "spec: {pools: {names: [one]}}\n")
    policies = PoliciesInForce(PolicyFiles([tmp_path]))
    policies.take(listed(document("a", **pools("two")), document("b", **pools("three"))))
    assert names(policies) == ["b"]
    assert policies.problem is not None
    assert "the policy 'a' is at CapacityPolicy a already" in policies.problem

    # Not even by a fault in the object does the file's become the object's last version.
    policies.take(changed(document("a", delayedMinuteWorth={"gpuMinutes": -1})))
    assert names(policies) == ["b"]


def test_of_too_many_policies_the_first_are_in_force() -> None:
    policies = PoliciesInForce(None)
    policies.take(listed(*(document(f"p{at:03}", **pools(f"of-{at}")) for at in range(301))))
    assert len(policies.current()) == 300
    assert policies.problem is not None
    assert "'p300' is one too many" in policies.problem


def test_files_and_objects_count_together(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(FILE % "file" + "spec: {pools: {names: [one]}}\n")
    policies = PoliciesInForce(PolicyFiles([tmp_path]))
    policies.take(listed(document("object", **pools("two"))))
    assert names(policies) == ["file", "object"]


def test_a_cluster_without_the_custom_resource_has_none() -> None:
    policies = PoliciesInForce(None)
    policies.take(Unavailable("no such resource", absent=True))
    assert (policies.known, names(policies), policies.stale) == (True, [], None)


def test_a_server_that_is_gone_leaves_them_in_force() -> None:
    policies = PoliciesInForce(None)
    policies.take(listed(document("a")))
    policies.take(Unavailable("no route to host"))
    assert (names(policies), policies.stale) == (["a"], "no route to host")


def test_a_folder_without_policies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ForesailError, match="no policy is there"):
        PolicyFiles([tmp_path])
