"""Clusters added up, by where GPUs are and by who has them."""

from dataclasses import replace

import pytest

from fleet.tally import By, Row, tally, total
from tests.fleet.objects import H100, node, pod, seen

P5 = {"node.kubernetes.io/instance-type": "p5.48xlarge", "karpenter.sh/nodepool": "big"}
ONE = seen(
    node("n1", labels=H100 | P5, gpus=8),
    node("n2", labels={"nvidia.com/gpu.product": "Tesla-T4"}, gpus=1),
    pod("a", "n1", gpus=6, labels={"model": "qwen3-32b"}),
    pod("b", "n2", gpus=1),
)
TWO = replace(seen(node("n1", labels=H100 | P5, ready=False, gpus=8)), cluster="c2")


def by(key: By) -> dict[str, Row]:
    return {row.key: row for row in tally([ONE, TWO], key)}


@pytest.mark.parametrize(
    ("key", "rows"),
    [
        pytest.param(By.GENERATION, {"h100-sxm": 16, "t4": 1}, id="generation"),
        pytest.param(By.CLUSTER, {"c1": 9, "c2": 8}, id="cluster"),
        pytest.param(By.POOL, {"big": 16, "(none)": 1}, id="pool"),
        pytest.param(By.NODE, {"c1/n1": 8, "c2/n1": 8, "c1/n2": 1}, id="node"),
        pytest.param(By.NAMESPACE, {"llm": 7, "(free)": 2, "(out)": 8}, id="namespace"),
        pytest.param(By.MODEL, {"qwen3-32b": 6, "(none)": 1, "(free)": 2, "(out)": 8}, id="model"),
    ],
)
def test_every_gpu_is_in_one_row(key: By, rows: dict[str, float]) -> None:
    assert {name: row.gpus for name, row in by(key).items()} == rows


def test_the_most_gpus_come_first_and_what_nobody_has_last() -> None:
    assert list(by(By.MODEL)) == ["qwen3-32b", "(none)", "(out)", "(free)"]


def test_money_is_of_the_gpus_that_have_a_price_and_the_others_are_counted() -> None:
    whole = total([ONE, TWO])

    assert whole.usd_per_hour == pytest.approx(16 * 6.88)
    assert whole.free_usd_per_hour == pytest.approx(2 * 6.88)  # those of c2 are out
    assert whole.unpriced == 1


def test_a_model_costs_the_gpus_it_has() -> None:
    assert by(By.MODEL)["qwen3-32b"].usd_per_hour == pytest.approx(6 * 6.88)


def test_islands_are_counted_whole() -> None:
    found = by(By.GENERATION)

    assert (found["h100-sxm"].islands, found["h100-sxm"].islands_whole) == (2, 0)
    assert found["h100-sxm"].fragmented == 2


def test_what_is_not_measured_is_counted_as_unknown() -> None:
    whole = total([ONE, TWO])

    assert (whole.idle, whole.idle_unknown) == (0, 7)


def test_no_clusters_are_no_gpus() -> None:
    assert tally([], By.GENERATION) == []
    assert total([]).gpus == 0


def test_uses_beyond_the_gpus_are_as_many_as_there_are() -> None:
    labels = H100 | P5 | {"nvidia.com/gpu.count": "8"}
    pods = [pod(name, gpus=6, labels={"model": name}) for name in ("a", "b")]
    crowded = seen(node("n1", labels=labels, gpus=8), *pods)

    rows = tally([crowded], By.MODEL)

    assert [(row.key, row.gpus, row.allocated) for row in rows] == [("a", 4, 4), ("b", 4, 4)]
    assert sum(row.usd_per_hour for row in rows) == pytest.approx(55.04)
