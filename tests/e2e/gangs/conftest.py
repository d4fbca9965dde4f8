"""A bed of its own with the controllers that make gangs, and four nodes of 8 GPUs."""

from collections.abc import Iterator

import pytest

from tests.e2e import kubernetes
from tests.e2e.bed import Bed
from tests.e2e.conftest import BUILT, made_bed
from tests.e2e.gangs import controllers, kueue, training_operator
from tests.e2e.gangs.gang_cluster import GangCluster

collect_ignore_glob = [] if BUILT else ["test_*.py"]
NODES = ("gpu-a", "gpu-b", "gpu-c", "gpu-d")


def _add_nodes(bed: Bed) -> None:
    for name in NODES:
        labels = {
            "karpenter.sh/nodepool": "h100",
            "flavor": "h100",  # that a ResourceFlavor names
            "node.kubernetes.io/instance-type": "p5.48xlarge",
            "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        }
        kubernetes.add_node(bed, name, gpus=8, labels=labels)


@pytest.fixture(scope="session")
def gang_bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    own = (controllers.start, training_operator.start, kueue.start)
    parts = (kubernetes.start_kwok, _add_nodes, *own)
    with made_bed(request, "gang-bed", beside=parts) as made:
        yield made


@pytest.fixture
def gangs(gang_bed: Bed) -> Iterator[GangCluster]:
    cluster = GangCluster(gang_bed)
    yield cluster
    cluster.clear()
