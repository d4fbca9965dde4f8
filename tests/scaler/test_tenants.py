"""What a namespace may use, and that another's sources are not named to it."""

import pytest

from scaler.errors import MetadataError
from scaler.tenants import Tenant, TenantRules
from scaler.trigger import Mode
from scaler.trigger_parsing import AllowedOptions

ALLOWED = AllowedOptions(
    engines={"vllm": False},
    sources=frozenset({"main", "of-team-b"}),
    default_source="of-team-b",
    address_prefixes=("http://shared:9090",),
    pools=frozenset({"a100", "h100"}),
)
TEAM_A = Tenant(
    namespaces={"team-a"},
    sources=frozenset({"main"}),
    address_prefixes=(),
    modes=frozenset({Mode.ADVISE}),
    pools=frozenset({"a100"}),
    priority_max=2,
    objects_max=5,
)
REST = Tenant(namespaces={"*"})


def test_without_rules_every_namespace_may_use_everything() -> None:
    rules = TenantRules(ALLOWED, objects_max=9)

    assert rules.admit("any", {"model": "m", "mode": "act"}).source == "of-team-b"
    assert rules.objects_max("any") == 9


def test_a_tenant_with_one_source_has_it_by_default() -> None:
    rules = TenantRules(ALLOWED, [TEAM_A, REST], objects_max=9)

    assert rules.admit("team-a", {"model": "m"}).source == "main"
    assert rules.admit("team-c", {"model": "m"}).source == "of-team-b"
    assert (rules.objects_max("team-a"), rules.objects_max("team-c")) == (5, 9)


@pytest.mark.parametrize(
    ("metadata", "fault"),
    [
        pytest.param({"source": "of-team-b"}, "'source'.*it takes one of main$", id="source"),
        pytest.param({"mode": "act"}, "'mode' has the value 'act'.*one of advise$", id="mode"),
        pytest.param(
            {"pool": "h100"}, r"'pool' has.*'h100'.*one of a100;.*tenants\[\]\.pools", id="pool"
        ),
        pytest.param(
            {"pool": "a100", "priority": "1000"},
            r"'priority' has the value '1000': .* limit is 2 \(tenants\[\]\.priorityMax\)$",
            id="priority",
        ),
        pytest.param({"serverAddress": "http://shared:9090"}, "do not allow", id="address"),
    ],
)
def test_what_a_tenant_may_not_use_is_refused_without_naming_anybodys_else(
    metadata: dict[str, str], fault: str
) -> None:
    rules = TenantRules(ALLOWED, [TEAM_A, REST], objects_max=9)

    with pytest.raises(MetadataError, match=fault):
        rules.admit("team-a", {"model": "m", **metadata})


def test_a_namespace_that_no_rule_names_may_use_nothing() -> None:
    rules = TenantRules(ALLOWED, [TEAM_A], objects_max=9)

    assert rules.objects_max("team-c") == 9
    assert TenantRules(ALLOWED, [TEAM_A], objects_max=1000).objects_max("team-c") == 50
    with pytest.raises(MetadataError, match=r"namespace 'team-c' may not use this server.*tenants"):
        rules.admit("team-c", {"model": "m"})
