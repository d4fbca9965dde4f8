"""A second real kube-scheduler with our extender, by the manifests and rights of the examples."""

import base64
import copy
import sys
from collections.abc import Iterator, Sequence
from time import monotonic  # noqa: TID251 - processes live in real time
from typing import Any

import pytest
import requests
import yaml

from bench._faults_row import Observe
from fleet.annotations import REPORT
from tests.agent.islands import reported
from tests.deploy.examples import SCHEDULER
from tests.e2e import kubernetes
from tests.e2e.bed import Bed
from tests.e2e.extender_page import is_up_to_date
from tests.e2e.processes import Program
from tests.prometheus import free_port

pytestmark = pytest.mark.looptime(False)  # processes live in real time

NAMESPACE = "placed"
USER = "system:serviceaccount:foresail:foresail-extender"
SCHEDULER_USER = "system:serviceaccount:foresail:foresail-scheduler"
DOCUMENTS = [one for one in yaml.safe_load_all(SCHEDULER.read_text()) if one]
OURS = "device.driver == 'gpu.nvidia.com'"
H100, A100, L40S = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB", "NVIDIA L40S"


class Placing:
    """The extender and its scheduler, and what the tests do with them."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.extender_port, self._http_port = free_port(), free_port()
        self.extender: Program | None = None
        self._pods: list[str] = []
        self._gpus: dict[str, int] = {}
        """Of each node."""
        self._slices: list[str] = []

    def begin(self) -> None:
        """The examples' rights, the extender under them, and the examples' scheduler."""
        for name in ("foresail", NAMESPACE):
            self.bed.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        kinds = ("Role", "ServiceAccount", "Secret")
        self.bed.apply(*(one for one in DOCUMENTS if any(kind in one["kind"] for kind in kinds)))
        self._use_the_extenders_token()
        kubernetes.add_user(self.bed, "placing-scheduler", SCHEDULER_USER)
        self.bed.apply(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "DeviceClass",
                "metadata": {"name": "gpu.placed.test"},
                "spec": {
                    "selectors": [{"cel": {"expression": "device.driver == 'gpu.nvidia.com'"}}]
                },
            }
        )
        self.start_extender()
        self._start_scheduler()

    def _use_the_extenders_token(self) -> None:
        """The one of the Secret that the example mounts into the extender's container alone."""
        path = "/api/v1/namespaces/foresail/secrets/foresail-extender-token"
        self.bed.wait(lambda: "token" in (self.bed.read(path).get("data") or {}), "a token")
        token = base64.b64decode(self.bed.read(path)["data"]["token"]).decode()
        kubeconfig = yaml.safe_load(self.bed.kubeconfig("admin").read_text())
        kubeconfig["users"][0]["user"] = {"token": token}
        self.bed.kubeconfig("placing").write_text(yaml.safe_dump(kubeconfig))

    def start_extender(self) -> None:
        command = [
            sys.executable, "-m", "foresail.cli", "scheduler",
            "--kubeconfig", str(self.bed.kubeconfig("placing")),
            "--listen", f"127.0.0.1:{self.extender_port}",
            "--http", f"127.0.0.1:{self._http_port}",
        ]  # fmt: skip
        if self.extender is None:
            self.extender = Program("foresail-scheduler", command, self.bed.folder)
        self.extender.start()
        self.bed.wait(lambda: self.page("/readyz") == "ok\n", "the extender")

    def _start_scheduler(self) -> None:
        """As the ConfigMap has it, but for addresses and the lease."""
        (map_,) = [one for one in DOCUMENTS if one["kind"] == "ConfigMap"]
        configuration = yaml.safe_load(map_["data"]["scheduler.yaml"])
        configuration["leaderElection"] = {"leaderElect": False}
        kubeconfig = str(self.bed.kubeconfig("placing-scheduler"))
        configuration["clientConnection"] = {"kubeconfig": kubeconfig}
        (extender,) = configuration["extenders"]
        extender["urlPrefix"] = f"http://127.0.0.1:{self.extender_port}"
        extender["httpTimeout"] = "60s"  # of one that is there, on a busy machine
        self.bed.write("placing.yaml", yaml.safe_dump(configuration).encode())
        kubernetes.start_scheduler(
            self.bed, "kube-scheduler-placing", f"--config={self.bed.file('placing.yaml')}"
        )

    def page(self, path: str) -> str:
        try:
            return requests.get(f"http://127.0.0.1:{self._http_port}{path}", timeout=60).text
        except requests.RequestException as error:
            return str(error)

    def end(self) -> None:
        if self.extender is not None:
            self.extender.stop()
        self.bed.programs["kube-scheduler-placing"].stop()
        self.bed.kubectl("delete", "deviceclass", "gpu.placed.test")
        self.bed.kubectl("delete", "namespace", NAMESPACE, "foresail", "--timeout=600s")

    # -- nodes -----------------------------------------------------------------------------------

    def node(
        self,
        name: str,
        *,
        pool: str,
        gpus: int = 0,
        product: str = H100,
        clique: str | None = None,
        islands: Sequence[int] = (),
    ) -> None:
        """A node; its `gpus` by a device plugin."""
        labels = {"pool": pool, "nvidia.com/gpu.product": product.replace(" ", "-")}
        if clique is not None:
            labels["nvidia.com/gpu.clique"] = clique
        annotations = {REPORT: reported(*islands, node=name)} if islands else {}
        kubernetes.add_node(self.bed, name, gpus=gpus, labels=labels, annotations=annotations)
        self._gpus[name] = gpus

    def offers(self, node: str, product: str, count: int) -> None:
        """A ResourceSlice of whole GPUs, as NVIDIA's driver publishes them."""
        devices = [
            {
                "name": f"gpu-{at}",
                "attributes": {
                    "type": {"string": "gpu"},
                    "productName": {"string": product},
                    "uuid": {"string": f"GPU-{node}-{at}"},
                    "cudaComputeCapability": {"version": "9.0.0"},
                },
                "capacity": {"memory": {"value": "80Gi"}},
            }
            for at in range(count)
        ]
        self.bed.apply(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceSlice",
                "metadata": {"name": f"{node}-gpus"},
                "spec": {
                    "driver": "gpu.nvidia.com",
                    "nodeName": node,
                    "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
                    "devices": devices,
                },
            }
        )
        self._slices.append(f"{node}-gpus")
        self._gpus[node] = count

    def template(self, name: str, *alternatives: tuple[str, int]) -> None:
        """A claim template: products, each with a count, the first that fits."""
        wanted = [
            {
                "name": f"a{at}",
                "deviceClassName": "gpu.placed.test",
                "count": count,
                "selectors": [{"cel": {"expression": _is(product)}}],
            }
            for at, (product, count) in enumerate(alternatives)
        ]
        spec = {"devices": {"requests": [{"name": "gpus", "firstAvailable": wanted}]}}
        self.bed.apply(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceClaimTemplate",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"spec": spec},
            }
        )

    # -- pods ------------------------------------------------------------------------------------

    def pod(
        self, name: str, *, pool: str, gpus: int = 0, template: str | None = None,
        on: str | None = None, **metadata: Any,
    ) -> None:  # fmt: skip
        """A pod that comes when the extender, where it runs, knows of all before it."""
        if self.extender is not None and self.extender.runs:
            address = f"127.0.0.1:{self._http_port}"
            self.bed.wait(
                lambda: is_up_to_date(self.bed, address, NAMESPACE, self._gpus),
                "the extender to follow",
            )
        selector = {"pool": pool} if on is None else {"kubernetes.io/hostname": on}
        container: dict[str, Any] = {"name": "engine", "image": "engine", "resources": {}}
        spec: dict[str, Any] = {
            "schedulerName": "foresail",
            "nodeSelector": selector,
            "containers": [container],
            "terminationGracePeriodSeconds": 0,
        }
        if gpus:
            container["resources"] = {"limits": {"nvidia.com/gpu": str(gpus)}}
        if template is not None:
            spec["resourceClaims"] = [{"name": "gpus", "resourceClaimTemplateName": template}]
            container["resources"] = {"claims": [{"name": "gpus"}]}
        self.bed.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": NAMESPACE, **copy.deepcopy(metadata)},
                "spec": spec,
            }
        )
        self._pods.append(name)

    def read(self, pod: str) -> dict[str, Any]:
        return self.bed.read(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}")

    def bound(self, pod: str) -> str:
        """The node of a pod, once it has one."""
        self.bed.wait(lambda: self.read(pod)["spec"].get("nodeName"), f"{pod} bound")
        return str(self.read(pod)["spec"]["nodeName"])

    def given(self, pod: str) -> list[str]:
        """The devices that a bound pod's claim was given."""
        (status,) = self.read(pod)["status"]["resourceClaimStatuses"]
        path = f"/apis/resource.k8s.io/v1/namespaces/{NAMESPACE}/resourceclaims"
        claim = self.bed.read(f"{path}/{status['resourceClaimName']}")
        return [one["device"] for one in claim["status"]["allocation"]["devices"]["results"]]

    def why_pending(self, pod: str) -> str:
        conditions = self.read(pod)["status"].get("conditions") or []
        return " ".join(one.get("message", "") for one in conditions)

    def clear(self) -> None:
        """Away with all that a test made."""
        if self._pods:
            self.bed.kubectl("delete", "pod", "-n", NAMESPACE, *self._pods)
        claims = f"/apis/resource.k8s.io/v1/namespaces/{NAMESPACE}/resourceclaims"
        self.bed.wait(lambda: not self.bed.read(claims)["items"], "no claims left")
        if self._slices:
            self.bed.kubectl("delete", "resourceslice", *self._slices)
        if self._gpus:
            self.bed.kubectl("delete", "node", *self._gpus)
        self._pods, self._gpus, self._slices = [], {}, []


def _is(product: str) -> str:
    domain = "device.attributes['gpu.nvidia.com']"
    return f"has({domain}.productName) && {domain}.productName == '{product}'"


@pytest.fixture(scope="module")
def cluster(bed: Bed) -> Iterator[Placing]:
    made = Placing(bed)
    made.begin()
    yield made
    made.end()


@pytest.fixture
def placing(cluster: Placing) -> Iterator[Placing]:
    yield cluster
    cluster.clear()


def test_the_claims_first_generation_is_taken_while_there_is_any(placing: Placing) -> None:
    for name, product in (("l40s-1", L40S), ("h100-1", H100), ("h100-2", H100)):
        placing.node(name, pool="mixed", product=product)
        placing.offers(name, product, 2)
    placing.template("cheap", (L40S, 2), (H100, 1))
    nodes = []
    for name in ("first", "second", "third"):
        placing.pod(name, pool="mixed", template="cheap")
        nodes.append(placing.bound(name))
    # Two L40S are one node's; the next two pods take one H100 each, and leave the other node whole.
    assert nodes[0] == "l40s-1"
    assert nodes[1].startswith("h100-")
    assert nodes[2] == nodes[1]
    assert placing.given("third") == ["gpu-1"]


def test_a_pair_stays_whole_where_the_first_devices_would_split_it(placing: Placing) -> None:
    for name in ("pairs-1", "pairs-2"):
        placing.node(name, pool="pairs", product=A100, islands=(0, 0, 1, 1))
        placing.offers(name, A100, 4)
    placing.template("one", (A100, 1))
    placing.template("two", (A100, 2))
    placing.pod("single", pool="pairs", template="one", on="pairs-1")
    assert placing.bound("single") == "pairs-1"
    # The used node is the fuller one, but would give devices 1 and 2 of two different pairs.
    placing.pod("double", pool="pairs", template="two")
    assert placing.bound("double") == "pairs-2"
    assert placing.given("double") == ["gpu-0", "gpu-1"]
    # The odd device left of the broken pair goes before another pair is broken.
    placing.pod("odd", pool="pairs", template="one")
    assert (placing.bound("odd"), placing.given("odd")) == ("pairs-1", ["gpu-1"])


def test_without_dra_pods_fill_the_begun_node_and_leave_the_whole_one(placing: Placing) -> None:
    for name in ("plugged-1", "plugged-2", "plugged-3"):
        placing.node(name, pool="plugged", gpus=8)
    placing.pod("begun", pool="plugged", gpus=4, on="plugged-2")
    assert placing.bound("begun") == "plugged-2"
    for at in range(4):
        placing.pod(f"small-{at}", pool="plugged", gpus=1)
        assert placing.bound(f"small-{at}") == "plugged-2"
    for at in range(2):
        placing.pod(f"wide-{at}", pool="plugged", gpus=8)
    assert {placing.bound("wide-0"), placing.bound("wide-1")} == {"plugged-1", "plugged-3"}


def test_a_gang_of_four_is_placed_whole_in_one_clique_or_not_begun(placing: Placing) -> None:
    for clique, count in (("a", 3), ("b", 4), ("c", 6)):
        for at in range(count):
            placing.node(f"rack-{clique}{at}", pool="racks", gpus=4, clique=f"fabric.{clique}")

    def gang(name: str, size: int) -> list[str]:
        for at in range(size):
            placing.pod(
                f"{name}-{at}", pool="racks", gpus=4,
                labels={"leaderworkerset.sigs.k8s.io/name": name,
                        "leaderworkerset.sigs.k8s.io/group-index": "0"},
                annotations={"leaderworkerset.sigs.k8s.io/size": str(size)},
            )  # fmt: skip
        return [f"{name}-{at}" for at in range(size)]

    # Clique a is too small for it, and c the roomier one.
    nodes = {placing.bound(name) for name in gang("four", 4)}
    assert nodes == {f"rack-b{at}" for at in range(4)}
    # Nine nodes are left in a and c; of ten members none is begun.
    members = gang("ten", 10)
    for name, why in ((members[-1], "that group"), (members[0], "room for 9 of the 10 pods")):
        placing.bed.wait(lambda name=name, why=why: why in placing.why_pending(name), why)  # type: ignore[misc]
    assert [placing.read(name)["spec"].get("nodeName") for name in members] == [None] * 10


def test_pods_are_bound_while_the_extender_is_away(placing: Placing, observed: Observe) -> None:
    assert placing.extender is not None
    placing.node("alone", pool="away", gpus=8)
    placing.node("other", pool="away", gpus=8)
    placing.extender.kill()
    begun = monotonic()
    placing.pod("without", pool="away", gpus=1)
    first = placing.bound("without")
    seconds = monotonic() - begun
    placing.start_extender()
    # What was bound meanwhile counts: the begun node is filled first.
    placing.pod("with", pool="away", gpus=1)
    second = placing.bound("with")
    observed(
        f"a pod is bound {seconds:.1f} s after it comes; then the begun node is filled first: "
        f"{'yes' if second == first else 'no'}",
        lost=int(second != first),
    )
    assert second == first


def test_the_extenders_account_may_bind_nothing_and_evict_nobody(placing: Placing) -> None:
    def may(verb: str, what: str, *more: str) -> bool:
        try:
            told = placing.bed.kubectl("auth", "can-i", verb, what, "-A", f"--as={USER}", *more)
        except RuntimeError:  # kubectl ends with 1 where the answer is no
            return False
        return told.strip() == "yes"

    assert may("list", "pods")
    assert may("watch", "resourceslices.resource.k8s.io")
    for verb, what in (
        ("create", "pods/binding"),
        ("delete", "pods"),
        ("get", "secrets"),
        ("patch", "nodes"),
        ("create", "resourceclaimtemplates.resource.k8s.io"),
    ):
        assert not may(verb, what), (verb, what)


def test_a_pod_that_asks_for_it_gets_an_event_that_says_why_it_is_there(placing: Placing) -> None:
    for name in ("told-1", "told-2"):
        placing.node(name, pool="told", gpus=8)
    placing.pod("told", pool="told", gpus=1, annotations={"foresail.io/explain": "event"})
    node = placing.bound("told")

    def notes() -> list[str]:
        path = f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events"
        return [
            event["note"]
            for event in placing.bed.read(path)["items"]
            if (event["reason"], event["regarding"]["name"]) == ("PlacementExplained", "told")
        ]

    placing.bed.wait(notes, "the Event")
    assert notes()[0].startswith(f"2 of 2 nodes can take it; best is {node}: ")
    page = placing.page(f"/explain/pods/{NAMESPACE}/told")
    assert page.startswith(f"{NAMESPACE}/told: 2 of 2 nodes can take it, answered ")
    assert "expected_pods" in page
