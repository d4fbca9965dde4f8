"""`foresail fleet` and the extender count the same GPUs while a real cluster changes at random.

`FORESAIL_CHURN_SECONDS` makes it longer than the usual half a minute.
"""

import json
import os
import random
import sys
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from foresail.cli import main
from tests.e2e.bed import Bed
from tests.e2e.processes import Program
from tests.prometheus import free_port

pytestmark = pytest.mark.looptime(False)  # processes live in real time

NAMESPACE = "churn"
SECONDS = float(os.environ.get("FORESAIL_CHURN_SECONDS", "30"))
ROUND_SECONDS = 10.0
NODES_MAX, PODS_MAX, CLAIMS_MAX = 8, 40, 6
MACHINES: tuple[dict[str, str], ...] = (
    {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
    {"nvidia.com/gpu.product": "NVIDIA-L40S"},
    {"node.kubernetes.io/instance-type": "p5.48xlarge"},
    {"node.kubernetes.io/instance-type": "p5.48xlarge", "karpenter.sh/capacity-type": "spot"},
)
CHURNS = {"churn.test/node": "yes"}
ONE_GPU = {"nvidia.com/gpu": "1"}
PRODUCT = "NVIDIA B200"
SLICES, CLASSES, RULES = (
    "/apis/resource.k8s.io/v1/resourceslices",
    "/apis/resource.k8s.io/v1/deviceclasses",
    "/apis/resource.k8s.io/v1/devicetaintrules",
)
CLAIMS = f"/apis/resource.k8s.io/v1/namespaces/{NAMESPACE}/resourceclaims"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"

Json = dict[str, Any]


class Churn:
    """Random changes of nodes, pods, ResourceSlices, DeviceTaintRules and ResourceClaims."""

    def __init__(self, bed: Bed, seed: int) -> None:
        self._bed = bed
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._made = 0
        self.nodes: list[str] = []
        self.drivers: dict[str, int] = {}
        """Nodes with a DRA driver, and the generation of its pool."""
        self.rules: list[str] = []
        self.pods: list[str] = []
        self.claims: list[str] = []

    def begin(self) -> None:
        self._bed.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "DeviceClass",
                "metadata": {"name": "churn-gpu"},
                "spec": {
                    "selectors": [{"cel": {"expression": "device.driver == 'gpu.nvidia.com'"}}]
                },
            },
        )
        for _ in range(4):
            self._add_node()
        for _ in range(2):
            self._add_driver()

    def end(self) -> None:
        self._bed.kubectl("delete", "pods", "--all", "-n", NAMESPACE, "--force", "--grace-period=0")
        for name in (*self.nodes, *self.drivers):
            self._send("DELETE", f"/api/v1/nodes/{name}")
        for name in self.drivers:
            self._send("DELETE", f"{SLICES}/{name}")
        for name in self.rules:
            self._send("DELETE", f"{RULES}/{name}")
        self._send("DELETE", f"{CLASSES}/churn-gpu")
        self._bed.kubectl("delete", "namespace", NAMESPACE, "--timeout=600s")

    def step(self) -> None:
        """One change."""
        changes = {
            self._add_pod: 8,
            self._drop_pod: 5,
            self._add_claiming_pod: 3,
            self._drop_claim: 2,
            self._add_node: 2,
            self._drop_node: 1,
            self._cordon: 2,
            self._break_gpu: 2,
            self._price: 1,
            self._renew_slice: 2,
            self._add_rule: 2,
            self._drop_rule: 1,
        }
        (change,) = self._random.choices(list(changes), weights=list(changes.values()))
        change()

    def keep_one_gpu_in_use(self) -> None:
        """A pod that finds room: all that were placed may have gone with their nodes."""
        self._send("PATCH", f"/api/v1/nodes/{self.nodes[0]}", {"spec": {"unschedulable": False}})
        self._post_pod({"containers": [self._container(resources={"limits": ONE_GPU})]})

    # -- nodes -----------------------------------------------------------------------------------

    def _add_node(self) -> None:
        if len(self.nodes) < NODES_MAX:
            name = self._name("churn-node")
            labels = {**self._random.choice(MACHINES), **CHURNS}
            self._post_node(name, labels, {"nvidia.com/gpu": "8"})
            self.nodes.append(name)

    def _post_node(self, name: str, labels: dict[str, str], gpus: dict[str, str]) -> None:
        room = {"cpu": "512", "memory": "4Ti", "pods": "500", **gpus}
        metadata = {"name": name, "labels": labels}
        status = {"capacity": room, "allocatable": room}
        self._send("POST", "/api/v1/nodes", {"metadata": metadata, "status": status})

    def _drop_node(self) -> None:
        if len(self.nodes) > 2:
            name = self.nodes.pop(self._random.randrange(len(self.nodes)))
            self._send("DELETE", f"/api/v1/nodes/{name}")

    def _cordon(self) -> None:
        name = self._random.choice([*self.nodes, *self.drivers])
        spec = {"unschedulable": self._random.random() < 0.3}
        self._send("PATCH", f"/api/v1/nodes/{name}", {"spec": spec})

    def _break_gpu(self) -> None:
        """The device plugin finds a GPU unhealthy, or well again; capacity stays."""
        name, healthy = self._random.choice(self.nodes), str(self._random.choice((7, 8)))
        status = {"allocatable": {"nvidia.com/gpu": healthy}}
        self._send("PATCH", f"/api/v1/nodes/{name}/status", {"status": status})

    def _price(self) -> None:
        annotations = {"foresail.io/usd-per-gpu-hour": f"{self._random.randint(1, 90) / 10}"}
        path = f"/api/v1/nodes/{self._random.choice(self.nodes)}"
        self._send("PATCH", path, {"metadata": {"annotations": annotations}})

    # -- devices ---------------------------------------------------------------------------------

    def _add_driver(self) -> None:
        name = self._name("churn-dra")
        self._post_node(name, CHURNS, {})
        self.drivers[name] = 1
        self._send("POST", SLICES, self._slice(name, tainted=False))

    def _renew_slice(self) -> None:
        """A GPU of the node is tainted, or no longer."""
        name = self._random.choice(list(self.drivers))
        self.drivers[name] += 1
        spec = self._slice(name, tainted=self._random.random() < 0.5)["spec"]
        self._send("PATCH", f"{SLICES}/{name}", {"spec": spec})

    def _add_rule(self) -> None:
        """An administrator taints a GPU, or all of a node."""
        name, node = self._name("churn-rule"), self._random.choice(list(self.drivers))
        selector = {"driver": "gpu.nvidia.com", "pool": node}
        if self._random.random() < 0.8:
            selector["device"] = f"gpu-{self._random.randrange(8)}"
        taint = {"key": "churn.test/drain", "effect": self._random.choice(("NoSchedule", "None"))}
        spec = {"deviceSelector": selector, "taint": taint}
        self._send("POST", RULES, {"metadata": {"name": name}, "spec": spec})
        self.rules.append(name)

    def _drop_rule(self) -> None:
        if self.rules:
            name = self.rules.pop(self._random.randrange(len(self.rules)))
            self._send("DELETE", f"{RULES}/{name}")

    def _slice(self, node: str, *, tainted: bool) -> Json:
        devices: list[Json] = [
            {
                "name": f"gpu-{at}",
                "attributes": {
                    "type": {"string": "gpu"},
                    "uuid": {"string": f"GPU-{node}-{at}"},
                    "productName": {"string": PRODUCT},
                },
            }
            for at in range(8)
        ]
        if tainted:
            devices[0]["taints"] = [{"key": "churn.test/xid", "effect": "NoSchedule"}]
        return {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": node},
            "spec": {
                "driver": "gpu.nvidia.com",
                "nodeName": node,
                "pool": {"name": node, "generation": self.drivers[node], "resourceSliceCount": 1},
                "devices": devices,
            },
        }

    # -- pods ------------------------------------------------------------------------------------

    def _add_pod(self) -> None:
        if len(self.pods) < PODS_MAX:
            limits = {"nvidia.com/gpu": str(self._random.choice((1, 1, 2, 4)))}
            self._post_pod({"containers": [self._container(resources={"limits": limits})]})

    def _drop_pod(self) -> None:
        if self.pods:
            name = self.pods.pop(self._random.randrange(len(self.pods)))
            self._send("DELETE", f"{PODS}/{name}", {"gracePeriodSeconds": 0})

    def _add_claiming_pod(self) -> None:
        if len(self.claims) < CLAIMS_MAX:
            name = self._name("claim")
            exactly = {"deviceClassName": "churn-gpu", "count": self._random.choice((1, 2))}
            claim = {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceClaim",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}},
            }
            self._send("POST", CLAIMS, claim)
            self.claims.append(name)
            container = self._container(resources={"claims": [{"name": "gpu"}]})
            claims = [{"name": "gpu", "resourceClaimName": name}]
            self._post_pod({"containers": [container], "resourceClaims": claims})

    def _drop_claim(self) -> None:
        if self.claims:
            name = self.claims.pop(self._random.randrange(len(self.claims)))
            self._send("DELETE", f"{CLAIMS}/{name}")  # it goes when its pod has gone

    def _container(self, **more: Any) -> Json:
        return {"name": "engine", "image": "engine", **more}

    def _post_pod(self, spec: Json) -> None:
        name = self._name("pod")
        metadata = {"name": name, "namespace": NAMESPACE}
        self._send(
            "POST",
            PODS,
            {"kind": "Pod", "metadata": metadata, "spec": {**spec, "nodeSelector": CHURNS}},
        )
        self.pods.append(name)

    # -- the API server --------------------------------------------------------------------------

    def _name(self, kind: str) -> str:
        self._made += 1
        return f"{kind}-{self._made}"

    def _send(self, verb: str, path: str, document: Json | None = None) -> None:
        try:
            self._bed.send(verb, path, document)
        except requests.HTTPError as error:
            # Kubernetes' garbage collector may have been first with pods of a node that is gone.
            if verb != "DELETE" or error.response.status_code != HTTPStatus.NOT_FOUND:
                raise


class Extender:
    """`foresail scheduler`, which follows the bed."""

    def __init__(self, bed: Bed) -> None:
        self._http_port = free_port()
        command = [
            sys.executable, "-m", "foresail.cli", "scheduler",
            "--kubeconfig", str(bed.kubeconfig("admin")),
            "--listen", f"127.0.0.1:{free_port()}", "--http", f"127.0.0.1:{self._http_port}",
        ]  # fmt: skip
        self.program = Program("churn-extender", command, bed.folder)

    def page(self, path: str) -> requests.Response | None:
        try:
            return requests.get(f"http://127.0.0.1:{self._http_port}{path}", timeout=60)
        except requests.RequestException:
            return None

    def is_ready(self) -> bool:
        page = self.page("/readyz")
        return page is not None and page.status_code == 200

    def gpus(self) -> dict[str, tuple[object, ...]]:
        page = self.page("/gpus")
        if page is None:
            return {}
        fields = ("gpus", "used", "free", "out", "usd_per_gpu_hour")
        return {
            one["node"]: tuple(one[field] for field in fields)
            for one in page.json()["nodes"]
            if one["node"].startswith("churn-")
        }


def fleet(bed: Bed) -> dict[str, tuple[object, ...]]:
    kubeconfig = str(bed.kubeconfig("admin"))
    result = CliRunner().invoke(main, ["fleet", "--kubeconfig", kubeconfig, "-o", "json"])
    if result.exit_code:  # the API server is busy, which the verb says and no more
        assert isinstance(result.exception, SystemExit), result.exc_info
        print(result.output)  # noqa: T201 - pytest shows it
        return {}
    fields = ("gpus", "allocated", "free", "out", "usdPerGpuHour")
    return {
        one["node"]: tuple(one[field] for field in fields)
        for one in json.loads(result.stdout)["clusters"][0]["nodes"]
        if one["node"].startswith("churn-")
    }


@pytest.fixture
def churn(bed: Bed) -> Iterator[Churn]:
    made = Churn(bed, seed=int(os.environ.get("FORESAIL_CHURN_SEED", "1")))
    made.begin()
    yield made
    made.end()


@pytest.fixture
def extender(bed: Bed) -> Iterator[Extender]:
    made = Extender(bed)
    made.program.start()
    bed.wait(made.is_ready, "the extender")
    yield made
    made.program.stop()


def test_the_extender_and_fleet_agree_after_random_churn(
    bed: Bed, churn: Churn, extender: Extender
) -> None:
    seen: list[dict[str, tuple[object, ...]]] = []

    def agree() -> bool:
        """Both count the same, and at least one GPU in use."""
        # A scheduler that is behind the changes may have bound none of the present pods yet.
        seen[:] = [extender.gpus(), fleet(bed)]
        return seen[0] == seen[1] and any(used for _, used, *_ in seen[1].values())

    steps, rounds = 0, 0
    until = time.monotonic() + SECONDS  # noqa: TID251 - a real cluster has real time
    while time.monotonic() < until:  # noqa: TID251
        pause = time.monotonic() + ROUND_SECONDS  # noqa: TID251
        while time.monotonic() < pause:  # noqa: TID251
            churn.step()
            steps += 1
        churn.keep_one_gpu_in_use()
        rounds += 1
        # The watch, and pods that the scheduler is still placing, may be a moment behind.
        try:
            bed.wait(agree, "both to count the same GPUs in use")
        except BaseException:
            apart = {name for name in seen[0] | seen[1] if seen[0].get(name) != seen[1].get(name)}
            for name in sorted(apart):
                print(name, "extender:", seen[0].get(name), "fleet:", seen[1].get(name))  # noqa: T201
            raise
    assert set(seen[1]) == {*churn.nodes, *churn.drivers}
    print(f"{steps} changes, {rounds} comparisons")  # noqa: T201 - for the longer runs
