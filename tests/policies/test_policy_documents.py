"""Policies of texts and API objects: several in a file, and every fault with its place."""

from pathlib import Path
from textwrap import dedent

import pytest

from policies.policy.documents import POLICIES_MAX, PolicyError, agreed, policies_in, policy_of
from policies.policy.schema import CapacityPolicy
from policies.policy.shipped_policies import NAMES, shipped
from tests.policies.capacity_policies import document, policy

HEAD = "apiVersion: foresail.io/v1alpha1\nkind: CapacityPolicy\n"


def faults(text: str) -> list[str]:
    with pytest.raises(PolicyError) as raised:
        policies_in({"policies.yaml": text})
    return str(raised.value).splitlines()


def spec_faults(spec: str) -> list[str]:
    """Of a spec whose first line is line 5 of its file."""
    return faults(f"{HEAD}metadata: {{name: chat}}\nspec:\n{spec}\n")


def test_a_file_holds_several_policies() -> None:
    text = dedent(f"""\
        # Ours.
        ---
        {HEAD.replace(chr(10), chr(10) + " " * 8)}metadata: {{name: a}}
        spec: {{pools: {{names: [a]}}}}
        ---
        {HEAD.replace(chr(10), chr(10) + " " * 8)}metadata: {{name: b}}
        spec: {{pools: {{names: [b]}}}}
        ---
        """)

    assert [one.name for one in policies_in({"x": text})] == ["a", "b"]


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        pytest.param(
            "  mode: advice",
            "spec.mode: has the value 'advice': it takes advise or act; did you mean 'advise'?",
            id="nearest-word",
        ),
        pytest.param(
            "  forecasttrust: 1",
            "spec.forecasttrust: unknown key; did you mean 'forecastTrust'?",
            id="nearest-key",
        ),
        pytest.param(
            "  forecastTrust: 1.5",
            "spec.forecastTrust: has the value 1.5: it takes a number from 0 to 1",
            id="out-of-range",
        ),
        pytest.param(
            "  holdLease: 15",
            "spec.holdLease: has the value 15: it takes a duration from 1m to 7d, such as 15m",
            id="a-number-has-no-unit",
        ),
        pytest.param(
            "  holdLease: 1:30:00",
            "spec.holdLease: has the value '1:30:00': it takes a duration from 1m to 7d, such as "
            "15m",
            id="no-number-to-the-base-of-60",
        ),
        pytest.param(
            "  holdLease: 30s",
            "spec.holdLease: has the value '30s': it takes a duration from 1m to 7d, such as 15m",
            id="too-short",
        ),
        pytest.param(
            "  timeZone: Europe/Berln",
            "spec.timeZone: has the value 'Europe/Berln': it takes an IANA time zone such as "
            "Europe/Berlin; did you mean 'Europe/Berlin'?",
            id="time-zone",
        ),
        pytest.param(
            "  pools: {generations: [h100-sx]}",
            "spec.pools.generations.0: has the value 'h100-sx': it takes a GPU that "
            "`foresail gpus` lists, or h100-*; did you mean 'h100-sxm'?",
            id="generation",
        ),
        pytest.param(
            "  warmFloors: [{days: [monday], nodes: 1}]",
            "spec.warmFloors.0.days.0: has the value 'monday': it takes a list of mon, tue, wed, "
            "thu, fri, sat, sun; did you mean 'mon'?",
            id="day",
        ),
        pytest.param(
            "  warmFloors: [{cron: 0 8 * * weekdays, lasts: 1h, nodes: 1}]",
            "spec.warmFloors.0.cron: has the value '0 8 * * weekdays': it takes five cron fields; "
            "Bad day-of-week",
            id="cron",
        ),
        pytest.param(
            "  quietHours: [{cron: 0 0 8 * * *, lasts: 1h}]",
            "spec.quietHours.0.cron: has the value '0 0 8 * * *': it takes five cron fields such "
            "as 0 8 * * mon-fri",
            id="cron-with-seconds",
        ),
        pytest.param(
            "  levers: {nodehold: true}",
            "spec.levers.nodehold: unknown key; did you mean 'nodeHold'?",
            id="lever",
        ),
        pytest.param(
            "  levers: {nodeHold: yess}",
            "spec.levers.nodeHold: has the value 'yess': it takes true or false",
            id="switch",
        ),
    ],
)
def test_a_fault_names_line_field_value_and_what_is_allowed(spec: str, fault: str) -> None:
    assert spec_faults(spec) == [f"policies.yaml:5: {fault}"]


def test_all_faults_of_all_documents_are_told_at_once_with_lines_of_the_file() -> None:
    text = f"{HEAD}metadata: {{name: a}}\nspec:\n  mode: on\n---\n{HEAD}metadata: {{}}\n"

    missing = "is missing: it takes lower-case letters, digits, dashes and dots"
    assert faults(text) == [
        "policies.yaml:5: spec.mode: has the value True: it takes advise or act",
        f"policies.yaml:9: metadata.name: {missing}",
    ]


def test_a_document_of_another_kind_is_no_policy() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"

    assert faults(text) == [
        "policies.yaml:2: kind: has the value 'ConfigMap': it takes CapacityPolicy",
    ]


def test_times_of_day_need_no_quotes() -> None:
    # YAML 1.1 reads 20:00 as the number 1200, kubectl as a text.
    text = (
        f"{HEAD}metadata: {{name: a}}\nspec: {{warmFloors: [{{from: 08:00, to: 20:00, nodes: 1}}]}}"
    )

    (found,) = policies_in({"x": text})
    assert found.spec.warm_floors[0].to == "20:00"


# Several policies.


def test_a_name_that_is_given_twice_is_named_with_both_places() -> None:
    one = f"{HEAD}metadata: {{name: a}}\nspec: {{pools: {{names: [a]}}}}\n"

    assert faults(f"{one}---\n{one}") == [
        "policies.yaml:8: the policy 'a' is at policies.yaml:3 already"
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(None, {"names": ["chat"]}, id="one-has-every-pool"),
        pytest.param({"names": ["ch*"]}, {"names": ["x", "chat"]}, id="a-glob-has-the-name"),
        pytest.param(
            {"generations": ["h100-*"]},
            {"names": ["chat"], "generations": ["h100-sxm"]},
            id="one-is-narrower",
        ),
        pytest.param(
            {"matchLabels": {"a": "b"}}, {"matchLabels": {"a": "b", "c": "d"}}, id="labels"
        ),
    ],
)
def test_two_policies_that_match_the_same_pools_are_both_named(one: object, other: object) -> None:
    given = [policy("first", pools=one), policy("second", pools=other)]

    for order in (given, given[::-1]):
        with pytest.raises(PolicyError) as raised:
            agreed(order)
        assert "'first'" in str(raised.value)
        assert "'second'" in str(raised.value)
        assert "match the same pools" in str(raised.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"names": ["a"]}, {"names": ["b"]}, id="two-names"),
        pytest.param({"names": ["a"]}, {"generations": ["t4"]}, id="that-depends-on-the-pool"),
        pytest.param({"capacityTypes": ["spot"]}, {"capacityTypes": ["reserved"]}, id="types"),
    ],
)
def test_policies_that_may_be_for_different_pools_are_taken(one: object, other: object) -> None:
    given = (policy("first", pools=one), policy("second", pools=other))

    assert agreed(given) == given


# API objects.


def test_thousands_of_policies_are_refused_before_each_is_compared_with_each() -> None:
    texts = [f"{HEAD}metadata: {{name: a{n}}}\nspec: {{}}\n" for n in range(POLICIES_MAX + 1)]

    assert faults("---\n".join(texts)) == [
        f"policies.yaml:{5 * POLICIES_MAX + 3}: the policy 'a300' is one too many: 300 are the most"
    ]
    assert len(faults("---\n".join(texts[1:]))) == 20


def test_a_custom_resource_is_read_as_a_file_is() -> None:
    given = document("chat", holdLease="5m")
    given["metadata"] |= {"uid": "1", "managedFields": []}
    given["status"] = {"observedGeneration": 1}

    (read,) = policies_in({"x": f"{HEAD}metadata: {{name: chat}}\nspec: {{holdLease: 5m}}\n"})
    assert policy_of(given) == read


def test_a_fault_of_a_custom_resource_names_the_object() -> None:
    with pytest.raises(PolicyError) as raised:
        policy("chat", mode="advice", warmFloors=[{"nodes": 1, "gpus": 8}])

    takes = "it takes advise or act; did you mean 'advise'?"
    assert str(raised.value).splitlines() == [
        f"CapacityPolicy chat: spec.mode: has the value 'advice': {takes}",
        "CapacityPolicy chat: spec.warmFloors.0: it takes either nodes or gpus",
    ]


# Ready-made ones.


@pytest.mark.parametrize("name", NAMES)
def test_a_ready_made_policy_advises_and_has_a_ceiling(name: str) -> None:
    found = shipped(name)

    assert found.name == name
    assert found.spec.mode == "advise"
    assert found.spec.idle_ceiling is not None


def test_the_ready_made_policies_differ_in_what_waiting_costs() -> None:
    worths = [shipped(name).spec.delayed_minute_worth.gpu_minutes for name in NAMES]

    assert worths == [30, 10, 3]


def test_no_ready_made_policy_is_unlisted() -> None:
    folder = Path(__file__).parents[2] / "policies" / "policy" / "shipped"

    assert {one.stem for one in folder.iterdir()} == set(NAMES)
    assert all(isinstance(shipped(name), CapacityPolicy) for name in NAMES)
