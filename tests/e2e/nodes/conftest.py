"""A bed of its own for nodes, where Karpenter orders all of them.

* `node_bed`: etcd, Kubernetes, kwok and Karpenter, and no node. One for the whole run.
* `nodes`: what a test turns there and what it looks at (`tests/e2e/nodes/node_cluster.py`). All
  that a test makes by it is deleted when the test is over.
* `controller_kubeconfig`: of the controller's account (`tests/e2e/nodes/controller_run.py`).
* `policies`: what the controller is to do; gone after the test with all that it made.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import karpenter, kubernetes
from tests.e2e.bed import Bed
from tests.e2e.conftest import BUILT, made_bed
from tests.e2e.nodes.controller_run import Policies, install
from tests.e2e.nodes.node_cluster import NodeCluster

collect_ignore_glob = [] if BUILT else ["test_*.py"]


@pytest.fixture(scope="session")
def node_bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    parts = (kubernetes.start_kwok, karpenter.start)
    with made_bed(request, "node-bed", beside=parts) as made:
        yield made


@pytest.fixture
def nodes(node_bed: Bed) -> Iterator[NodeCluster]:
    cluster = NodeCluster(node_bed)
    yield cluster
    cluster.clear()


@pytest.fixture(scope="session")
def controller_kubeconfig(node_bed: Bed) -> Path:
    return install(node_bed)


@pytest.fixture
def policies(nodes: NodeCluster, controller_kubeconfig: Path) -> Iterator[Policies]:
    assert controller_kubeconfig  # the kind is served from then on
    made = Policies(nodes)
    yield made
    made.clear()
