"""Prices of nodes by OpenCost, and which price of several counts."""

import pytest

from fleet.annotations import PRICE
from fleet.catalogue import shipped
from fleet.cluster.hardware import Prices
from fleet.instances import instances
from fleet.opencost import NodePrice, prices_of
from fleet.snapshot import Known, snapshot_of
from tests.fleet.objects import H100, NOW_SECONDS, Object, cluster, node

P5 = H100 | {"node.kubernetes.io/instance-type": "p5.48xlarge"}
TOTAL = "OpenCost, node_total_hourly_cost"


def series(value: object, **labels: str) -> Object:
    return {"metric": labels, "value": [NOW_SECONDS, str(value)]}


def test_a_machine_costs_the_sum_of_its_parts() -> None:
    """Of $40 the GPUs are $3.20 each: the rest is the CPU and memory beside them."""
    answers = ([series(40, node="n")], [series(8, node="n")], [series(3.2, node="n")])

    assert prices_of(answers) == {"n": NodePrice(usd_per_hour=40, source=TOTAL)}


def test_without_the_sum_the_gpus_alone_are_a_price_that_says_so() -> None:
    answers = ([], [series(8, node="n")], [series(3.2, node="n")])

    (price,) = prices_of(answers).values()

    assert price.usd_per_hour == pytest.approx(25.6)
    assert price.source == "OpenCost, node_gpu_hourly_cost: without CPU and memory"


@pytest.mark.parametrize(
    ("total", "gpus", "of_gpu"),
    [
        pytest.param([series(40, node="n")], [series(0, node="n")], [], id="sees-no-gpu"),
        pytest.param([series(40, node="n")], [], [], id="does-not-count"),
        pytest.param(
            [series(0, node="n")], [series(8, node="n")], [series(0, node="n")], id="free-of-charge"
        ),
        pytest.param([series("NaN", node="n")], [series(8, node="n")], [], id="no-number"),
        pytest.param([series(1e300, node="n")], [series(8, node="n")], [], id="absurd"),
        pytest.param([series(40)], [series(8)], [], id="no-node"),
    ],
)
def test_what_is_no_price_of_a_node_with_gpus_is_none(
    total: list[Object], gpus: list[Object], of_gpu: list[Object]
) -> None:
    assert prices_of((total, gpus, of_gpu)) == {}


def test_a_scrape_that_sets_the_label_node_itself_keeps_opencosts_own() -> None:
    labels = {"node": "where-opencost-runs", "exported_node": "n"}

    assert list(prices_of(([series(40, **labels)], [series(8, **labels)], []))) == ["n"]


def test_two_opencosts_count_as_their_mean() -> None:
    total = [series(40, node="n", pod="a"), series(42, node="n", pod="b")]
    gpus = [series(8, node="n", pod="a"), series(8, node="n", pod="b")]

    assert prices_of((total, gpus, []))["n"].usd_per_hour == 41


def price(one: Object, own: dict[str, float] | None = None) -> tuple[float | None, str | None]:
    """Of a GPU of the node, where OpenCost says that the node costs $40."""
    measured = {"n1": NodePrice(usd_per_hour=40, source=TOTAL)}
    prices = Prices(instances=instances(), own=own or {}, measured=measured)
    known = Known(catalogue=shipped(), prices=prices)
    (found,) = snapshot_of(cluster(one), known, None, NOW_SECONDS).nodes
    return found.usd_per_gpu_hour, found.price_source


SPOT = P5 | {"karpenter.sh/capacity-type": "spot"}


@pytest.mark.parametrize(
    ("one", "own", "expected"),
    [
        pytest.param(
            node(labels=P5, gpus=8, annotations={PRICE: "3"}), {"p5.48xlarge": 4.0},
            (3, f"annotation {PRICE}"), id="the-annotation-first",
        ),
        pytest.param(
            node(labels=P5, gpus=8), {"p5.48xlarge": 4.0}, (4, "your price list"),
            id="then-the-file",
        ),
        pytest.param(node(labels=P5, gpus=8), None, (5, TOTAL), id="then-opencost"),
        pytest.param(node(labels=SPOT, gpus=8), None, (5, TOTAL), id="of-spot-too"),
        pytest.param(node(gpus=4), None, (10, TOTAL), id="of-what-the-driver-counts"),
        pytest.param(
            node(labels={"nvidia.com/gpu.replicas": "4"}, gpus=32), None, (5, TOTAL),
            id="over-gpus-and-not-over-shares",
        ),
    ],
)  # fmt: skip
def test_which_price_counts(
    one: Object, own: dict[str, float] | None, expected: tuple[float, str]
) -> None:
    assert price(one, own) == expected


def test_a_node_that_opencost_does_not_know_has_its_list_price() -> None:
    assert price(node("n2", labels=P5, gpus=8))[0] == pytest.approx(6.88)
    assert price(node("n2", labels=SPOT, gpus=8)) == (None, None)
