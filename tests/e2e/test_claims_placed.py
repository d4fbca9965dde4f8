"""A need, our webhook's claim, a second real kube-scheduler with our extender: all of it."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import yaml

from scheduler.admission import CLAIM
from tests.deploy.examples import SCHEDULER
from tests.e2e import kubernetes
from tests.e2e.bed import Bed
from tests.e2e.claims_webhook import WebhookServer, make
from tests.e2e.extender_page import is_up_to_date
from tests.e2e.processes import Program
from tests.prometheus import free_port
from tests.scheduler import slices

pytestmark = pytest.mark.looptime(False)  # processes live in real time

NAMESPACE = "needs"
USER = "system:serviceaccount:foresail:foresail-extender"
SCHEDULER_USER = "system:serviceaccount:foresail:foresail-scheduler"
DOCUMENTS = [one for one in yaml.safe_load_all(SCHEDULER.read_text()) if one]
NODES = {
    "needs-l40s": (slices.L40S, 4),
    "needs-h200": (slices.H200, 8),
    "needs-h100-a": (slices.H100, 8),
    "needs-h100-b": (slices.H100, 8),
}
NEED = {
    "foresail.io/model-parameters": "70B",
    "foresail.io/precision": "fp8",
    "foresail.io/tensor-parallel": "2",
}


class Extender:
    """`foresail scheduler` under the example's account, and the scheduler that asks it."""

    def __init__(self, bed: Bed) -> None:
        bed.apply(*(one for one in DOCUMENTS if "Role" in one["kind"]))
        kubernetes.add_user(bed, "needs", USER)
        kubernetes.add_user(bed, "needs-scheduler", SCHEDULER_USER)
        port, self._http_port = free_port(), free_port()
        command = [
            sys.executable, "-m", "foresail.cli", "scheduler",
            "--kubeconfig", str(bed.kubeconfig("needs")),
            "--listen", f"127.0.0.1:{port}",
            "--http", f"127.0.0.1:{self._http_port}",
        ]  # fmt: skip
        self.program = Program("foresail-needs", command, bed.folder)
        self.program.start()
        bed.wait(lambda: self.ready() == "ok\n", "foresail scheduler")
        (map_,) = [one for one in DOCUMENTS if one["kind"] == "ConfigMap"]
        configuration = yaml.safe_load(map_["data"]["scheduler.yaml"])
        configuration["leaderElection"] = {"leaderElect": False}
        kubeconfig = str(bed.kubeconfig("needs-scheduler"))
        configuration["clientConnection"] = {"kubeconfig": kubeconfig}
        (extender,) = configuration["extenders"]
        extender["urlPrefix"] = f"http://127.0.0.1:{port}"
        extender["httpTimeout"] = "60s"  # of one that is there, on a busy machine
        bed.write("needs.yaml", yaml.safe_dump(configuration).encode())
        config = f"--config={bed.file('needs.yaml')}"
        kubernetes.start_scheduler(bed, "kube-scheduler-needs", config)

    def follows(self, bed: Bed) -> bool:
        """Whether it knows of every GPU and of every pod that got one."""
        address = f"127.0.0.1:{self._http_port}"
        return is_up_to_date(bed, address, NAMESPACE, {name: n for name, (_, n) in NODES.items()})

    def ready(self) -> str:
        try:
            return requests.get(f"http://127.0.0.1:{self._http_port}/readyz", timeout=60).text
        except requests.RequestException as error:
            return str(error)


@pytest.fixture(scope="module")
def both(bed: Bed) -> Iterator[tuple[Bed, Extender]]:
    """Nodes, `foresail scheduler` with its webhook, and the scheduler that asks it."""
    for name in ("foresail", NAMESPACE):
        bed.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    expression = "device.driver == 'gpu.nvidia.com'"
    bed.apply(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceClass",
            "metadata": {"name": "gpu.nvidia.com"},
            "spec": {"selectors": [{"cel": {"expression": expression}}]},
        }
    )
    for name, (kind, count) in NODES.items():
        product = kind[0].replace(" ", "-")
        kubernetes.add_node(
            bed, name, labels={"pool": NAMESPACE, "nvidia.com/gpu.product": product}
        )
        # Each GPU once: one that two nodes show would be counted on one of them.
        gpus = (
            slices.nvidia(at, *kind, uuid={"string": f"GPU-{name}-{at}"}) for at in range(count)
        )
        bed.apply(slices.resource_slice(name, *gpus))
    with WebhookServer(bed):
        extender = Extender(bed)
        bed.wait(lambda: _is_asked(bed), "the webhook is asked")
        yield bed, extender
        extender.program.stop()
        bed.programs.pop("kube-scheduler-needs").stop()
    bed.kubectl("delete", "namespace", NAMESPACE, "--timeout=600s")
    bed.kubectl("delete", "node", *NODES)
    bed.kubectl("delete", "resourceslice", *(f"{name}-gpu.nvidia.com" for name in NODES))
    bed.kubectl("delete", "deviceclass", "gpu.nvidia.com")


def _is_asked(bed: Bed) -> bool:
    text = yaml.safe_dump(_pod("probe", NEED))
    made = bed.kubectl("create", "--dry-run=server", "-f", "-", "-o", "yaml", text=text)
    return CLAIM in yaml.safe_load(made)["metadata"]["annotations"]


def _pod(name: str, annotations: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": annotations},
        "spec": {
            "schedulerName": "foresail",
            "nodeSelector": {"pool": NAMESPACE},
            "containers": [{"name": "engine", "image": "engine"}],
            "terminationGracePeriodSeconds": 0,
        },
    }


def _given(bed: Bed, pod: str) -> tuple[str, str, int]:
    """Node, alternative and number of devices, once the pod is bound."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}"
    bed.wait(lambda: bed.read(path)["spec"].get("nodeName"), f"{pod} bound")
    document = bed.read(path)
    (status,) = document["status"]["resourceClaimStatuses"]
    claims = f"/apis/resource.k8s.io/v1/namespaces/{NAMESPACE}/resourceclaims"
    claim = bed.read(f"{claims}/{status['resourceClaimName']}")
    results = claim["status"]["allocation"]["devices"]["results"]
    (request,) = {one["request"] for one in results}
    return document["spec"]["nodeName"], request, len(results)


@pytest.fixture
def placed(both: tuple[Bed, Extender]) -> Bed:
    return both[0]


@pytest.fixture
def extender(both: tuple[Bed, Extender]) -> Extender:
    return both[1]


def test_the_cheapest_feasible_generation_is_given_until_it_is_full(
    placed: Bed, extender: Extender
) -> None:
    """Without H200 two H100 are cheapest for a token, then two L40S; 8 and 2 pods fit."""
    need = {**NEED, "foresail.io/gpu-models-excluded": "h200-sxm"}
    given = []
    for at in range(10):
        placed.wait(lambda: extender.follows(placed), "the extender to follow")
        make(placed, _pod(f"pod-{at}", need))
        given.append(_given(placed, f"pod-{at}"))
    assert [request for _, request, _ in given] == ["gpus/h100-sxm"] * 8 + ["gpus/l40s"] * 2
    assert all(count == 2 for _, _, count in given)
    # One node is filled before the next is begun.
    nodes = [node for node, _, _ in given[:8]]
    assert nodes == [nodes[0]] * 4 + [nodes[4]] * 4


def test_the_next_generation_is_given_where_the_cheapest_is_taken(
    placed: Bed, extender: Extender
) -> None:
    placed.wait(lambda: extender.follows(placed), "the extender to follow")
    make(placed, _pod("next", {**NEED, "foresail.io/gpu-models-preferred": "h100-sxm"}))
    assert _given(placed, "next") == ("needs-h200", "gpus/h200-sxm", 2)


def test_pods_get_their_claims_while_the_extender_may_read_nothing(
    placed: Bed, extender: Extender
) -> None:
    """Its readiness is nothing to the webhook, and kube-scheduler places by itself."""
    placed.kubectl("delete", "clusterrolebinding", "foresail-extender")
    extender.program.stop()
    extender.program.start()
    placed.wait(lambda: "no snapshot" in extender.ready(), "an extender without a snapshot")
    make(placed, _pod("blind", {**NEED, "foresail.io/gpu-models-preferred": "h200-sxm"}))
    assert _given(placed, "blind")[1] == "gpus/h200-sxm"
    assert "no snapshot" in extender.ready()
    placed.apply(*(one for one in DOCUMENTS if one["kind"] == "ClusterRoleBinding"))
    placed.wait(lambda: extender.ready() == "ok\n", "the extender")
