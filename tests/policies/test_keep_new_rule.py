"""New nodes are kept as long as the policy says."""

import pytest

from policies.policy.pool_policy import PoolPolicy
from tests.policies.pools import NOW, empty, forecast, plan_of, pool, verdicts

NONE_WANTED = forecast((0.0, 0.0, 0.0), last=0.0)


@pytest.mark.parametrize(
    ("age_minutes", "keep_minutes", "verdict", "until"),
    [
        pytest.param(20, 60, "hold: warm floor", NOW + 900, id="for a lease"),
        pytest.param(50, 60, "hold: warm floor", NOW + 600, id="to the end"),
        pytest.param(61, 60, "release: no reason", None, id="not longer"),
        pytest.param(1, None, "release: no reason", None, id="off by default"),
    ],
)
def test_an_empty_node_is_kept_while_it_is_new(
    age_minutes: float, keep_minutes: float | None, verdict: str, until: float | None
) -> None:
    new = empty("new", minutes=1, stage_since_seconds=NOW - age_minutes * 60)
    keep = None if keep_minutes is None else keep_minutes * 60
    plan = plan_of(
        pool(new, demand_gpus=0.0, forecast=NONE_WANTED), PoolPolicy(keep_new_nodes_seconds=keep)
    )
    assert verdicts(plan) == {"new": verdict}
    assert plan.nodes[0].until_seconds == until


def test_it_counts_under_the_ceilings() -> None:
    policy = PoolPolicy(keep_new_nodes_seconds=3600, idle_usd_per_hour_max=1.0)
    new = empty("new", stage_since_seconds=NOW - 60)
    plan = plan_of(pool(new, demand_gpus=0.0, forecast=NONE_WANTED), policy)
    assert verdicts(plan) == {"new": "release: budget"}
