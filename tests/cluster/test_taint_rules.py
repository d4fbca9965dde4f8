"""DeviceTaintRules as the API serves them, and which devices they taint."""

from typing import Any

import pytest

from fleet.cluster.devices import Slice, slice_of
from fleet.cluster.fields import UnreadableObjectError
from fleet.cluster.taint_rules import TaintRule, by_pool, taint_rule_of, tainted

TAINT = {"key": "xid", "value": "79", "effect": "NoExecute"}


def rule(selector: dict[str, Any] | None, name: str = "r") -> TaintRule:
    spec: dict[str, Any] = {"taint": TAINT}
    if selector is not None:
        spec["deviceSelector"] = selector
    return taint_rule_of({"metadata": {"name": name, "uid": "u"}, "spec": spec})


def two_gpus() -> Slice:
    return slice_of(
        {
            "metadata": {"name": "s"},
            "spec": {
                "driver": "gpu.nvidia.com",
                "nodeName": "a",
                "pool": {"name": "a", "generation": 1, "resourceSliceCount": 1},
                "devices": [
                    {"name": "gpu-0", "taints": [{"key": "own", "effect": "None"}]},
                    {"name": "gpu-1"},
                ],
            },
        }
    )


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param({}, [["own", "xid"], ["xid"]], id="an empty selector covers every device"),
        pytest.param(None, [["own"], []], id="without a selector a rule covers none"),
        pytest.param({"device": "gpu-1"}, [["own"], ["xid"]], id="by name"),
        pytest.param({"pool": "a", "device": "gpu-0"}, [["own", "xid"], []], id="all must match"),
        pytest.param({"pool": "b", "device": "gpu-0"}, [["own"], []], id="another pool"),
        pytest.param({"driver": "gpu.amd.com"}, [["own"], []], id="another driver"),
    ],
)
def test_a_rule_adds_its_taint_to_the_devices_that_it_selects(
    selector: dict[str, Any] | None, expected: list[list[str]]
) -> None:
    made = tainted(two_gpus(), by_pool([rule(selector)]))

    assert [[taint.key for taint in one.taints] for one in made.devices] == expected


def test_a_slice_that_no_rule_concerns_is_the_same() -> None:
    one = two_gpus()

    assert tainted(one, by_pool([rule({"pool": "b"}), rule(None, "s")])) is one


@pytest.mark.parametrize("field", ["deviceClassName", "selectors"])
def test_a_selector_that_kubernetes_dropped_is_refused_by_its_name(field: str) -> None:
    with pytest.raises(UnreadableObjectError) as caught:
        rule({"driver": "gpu.nvidia.com", field: ["x"]})
    assert str(caught.value) == (
        f"spec.deviceSelector.{field} is not read; select by driver, pool and device"
    )
