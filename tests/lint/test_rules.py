"""Each rule objects to its mistake, at the field and in words, and not to the mended manifest."""

from collections import Counter
from itertools import combinations

import pytest

from policies.lint.finding import Severity
from policies.lint.registry import GROUPS, all_rules, known_ids
from tests.lint.all_cases import CASES
from tests.lint.case import Case
from tests.lint.manifests import (
    CLAIMED,
    CLEAN,
    DEPLOYMENT,
    DISRUPTION,
    GONE,
    POLICY,
    POOL,
    SCALED,
    Manifest,
    edited,
    lint,
)


@pytest.mark.parametrize("case", [pytest.param(one, id=f"{one.rule}-{one.at}") for one in CASES])
def test_a_rule_finds_its_mistake_and_nothing_once_it_is_mended(case: Case) -> None:
    found = lint(*case.found, live=case.live, node_lead_seconds=case.node_lead_seconds)
    clean = lint(*case.clean, live=case.live, node_lead_seconds=case.node_lead_seconds)

    mine = [one for one in found if one.rule == case.rule and one.field == case.at]
    assert mine, [one.message for one in found]
    assert case.says in mine[0].message
    assert case.rule not in {one.rule for one in clean}


def test_every_rule_has_a_case() -> None:
    tested = {one.rule for one in CASES}

    assert {one.id for one in all_rules()} - tested == set()


def test_ids_are_given_once_and_belong_to_a_group() -> None:
    counted = Counter(one.id for one in all_rules())

    assert [one for one, count in counted.items() if count > 1] == []
    assert {one.id[2] for one in all_rules()} <= set(GROUPS)
    assert len(known_ids()) > 100


@pytest.mark.parametrize(
    "manifest", CLEAN, ids=[f"{one['kind']}-{n}" for n, one in enumerate(CLEAN)]
)
def test_a_good_manifest_has_no_finding(manifest: Manifest) -> None:
    assert [one.message for one in lint(manifest)] == []


def test_every_message_names_object_field_value_and_what_to_do() -> None:
    for case in CASES:
        for one in lint(*case.found, live=case.live, node_lead_seconds=case.node_lead_seconds):
            assert one.subject.split()[0] in {made["kind"] for made in case.found}
            assert one.message.startswith(f"{one.subject}: {one.field} is ")
            assert one.message.endswith(f"; {one.do}")
            assert one.severity in Severity


def test_an_annotation_ignores_rules_of_its_object_alone() -> None:
    ignored = {"metadata annotations": {"foresail.io/lint-ignore": "FS101, FS118"}}
    wrong = edited(SCALED, {"spec minReplicaCount": 41})
    other = edited(wrong, {"metadata name": "b", "spec scaleTargetRef name": "b"})

    found = lint(edited(wrong, ignored), other)

    assert {(one.subject, one.rule) for one in found} == {
        ("ScaledObject llm/b", "FS101"),
        ("ScaledObject llm/b", "FS118"),
    }


def test_an_ignored_rule_that_does_not_exist_is_named() -> None:
    (found,) = lint(edited(SCALED, {"metadata annotations": {"foresail.io/lint-ignore": "FS999"}}))

    assert found.rule == "FS003"
    assert "there is no rule FS999" in found.message


def test_the_same_object_in_two_files_is_no_second_autoscaler() -> None:
    assert lint(SCALED, SCALED) == []


def test_the_same_disruption_budget_in_two_files_is_no_second_one() -> None:
    found = {one.rule for one in lint(DISRUPTION, DISRUPTION, DEPLOYMENT)}
    assert "FS532" not in found


def test_names_of_files_without_a_namespace_hold_within_their_folder() -> None:
    from policies.lint.objects import Context, Inputs, objects_of  # noqa: PLC0415
    from policies.lint.run import Ignores, findings  # noqa: PLC0415

    bare = edited(SCALED, {"metadata": {"name": "a"}})
    again = edited(SCALED, {"metadata": {"name": "b"}})
    for folder, expected in (("x", {"FS104"}), ("y", set())):
        objects = [*objects_of(bare, "x/a.yaml"), *objects_of(again, f"{folder}/b.yaml")]
        found = findings(Inputs(objects=objects, context=Context()), Ignores())
        assert {one.rule for one in found if one.rule == "FS104"} == expected


def test_rules_of_pairs_of_good_manifests_agree() -> None:
    pairs = combinations((one for one in CLEAN if one["kind"] != "ScaledObject"), 2)
    for pair in pairs:
        rules = {one.rule for one in lint(*pair)}
        # An unused scheduler, a claim without a static pool, one workload written twice, and a
        # static pool whose size a policy sets too.
        assert rules <= {"FS312", "FS548", "FS505", "FS532", "FS406"}, (pair, rules)


def test_a_name_that_a_terminal_would_obey_is_escaped() -> None:
    first = edited(CLAIMED, {"spec template spec schedulerName": "a"})
    second = edited(
        CLAIMED, {"metadata name": "b", "spec template spec schedulerName": "\x1b[31mred"}
    )

    said = [one.message for one in lint(first, second) if one.rule == "FS314"]

    assert said
    assert all(one.isprintable() for one in said)
    assert any("\\x1b[31mred" in one for one in said)


def test_a_policys_workloads_may_be_of_a_kind_that_may_not_be_listed() -> None:
    policy = edited(POLICY, {"spec workloads": {"namespaces": ["elsewhere"]}})

    def rules(*refused: str) -> list[str]:
        found = lint(policy, DEPLOYMENT, live=True, refused=frozenset(refused))
        return [one.rule for one in found]

    assert rules() == ["FS409"]
    assert rules("apps/StatefulSet") == []


def test_a_workload_is_known_by_its_kind_too() -> None:
    stateful = edited(DEPLOYMENT, {"kind": "StatefulSet"})

    assert [one.rule for one in lint(SCALED, stateful)] == []


@pytest.mark.parametrize(
    ("key", "machine", "has_gpus"),
    [
        ("node.kubernetes.io/instance-type", "p5.48xlarge", True),
        ("node.kubernetes.io/instance-type", "a3-highgpu-8g", True),
        ("node.kubernetes.io/instance-type", "Standard_ND96isr_H100_v5", True),
        ("karpenter.azure.com/sku-name", "Standard_NC24ads_A100_v4", True),
        ("node.kubernetes.io/instance-type", "a1.large", False),
        ("node.kubernetes.io/instance-type", "g1-small", False),
        ("node.kubernetes.io/instance-type", "Standard_D4s_v5", False),
    ],
)
def test_a_pool_of_machines_with_gpus_is_a_gpu_pool(key: str, machine: str, has_gpus: bool) -> None:
    requirement = {"key": key, "operator": "In", "values": [machine]}
    pool = edited(
        POOL,
        {
            "spec limits": GONE,
            "spec template spec taints": GONE,
            "spec template spec requirements": [requirement],
        },
    )

    assert ("FS204" in {one.rule for one in lint(pool)}) is has_gpus
