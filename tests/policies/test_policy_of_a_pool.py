"""What a policy says of one pool: defaults, rules, floors, money, and which policy it is."""

import dataclasses

import pytest

from fleet.cluster.nodes import CapacityType
from policies.policy.pool_policy import Lever, Mode, PoolPolicy, SpotHedge
from policies.policy.resolve import PolicyOverlapError, governing, policy_for, pool_policy
from tests.policies.capacity_policies import Pool, policy, seconds_at

NOON = seconds_at("2026-11-27T12:00")
"""A Friday."""
SPOT = Pool(capacity_type=CapacityType.SPOT)


def test_a_policy_that_states_nothing_is_what_a_test_of_a_rule_starts_from() -> None:
    stated = pool_policy(policy(), Pool(), NOON)

    assert dataclasses.replace(stated, policy="") == PoolPolicy()


def test_a_policy_that_states_nothing_changes_nothing() -> None:
    found = pool_policy(policy(), Pool(), NOON)

    assert found.mode is Mode.ADVISE
    assert not any(found.may(lever) for lever in Lever)
    assert Lever.QUIET_HOURS not in found.levers


# What a delayed minute is worth.


def test_dollars_are_divided_by_what_a_minute_of_one_gpu_costs() -> None:
    # $48 an hour for 8 GPUs is $0.10 for a GPU-minute.
    found = pool_policy(policy(delayedMinuteWorth={"usd": 2}), Pool(), NOON)

    assert found.rho == pytest.approx(20)
    assert "20 GPU-minutes" in found.notes[0]


def test_dollars_without_a_price_are_not_guessed() -> None:
    found = pool_policy(policy(delayedMinuteWorth={"usd": 2}), Pool(usd_per_hour=None), NOON)

    assert found.rho == 10
    assert "price of the pool's nodes is not known" in found.notes[0]


# Warm floors and quiet hours.


def test_the_largest_floor_of_the_moment_counts() -> None:
    floors = [
        {"nodes": 1},
        {"from": "08:00", "to": "20:00", "gpus": 17},  # three nodes of eight
        {"from": "20:00", "to": "08:00", "nodes": 9},
    ]
    found = pool_policy(policy(warmFloors=floors), Pool(), NOON)

    assert found.warm_floor_nodes == 3
    assert found.warm_floor_until_seconds == seconds_at("2026-11-27T20:00")


def test_a_floor_without_hours_has_no_end() -> None:
    found = pool_policy(policy(warmFloors=[{"nodes": 1}]), Pool(), NOON)

    assert (found.warm_floor_nodes, found.warm_floor_until_seconds) == (1, None)


def test_floors_are_in_the_policys_time_zone() -> None:
    floors = [{"from": "08:00", "to": "20:00", "nodes": 1}]
    tokyo = policy(timeZone="Asia/Tokyo", warmFloors=floors)

    # Noon in UTC is 21:00 in Tokyo.
    assert pool_policy(tokyo, Pool(), NOON).warm_floor_nodes == 0


def test_quiet_hours_say_when_they_end() -> None:
    quiet = policy(quietHours=[{"days": ["fri"], "from": "09:00", "to": "17:00"}])

    found = pool_policy(quiet, Pool(), NOON).quiet_until_seconds
    assert found == seconds_at("2026-11-27T17:00")
    assert pool_policy(quiet, Pool(), NOON + 6 * 3600).quiet_until_seconds is None


def test_a_veto_that_is_off_has_no_length() -> None:
    off = policy(modelLoadingVeto={"enabled": False})

    assert pool_policy(off, Pool(), NOON).veto_seconds is None


# Rules.


def test_a_rule_changes_the_keys_it_states_and_no_other() -> None:
    given = policy(
        spotHedge={"onDemandShare": 0.1, "spareNodes": 2},
        levers={"placeholder": False},
        rules=[
            {
                "name": "spot",
                "match": {"capacityTypes": ["spot"]},
                "spotHedge": {"onDemandShare": 0.5},
                "levers": {"quietHours": True},
            }
        ],
    )

    found = pool_policy(given, SPOT, NOON)
    assert found.spot_hedge == SpotHedge(on_demand_share=0.5, spare_nodes=2)
    assert found.levers == frozenset(Lever) - {Lever.PLACEHOLDER}
    assert found.notes == ("spotHedge by rule 'spot'", "levers by rule 'spot'")
    assert pool_policy(given, Pool(), NOON).spot_hedge.on_demand_share == 0.1


def test_a_rule_may_state_what_is_the_default_elsewhere() -> None:
    acting = policy(
        mode="act",
        idleCeiling={"usdPerHour": 1},
        rules=[{"name": "trial", "match": {"names": ["chat"]}, "mode": "advise"}],
    )

    assert pool_policy(acting, Pool(), NOON).mode is Mode.ADVISE
    assert pool_policy(acting, Pool(name="batch"), NOON).mode is Mode.ACT


def test_worth_and_lists_are_replaced_as_a_whole() -> None:
    given = policy(
        delayedMinuteWorth={"gpuMinutes": 3},
        warmFloors=[{"nodes": 5}],
        rules=[
            {
                "name": "chat",
                "match": {"names": ["chat"]},
                "delayedMinuteWorth": {"usd": 1},
                "warmFloors": [],
            }
        ],
    )

    found = pool_policy(given, Pool(), NOON)
    assert found.rho == pytest.approx(10)
    assert found.warm_floor_nodes == 0


BY_CLOSENESS = [
    {"names": ["chat"]},
    {"names": ["ch*"]},
    {"matchLabels": {"team": "llm", "tier": "1"}},
    {"matchLabels": {"team": "llm"}},
    {"generations": ["h100-sxm"]},
    {"generations": ["h100-*"]},
    {"capacityTypes": ["spot"]},
]


@pytest.mark.parametrize("first", range(len(BY_CLOSENESS)))
def test_the_rule_that_describes_the_pool_most_closely_wins(first: int) -> None:
    matches = BY_CLOSENESS[first:]
    rules = [
        {"name": f"rule-{at}", "match": match, "delayedMinuteWorth": {"gpuMinutes": 1 + at}}
        for at, match in enumerate(matches)
    ]
    pool = Pool(labels={"team": "llm", "tier": "1"}, capacity_type=CapacityType.SPOT)

    for order in (rules, rules[::-1]):
        assert pool_policy(policy(rules=order), pool, NOON).rho == 1


def test_of_rules_that_are_equally_close_the_first_wins() -> None:
    rules = [
        {"name": name, "match": {"names": ["chat", name]}, "forecastTrust": trust}
        for name, trust in (("a", 0.25), ("b", 0.5))
    ]

    assert pool_policy(policy(rules=rules), Pool(), NOON).trust == 0.25


def test_a_field_comes_from_the_closest_rule_that_states_it() -> None:
    rules = [
        {"name": "pool", "match": {"names": ["chat"]}, "forecastTrust": 0.5},
        {"name": "type", "match": {"capacityTypes": ["on-demand"]}, "holdLease": "5m"},
    ]

    found = pool_policy(policy(rules=rules), Pool(), NOON)
    assert (found.trust, found.hold_lease_seconds) == (0.5, 300)
    assert set(found.notes) == {"forecastTrust by rule 'pool'", "holdLease by rule 'type'"}


def test_a_note_names_the_rules_whose_values_are_in_force() -> None:
    near = {"forecastTrust": 0.5, "spotHedge": {"spareNodes": 1}}
    far = {"forecastTrust": 0.2, "spotHedge": {"onDemandShare": 0.3, "spareNodes": 9}}
    rules = [
        {"name": "near", "match": {"names": ["chat"]}, **near},
        {"name": "far", "match": {"names": ["*"]}, **far},
    ]

    found = pool_policy(policy(rules=rules), Pool(), NOON)
    assert found.notes == ("forecastTrust by rule 'near'", "spotHedge by rule 'far', then 'near'")
    assert found.spot_hedge == SpotHedge(on_demand_share=0.3, spare_nodes=1)


@pytest.mark.parametrize(
    ("match", "pool"),
    [
        pytest.param({"names": ["batch-*"]}, Pool(), id="another-name"),
        pytest.param({"matchLabels": {"a": "b"}}, Pool(labels={"a": "c"}), id="another-label"),
        pytest.param({"generations": ["h100-*"]}, Pool(generation=None), id="unknown-generation"),
        pytest.param({"capacityTypes": ["spot"]}, Pool(capacity_type=None), id="several-types"),
        pytest.param(
            {"names": ["chat"], "capacityTypes": ["spot"]}, Pool(), id="one-of-two-fields"
        ),
    ],
)
def test_a_rule_for_other_pools_changes_nothing(match: object, pool: Pool) -> None:
    given = policy(rules=[{"name": "other", "match": match, "forecastTrust": 0}])

    assert pool_policy(given, pool, NOON).trust == 1


def test_a_generation_goes_by_any_name_that_a_tool_gives_it() -> None:
    given = policy(pools={"generations": ["NVIDIA H100 80GB HBM3"]})

    assert governing([given], Pool()) is given


# Which policy.


def test_a_pool_has_the_policy_that_matches_it() -> None:
    given = [
        policy("batch", pools={"names": ["batch"]}),
        policy("chat", pools={"names": ["chat"]}),
    ]

    found = policy_for(given, Pool(), NOON)
    assert found is not None
    assert found.policy == "chat"


def test_a_pool_that_no_policy_matches_is_left_alone() -> None:
    assert policy_for([policy(pools={"names": ["batch"]})], Pool(), NOON) is None


def test_two_policies_that_match_one_pool_are_both_named() -> None:
    given = [
        policy("by-name", pools={"names": ["chat"]}),
        policy("by-type", pools={"capacityTypes": ["on-demand"]}),
    ]

    with pytest.raises(PolicyOverlapError) as raised:
        governing(given, Pool())
    assert "pool 'chat' is in the policies 'by-name' and 'by-type'" in str(raised.value)


# Workloads.


def test_workloads_are_covered_by_namespace_and_labels() -> None:
    selector = policy(
        workloads={"namespaces": ["llm-*"], "matchLabels": {"team": "chat"}}
    ).spec.workloads
    assert selector is not None

    assert selector.covers("llm-eu", {"team": "chat", "app": "x"})
    assert not selector.covers("llm-eu", {"team": "search"})
    assert not selector.covers("batch", {"team": "chat"})
