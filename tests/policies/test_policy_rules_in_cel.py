"""The cross-field rules refuse the same objects as CEL in the API server and in a file.

The schema of the CustomResourceDefinition is walked as the API server does: each rule is evaluated
on the part of the object that it stands at.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest
from cel_expr_python import cel
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.policy.documents import PolicyError, policy_of
from policies.policy.generated import custom_resource_definition
from tests.policies.capacity_policies import document

SCHEMA = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
ENVIRONMENT = cel.NewEnv(variables={"self": cel.Type.DYN})
CEILING = {"usdPerHour": 50}
HOURS = {"from": "08:00", "to": "20:00"}


def rules_in(schema: Mapping[str, Any]) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield rule["message"]
    for inner in schema.get("properties", {}).values():
        yield from rules_in(inner)
    if "items" in schema:
        yield from rules_in(schema["items"])


@cache
def compiled(rule: str) -> Any:
    return ENVIRONMENT.compile(rule)


def refusals(value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    """Messages of the rules that do not hold."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if not compiled(rule["rule"]).eval(data={"self": value}).plain_value():
            yield rule["message"]
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield from refusals(value[name], inner)
    if isinstance(value, list):
        for item in value:
            yield from refusals(item, schema["items"])


def rule(**changes: Any) -> dict[str, Any]:
    return {"name": "a", "match": {"names": ["chat"]}, "forecastTrust": 0.5} | changes


REFUSED = [
    ({"mode": "act"}, "mode act spends money"),
    ({"rules": [rule(), rule(name="b", mode="act")]}, "mode act spends money"),
    ({"rules": [rule(), rule()]}, "two rules have this name"),
    ({"rules": [rule(match={})]}, "it takes at least one of names"),
    ({"delayedMinuteWorth": {}}, "it takes either gpuMinutes or usd"),
    ({"delayedMinuteWorth": {"gpuMinutes": 1, "usd": 1}}, "it takes either gpuMinutes or usd"),
    ({"rules": [rule(delayedMinuteWorth={})]}, "it takes either gpuMinutes or usd"),
    ({"idleCeiling": {}}, "it takes usdPerHour, usdPerMonth or both"),
    ({"idleCeiling": {"usdPerHour": 2, "usdPerMonth": 1}}, "usdPerHour is above usdPerMonth"),
    ({"warmFloors": [{"nodes": 1, "gpus": 1}]}, "it takes either nodes or gpus"),
    ({"warmFloors": [{}]}, "it takes either nodes or gpus"),
    ({"warmFloors": [{"from": "08:00", "nodes": 1}]}, "from and to go together"),
    ({"warmFloors": [{"to": "08:00", "nodes": 1}]}, "from and to go together"),
    ({"warmFloors": [{"cron": "0 8 * * *", "nodes": 1}]}, "cron and lasts go together"),
    ({"warmFloors": [{"lasts": "1h", "nodes": 1}]}, "cron and lasts go together"),
    (
        {"quietHours": [{"cron": "0 8 * * *", "lasts": "1h", "days": ["mon"]}]},
        "it stands beside cron",
    ),
    ({"quietHours": [{"cron": "0 8 * * *", "lasts": "1h", **HOURS}]}, "it stands beside cron"),
    ({"quietHours": [{"from": "08:00", "to": "08:00"}]}, "from and to are equal"),
    ({"quietHours": [{}]}, "always would be quiet"),
    ({"rules": [rule(quietHours=[{}])]}, "always would be quiet"),
]
ACCEPTED = [
    {},
    {"mode": "act", "idleCeiling": CEILING},
    {"rules": [rule(mode="act"), rule(name="b")], "idleCeiling": {"usdPerMonth": 1}},
    {"delayedMinuteWorth": {"usd": 0.5}},
    {"idleCeiling": {"usdPerHour": 2, "usdPerMonth": 2}},
    {"warmFloors": [{"nodes": 0}, {"gpus": 8, "days": ["sat"]}, {"nodes": 1, **HOURS}]},
    {"quietHours": [{"days": ["mon"]}, HOURS, {"cron": "0 8 * * *", "lasts": "1h"}]},
    {"rules": [rule(match={"capacityTypes": ["spot"]}, warmFloors=[])]},
    {"rules": [{"name": "a", "match": {"names": ["chat"]}}]},
]


@pytest.mark.parametrize(("spec", "message"), REFUSED)
def test_a_file_and_the_api_server_refuse_alike(spec: dict[str, Any], message: str) -> None:
    faulty = document(**spec)

    with pytest.raises(PolicyError) as raised:
        policy_of(faulty)
    assert [message in line for line in str(raised.value).splitlines()] == [True]
    assert [message in line for line in refusals(faulty, SCHEMA)] == [True]


def some(**keys: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of the keys, each with one of its values."""
    return st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in keys.items()})


HOURS_KEYS = {
    "days": [["mon"], ["sat", "sun"]],
    "from": ["08:00", "20:00"],
    "to": ["08:00", "24:00"],
    "cron": ["0 8 * * *"],
    "lasts": ["1h"],
}
WORTHS = some(gpuMinutes=[1, 30], usd=[0.5])
FLOORS = st.lists(some(**HOURS_KEYS, nodes=[0, 1], gpus=[8]), max_size=2)
QUIET = st.lists(some(**HOURS_KEYS), max_size=2)
CHANGES = {
    "mode": st.sampled_from(["advise", "act"]),
    "delayedMinuteWorth": WORTHS,
    "warmFloors": FLOORS,
    "quietHours": QUIET,
    "levers": some(nodeHold=[True], quietHours=[True, False]),
}
RULES = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["a", "b"]),
            "match": some(names=[["chat"]], capacityTypes=[["spot"]], matchLabels=[{"a": "b"}]),
        },
        optional=CHANGES,
    ),
    max_size=3,
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        **CHANGES,
        "idleCeiling": some(usdPerHour=[1, 5], usdPerMonth=[2, 9]),
        "rules": RULES,
    },
)


@given(SPECS)
@settings(max_examples=300, deadline=None)
def test_a_file_and_the_api_server_agree_on_any_object(spec: dict[str, Any]) -> None:
    given_object = document(**spec)

    try:
        policy_of(given_object)
    except PolicyError as error:
        told = [line.rpartition(": ")[2] for line in str(error).splitlines()]
        refused = [one.rpartition(": ")[2] for one in refusals(given_object, SCHEMA)]
        # A rule about several groups waits in a file until each is in order by itself.
        assert set(told) <= set(refused)
        assert told != []
    else:
        assert list(refusals(given_object, SCHEMA)) == []


@pytest.mark.parametrize("spec", ACCEPTED)
def test_a_file_and_the_api_server_accept_alike(spec: dict[str, Any]) -> None:
    sound = document(**spec)

    policy_of(sound)
    assert list(refusals(sound, SCHEMA)) == []


def test_each_rule_of_the_schema_refuses_something_here() -> None:
    seen = {message for _, message in REFUSED}

    assert [one for one in rules_in(SCHEMA) if not any(word in one for word in seen)] == []
