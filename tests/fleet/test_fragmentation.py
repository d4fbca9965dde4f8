"""How the free GPUs of a node lie in its islands, and what the node's agent adds."""

import pytest

from fleet.islands import Fragmentation
from tests.fleet.objects import H100, claim, counts, device, node, only, pod, report, resource_slice


@pytest.mark.parametrize(
    ("labels", "annotations", "used", "fragmentation"),
    [
        pytest.param(H100, {}, 0, Fragmentation(islands=1, whole=1, fragmented=0), id="untouched"),
        pytest.param(H100, {}, 3, Fragmentation(islands=1, whole=0, fragmented=5), id="one-switch"),
        pytest.param(H100, {}, 8, Fragmentation(islands=1, whole=0, fragmented=0), id="all-used"),
        pytest.param(
            {"nvidia.com/gpu.product": "NVIDIA-L40S"},
            {},
            3,
            Fragmentation(islands=8, whole=5, fragmented=0),
            id="no-nvlink-nothing-to-break",
        ),
        pytest.param(
            {"nvidia.com/gpu.product": "NVIDIA-A100-80GB-PCIe"}, {}, 3, None, id="bridges-unknown"
        ),
        pytest.param(
            {"nvidia.com/gpu.product": "NVIDIA-A100-80GB-PCIe"},
            report(0, 0, 1, 1, 2, 2, 3, 3),
            3,
            Fragmentation(islands=4, whole=2, fragmented=1),
            id="bridges-reported",
        ),
        pytest.param(
            {"nvidia.com/gpu.product": "NVIDIA-A100-80GB-PCIe"},
            report(0, 0, None, None, 2, 2, 3, 3),
            3,
            None,
            id="reported-in-part",
        ),
        pytest.param({}, {}, 3, None, id="which-gpus-is-unknown"),
    ],
)
def test_free_gpus_are_fragmented_where_their_island_is_partly_in_use(
    labels: dict[str, str],
    annotations: dict[str, str],
    used: int,
    fragmentation: Fragmentation | None,
) -> None:
    found = only(node(labels=labels, annotations=annotations, gpus=8), pod("a", gpus=used))

    assert found.fragmentation == fragmentation


def test_dra_tells_which_island_is_broken() -> None:
    pairs = resource_slice(
        *(device(f"gpu-{i}", productName="NVIDIA A100 80GB PCIe") for i in range(4))
    )
    worst = claim("c", "gpu-0", "gpu-2", pods=("a",))

    found = only(node(annotations=report(0, 0, 1, 1)), pairs, worst)

    assert found.fragmentation == Fragmentation(islands=2, whole=0, fragmented=2)


def test_mig_leaves_no_island_to_break() -> None:
    labels = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"}

    assert only(node(labels=labels, gpus=14), pod("a", gpus=1)).fragmentation == Fragmentation(
        islands=2, whole=1, fragmented=0
    )


@pytest.mark.parametrize(
    "annotation",
    [
        pytest.param("{", id="not-json"),
        pytest.param('{"schema": 2, "gpus": []}', id="newer-schema"),
        pytest.param('{"schema": 1, "gpus": null, "unknown": "no driver"}', id="unknown"),
        pytest.param('{"schema": 1, "bootId": "old", "gpus": []}', id="earlier-boot"),
    ],
)
def test_a_report_that_tells_nothing_of_now_changes_nothing(annotation: str) -> None:
    one = node(annotations={"foresail.io/gpu-report": annotation}, labels=H100, gpus=8)
    one["status"]["nodeInfo"] = {"bootID": "new"}

    assert counts(only(one)) == (8, 0, 8, 0)


def test_gpus_that_the_agent_sees_and_nobody_gives_out_are_out() -> None:
    found = only(node(annotations=report(*[0] * 8), labels=H100, gpus=4), pod("a", gpus=4))

    assert counts(found) == (8, 4, 0, 4)
