"""The extender and `foresail fleet` count the same GPUs of every recorded cluster.

Each node stands here as (GPUs, used, free, out, dollars a GPU-hour), worked out by hand.
"""

import random
from pathlib import Path

import pytest

from fleet.catalogue import shipped
from fleet.cluster.hardware import Prices
from fleet.cluster.kinds import Kind, Record, record_of
from fleet.cluster.reading import Cluster
from fleet.instances import instances
from fleet.recorded import recorded
from fleet.snapshot import Known, snapshot_of
from scheduler.history import USUAL, History
from scheduler.intake import Intake
from scheduler.machines import Facts
from scheduler.mix import Mix
from scheduler.placement_state import PlacementState
from scheduler.view import views_of
from tests.scheduler import slices
from tests.scheduler.objects import H100, claim, node, pod, resource_slice

CLUSTERS = Path(__file__).parents[1] / "fixtures" / "clusters"
PRICES = Prices(instances=instances(), own={"l40s": 1.5})
Gpus = tuple[float, float, float, float, float | None]
LIST = 6.88
"""Of a p5.48xlarge on demand: 55.04 over 8."""

EXPECTED: dict[str, dict[str, Gpus]] = {
    "device-plugin": {
        "whole": (8, 5, 3, 0, LIST),
        "unhealthy": (8, 4, 3, 1, LIST),
        "cordoned": (8, 2, 0, 6, LIST),
        "not-ready": (8, 1, 0, 7, LIST),
        "leaving": (8, 0, 0, 8, LIST),
        "spot": (8, 8, 0, 0, None),
        "spot-priced": (8, 0, 8, 0, 2.75),
        "own-iron": (8, 3, 5, 0, None),  # a sidecar with 1, and 2 to load beside it
        "intel": (4, 1, 3, 0, None),
        "amd": (8, 2, 6, 0, None),
    },
    "partitions": {
        "time-sliced": (8, 0.75, 7.25, 0, 1.5),  # 3 of 32 quarters
        "renamed": (2, 0.25, 1.75, 0, 1.5),
        "mig-single": (2, 1, 1, 0, None),  # 7 of 14 sevenths
        "mig-mixed": (4, 1.5, 2.5, 0, None),  # 2 whole ones, and 2 cut in halves
    },
    "dra": {
        "claimed": (8, 3, 5, 0, LIST),
        "tainted": (4, 1, 2, 1, None),
        "noticed": (2, 0, 2, 0, None),  # a taint without an effect repels nobody
        "incomplete": (4, 0, 0, 4, None),
        "static-mig": (1, 0.5, 0.5, 0, None),
        "dynamic-mig": (1, 0.142857, 0.857143, 0, None),
        "consumable": (1, 0.25, 0.75, 0, None),
    },
    "taint-rules": {
        "ruled": (4, 1, 2, 1, None),  # the GPU in use is tainted too
        "reserved": (2, 0, 0, 2, None),
    },
    "plugin-and-dra": {"both": (8, 5, 3, 0, LIST)},
    "karpenter": {
        "h100-a": (8, 8, 0, 0, LIST),
        "h100-b": (8, 4, 4, 0, LIST),
        "h100-c": (8, 0, 8, 0, LIST),
        "h100-d": (8, 0, 8, 0, LIST),
        "h100-e": (8, 0, 0, 8, LIST),  # no driver yet
        "block-a": (8, 8, 0, 0, 3.1),
        "block-b": (8, 0, 8, 0, 3.1),
        "l40s-a": (4, 3, 1, 0, 1.5),
        "l40s-b": (4, 0, 4, 0, 1.5),
    },
    "late-machines": {
        "serves": (8, 8, 0, 0, LIST),
        "no-gpus": (8, 0, 0, 8, LIST),
        "zombie": (8, 0, 0, 8, LIST),
        "leaves": (8, 0, 0, 8, LIST),
    },
}


def read(name: str) -> Cluster:
    return recorded(CLUSTERS / f"{name}.yaml")


def by_fleet(cluster: Cluster) -> dict[str, Gpus]:
    known = Known(catalogue=shipped(), prices=PRICES)
    nodes = snapshot_of(cluster, known, None, now_seconds=0).nodes
    return {
        one.node: (
            one.gpus,
            one.allocated or 0.0,
            one.free or 0.0,
            one.out or 0.0,
            one.usd_per_gpu_hour,
        )
        for one in nodes
    }


def by_extender(cluster: Cluster, order: random.Random) -> dict[str, Gpus]:
    """As the intake has it when the objects come one by one, in any order."""
    events: list[tuple[Kind, Record]] = [
        *((Kind.NODE, one) for one in cluster.nodes),
        *((Kind.POD, one) for one in cluster.pods or ()),
        *((Kind.SLICE, one) for one in cluster.slices or ()),
        *((Kind.CLAIM, one) for one in cluster.claims or ()),
        *((Kind.CLASS, one) for one in cluster.classes or ()),
        *((Kind.TAINT_RULE, one) for one in cluster.taint_rules or ()),
    ]
    order.shuffle(events)
    made = Intake(PlacementState((), Mix(dict(USUAL))), History(), Facts(prices=PRICES))
    for kind, record in events:
        made.changed(kind, record, now_seconds=0)
        for _ in made.settle():
            pass
    assert made.unread == {}
    return {
        one.node: (one.gpus, one.used, one.free, one.out, one.usd_per_gpu_hour)
        for one in views_of(made)
    }


def test_a_gpu_that_a_claim_holds_without_a_pod_is_used_in_both() -> None:
    ready = node("a")
    ready["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    held = claim("c", (H100, 1), given=("gpu-0",), pool="a")
    cluster = Cluster.of(
        "one",
        {
            Kind.NODE: [record_of(Kind.NODE, ready)],
            Kind.SLICE: [record_of(Kind.SLICE, resource_slice("a", H100, H100))],
            Kind.CLAIM: [record_of(Kind.CLAIM, held)],
        },
    )
    expected = {"a": (2, 1, 1, 0, None)}

    assert by_fleet(cluster) == expected
    assert by_extender(cluster, random.Random(0)) == expected  # noqa: S311 - no secret


def test_a_full_node_that_loses_a_gpu_has_all_in_use_in_both() -> None:
    full = node("a", gpus=8)
    full["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    full["status"]["capacity"] = dict(full["status"]["allocatable"])
    full["status"]["allocatable"] |= {"nvidia.com/gpu": "7"}
    cluster = Cluster.of(
        "one",
        {
            Kind.NODE: [record_of(Kind.NODE, full)],
            Kind.POD: [record_of(Kind.POD, pod(f"p{at}", gpus=4, on="a")) for at in range(2)],
        },
    )
    expected = {"a": (8, 8, 0, 0, None)}

    assert by_fleet(cluster) == expected
    assert by_extender(cluster, random.Random(0)) == expected  # noqa: S311 - no secret


@pytest.mark.parametrize("others", [0, 2], ids=["all", "one GPU"])
def test_what_pods_keep_of_a_dra_driver_that_is_away_is_used_in_both(others: int) -> None:
    ready = node("a")
    ready["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    held = claim("c", (H100, 1), given=("gpu-7",), pool="a")
    shown = [record_of(Kind.SLICE, resource_slice("a", *(H100,) * others))] if others else []
    cluster = Cluster.of(
        "one",
        {
            Kind.NODE: [record_of(Kind.NODE, ready)],
            Kind.SLICE: shown,
            Kind.CLAIM: [record_of(Kind.CLAIM, held)],
        },
    )
    expected = {"a": (2, 1, 1, 0, None) if others else (1, 1, 0, 0, None)}

    assert by_fleet(cluster) == expected
    assert by_extender(cluster, random.Random(0)) == expected  # noqa: S311 - no secret


def test_what_pods_keep_of_a_device_plugin_that_is_away_is_used_in_both() -> None:
    full = node("a", gpus=8)
    full["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    full["status"]["allocatable"] |= {"nvidia.com/gpu": "0"}
    full["status"]["capacity"] = dict(full["status"]["allocatable"])
    running = pod("p", gpus=4, on="a")
    running["status"] = {"phase": "Running"}
    cluster = Cluster.of(
        "one",
        {
            Kind.NODE: [record_of(Kind.NODE, full)],
            Kind.POD: [record_of(Kind.POD, running)],
        },
    )
    expected = {"a": (4, 4, 0, 0, None)}

    assert by_fleet(cluster) == expected
    assert by_extender(cluster, random.Random(0)) == expected  # noqa: S311 - no secret


@pytest.mark.parametrize("seed", range(5))
def test_plugged_gpus_beside_claims_and_claims_of_several_pods_are_the_same_in_both(
    seed: int,
) -> None:
    nodes = node("plugged", gpus=8), node("claimed")
    for one in nodes:
        one["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    channels = slices.resource_slice("plugged", {"name": "channel-0"}, driver="imex.test")
    channel = claim("channel", (H100, 1), given=("channel-0",), pool="plugged")
    channel["status"]["allocation"]["devices"]["results"][0]["driver"] = "imex.test"
    shared = claim("shared", (H100, 2), given=("gpu-0", "gpu-1"), pool="claimed")
    cluster = Cluster.of(
        "one",
        {
            Kind.NODE: [record_of(Kind.NODE, one) for one in nodes],
            Kind.SLICE: [
                record_of(Kind.SLICE, channels),
                record_of(Kind.SLICE, resource_slice("claimed", *[H100] * 4)),
            ],
            Kind.CLAIM: [record_of(Kind.CLAIM, one) for one in (channel, shared)],
            Kind.POD: [
                record_of(Kind.POD, pod("p", gpus=6, claims=("channel",), on="plugged")),
                record_of(Kind.POD, pod("q", claims=("shared",), on="claimed")),
                record_of(Kind.POD, pod("r", claims=("shared",), on="claimed")),
            ],
        },
    )
    expected = {"plugged": (8, 6, 2, 0, None), "claimed": (4, 2, 2, 0, None)}

    assert by_fleet(cluster) == expected
    assert by_extender(cluster, random.Random(seed)) == expected  # noqa: S311 - no secret


def test_every_recorded_cluster_is_worked_out() -> None:
    assert {one.stem for one in CLUSTERS.iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_foresail_fleet_counts_the_gpus_of_a_recorded_cluster(name: str) -> None:
    assert by_fleet(read(name)) == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("seed", range(5))
def test_the_extender_counts_the_same_gpus_in_whatever_order_it_learns_of_them(
    name: str, seed: int
) -> None:
    order = random.Random(seed)  # noqa: S311 - no secret

    assert by_extender(read(name), order) == EXPECTED[name]
