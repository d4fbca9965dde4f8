"""Names of our objects are made of the pool and the capacity type, and no two pools share one."""

import pytest

from fleet.cluster.nodes import CapacityType
from policies.levers.marks import lease_to_write, name_for


def test_a_plain_pool_gives_a_plain_name() -> None:
    assert name_for("h100", None) == "foresail-h100"


@pytest.mark.parametrize("pool", ["Big_Pool", "a.b", "x" * 63, "p" * 44])
def test_any_pool_gives_a_name_that_kubernetes_takes(pool: str) -> None:
    name = name_for(pool, None)
    assert len(name) <= 52
    assert name.replace("-", "").isalnum()
    assert name == name.lower()


def test_no_two_pools_share_a_name() -> None:
    pools = ("a", "A", "a-on-demand", "a.on.demand", "a_on_demand", "x" * 62, "x" * 63)
    names = {name_for(pool, kind) for pool in pools for kind in (None, *CapacityType)}
    assert len(names) == len(pools) * 4


@pytest.mark.parametrize(
    ("present", "wanted", "written"),
    [
        pytest.param(None, 900.0, 900.0, id="none-stands"),
        pytest.param(0.0, 900.0, 900.0, id="over"),
        pytest.param(450.0, 900.0, None, id="half-is-left"),
        pytest.param(449.0, 900.0, 900.0, id="less-than-half-is-left"),
        pytest.param(901.0, 900.0, None, id="rounded"),
        pytest.param(902.0, 900.0, 900.0, id="longer-than-wanted"),
    ],
)
def test_a_lease_is_written_where_that_changes_something(
    present: float | None, wanted: float, written: float | None
) -> None:
    assert lease_to_write(present, wanted, now_seconds=0.0) == written
