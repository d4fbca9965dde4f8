"""A pod with a need, in a real cluster: claim by our webhook, devices by the real scheduler."""

import dataclasses
from collections.abc import Iterator
from time import monotonic  # noqa: TID251 - processes live in real time
from typing import Any

import pytest
import requests
import yaml
from click.testing import CliRunner

from bench._faults_row import Observe
from fleet.cluster.claims import claim_of as record_of
from fleet.cluster.devices import slice_of
from foresail.cli import main
from scheduler.admission import CLAIM, GivenBy
from scheduler.claim_template import owned_template
from scheduler.devices import allocatable, offered
from scheduler.first_fit import first_fit
from scheduler.resource_claim import claim_of
from scheduler.webhook import PATH
from tests.deploy.examples import documents_of
from tests.e2e import kubernetes
from tests.e2e.bed import Bed
from tests.e2e.claims_webhook import USER, WebhookServer, make
from tests.scheduler import slices
from tests.scheduler.reviews import review

pytestmark = pytest.mark.looptime(False)  # processes live in real time

NAMESPACE = "claims"
NEED = {
    "foresail.io/model-parameters": "70B",
    "foresail.io/precision": "fp8",
    "foresail.io/tensor-parallel": "2",
}
CLASSES = {
    # As the drivers' charts have them: without a guard.
    "gpu.nvidia.com": "device.driver == 'gpu.nvidia.com'"
    " && device.attributes['gpu.nvidia.com'].type == 'gpu'",
    "gpu.amd.com": "device.driver == 'gpu.amd.com'",
}
MIXED = slices.resource_slice(
    "mixed",
    *(slices.nvidia(at, *slices.T4) for at in range(2)),
    *(slices.nvidia(at, *slices.L40S) for at in range(2, 7)),
    *(slices.nvidia(at, *slices.H100) for at in range(7, 9)),
)
PLAIN = {**slices.RECORDED, "mixed": MIXED}
# A device without a type trips the class of the driver's own chart, whatever a claim says.
ODD = {name: one for name, one in slices.ODD.items() if name != "bare"}


@pytest.fixture(scope="module")
def cluster(bed: Bed) -> Iterator[Bed]:
    """Nodes of every generation, and some whose slices are odd."""
    bed.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    bed.apply(*map(_device_class, CLASSES))
    offered = [*ODD.values(), *PLAIN.values()]
    nodes = sorted({one["spec"]["nodeName"] for one in offered})
    for name in nodes:
        kubernetes.add_node(bed, name, labels={"pool": "claims"})
    bed.apply(*offered)
    # The scheduler hears of them in this order.
    bed.apply(_printed("--gpu-memory", "10Gi", "--gpu-models", "t4", "--name", "last"))
    bed.apply(_of_template("last", "last", nodeSelector={"kubernetes.io/hostname": "mixed"}))
    _given(bed, "last")
    _forget(bed, "last")
    yield bed
    bed.kubectl("delete", "namespace", NAMESPACE, "--timeout=600s")
    bed.kubectl("delete", "node", *nodes)
    bed.kubectl("delete", "resourceslice", *(one["metadata"]["name"] for one in offered))
    bed.kubectl("delete", "deviceclass", *CLASSES)


@pytest.fixture(autouse=True)
def tidy(cluster: Bed) -> Iterator[None]:
    """Nothing of a test is left, also of one that failed: its devices are free."""
    yield
    made = "deployment,pod,resourceclaimtemplate"
    cluster.kubectl("delete", made, "--all", "-n", NAMESPACE)
    left = ("get", "replicaset,pod,resourceclaim", "-n", NAMESPACE, "-o", "name")
    cluster.wait(lambda: not cluster.kubectl(*left).strip(), "nothing left")


def _device_class(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": name},
        "spec": {"selectors": [{"cel": {"expression": CLASSES[name]}}]},
    }


@pytest.fixture(scope="module")
def webhook(cluster: Bed, request: pytest.FixtureRequest) -> Iterator[WebhookServer]:
    """Our webhook, with the rights and the rules of the example; it stays for the next test."""
    with WebhookServer(cluster, getattr(request, "param", GivenBy.DRA)) as server:
        cluster.wait(lambda: _is_asked(cluster), "the webhook is asked")
        yield server


def _is_asked(bed: Bed) -> bool:
    """The API server learns of a webhook a moment after its configuration."""
    text = yaml.safe_dump(_pod("probe", NEED))
    made = bed.kubectl("create", "--dry-run=server", "-f", "-", "-o", "yaml", text=text)
    return CLAIM in yaml.safe_load(made)["metadata"]["annotations"]


def _pod(name: str, annotations: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": annotations},
        "spec": {
            "nodeSelector": {"pool": "claims"},
            "containers": [{"name": "engine", "image": "engine"}],
            "terminationGracePeriodSeconds": 0,
            **spec,
        },
    }


def _of_template(name: str, template: str, **spec: Any) -> dict[str, Any]:
    pod = _pod(name, {}, **spec)
    pod["spec"]["resourceClaims"] = [{"name": "gpus", "resourceClaimTemplateName": template}]
    pod["spec"]["containers"][0]["resources"] = {"claims": [{"name": "gpus"}]}
    return pod


def _printed(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["claim", "--namespace", NAMESPACE, *arguments])
    assert result.exit_code == 0, result.output
    made: dict[str, Any] = yaml.safe_load(result.output)
    return made


def _given(bed: Bed, pod: str, *, namespace: str = NAMESPACE) -> tuple[str, list[str]]:
    """The alternative and the devices that the scheduler gave a pod, once it is bound."""
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
    bed.wait(lambda: bed.read(path)["spec"].get("nodeName"), f"pod {pod} bound")
    (status,) = bed.read(path)["status"]["resourceClaimStatuses"]
    claims = f"/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims"
    claim = bed.read(f"{claims}/{status['resourceClaimName']}")
    results = claim["status"]["allocation"]["devices"]["results"]
    (request,) = {one["request"] for one in results}
    return request, [f"{one['pool']}/{one['device']}" for one in results]


def _forget(bed: Bed, *pods: str) -> None:
    """Away with the pods, and with their claims: devices are free when this returns."""
    bed.kubectl("delete", "pod", "-n", NAMESPACE, *pods)
    claims = f"/apis/resource.k8s.io/v1/namespaces/{NAMESPACE}/resourceclaims"
    bed.wait(lambda: not bed.read(claims)["items"], "no claims left")


def test_a_printed_template_is_taken_and_the_best_generation_given(cluster: Bed) -> None:
    cluster.apply(_printed("--model-parameters", "70B", "--precision", "fp8", "--name", "seventy"))
    cluster.apply(_of_template("first", "seventy"))
    # B300 and B200 are not there; two H200 are the next cheapest for a token.
    assert _given(cluster, "first") == ("gpus/h200-sxm", ["h200/gpu-0", "h200/gpu-1"])


def test_a_change_of_prices_changes_the_generation(cluster: Bed, tmp_path: Any) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("l40s: 0.1\n")
    need = ("--model-parameters", "70B", "--precision", "fp8", "--prices", str(prices))
    cluster.apply(_printed(*need, "--name", "cheap"))
    cluster.apply(_of_template("cheap", "cheap"))
    request, devices = _given(cluster, "cheap")
    assert (request, len(devices)) == ("gpus/l40s", 4)


def test_amd_and_a_list_with_both_vendors_are_taken(cluster: Bed) -> None:
    need = ("--gpu-memory", "170Gi", "--tensor-parallel", "1", "--gpu-vendors", "nvidia|amd")
    cluster.apply(_printed(*need, "--memory-margin", "0", "--name", "large"))
    cluster.apply(_of_template("large", "large"))
    assert _given(cluster, "large") == ("gpus/mi300x", ["mi300x/gpu-0-128"])


def test_no_odd_slice_stops_a_pod_and_none_is_given(cluster: Bed) -> None:
    """Each odd node alone, for the one generation that it pretends to have."""
    cluster.apply(
        _printed("--gpu-memory", "100Gi", "--gpu-models", "h200-sxm|mi300x", "--name", "odd")
    )
    for name, one in ODD.items():
        node = one["spec"]["nodeName"]
        cluster.apply(
            _of_template(f"odd-{name}", "odd", nodeSelector={"kubernetes.io/hostname": node})
        )
    why = "cannot allocate all claims"
    for name in ODD:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/odd-{name}"
        cluster.wait(lambda path=path: why in _unschedulable(cluster, path), f"odd-{name}: {why}")
        # A selector that fails would be told here, and would stop the pod on every node.
        assert "CEL" not in _unschedulable(cluster, path)


@pytest.fixture
def nvidia_only(cluster: Bed) -> Iterator[Bed]:
    """The same cluster as most are: without AMD's DeviceClass."""
    cluster.kubectl("delete", "deviceclass", "gpu.amd.com")
    yield cluster
    cluster.apply(_device_class("gpu.amd.com"))


def test_a_claim_made_with_defaults_schedules_where_only_nvidias_driver_is(
    nvidia_only: Bed,
) -> None:
    nvidia_only.apply(_printed("--model-parameters", "405B", "--name", "defaults"))
    nvidia_only.apply(_of_template("defaults", "defaults"))
    request, devices = _given(nvidia_only, "defaults")
    assert (request, len(devices)) == ("gpus/h200-sxm", 8)


def test_classes_that_the_cluster_does_not_have_stop_a_pod_and_context_leaves_them_out(
    nvidia_only: Bed,
) -> None:
    need = ("--model-parameters", "405B", "--gpu-vendors", "nvidia|amd")
    at = ("--context", "bed", "--kubeconfig", str(nvidia_only.kubeconfig("admin")))
    nvidia_only.apply(_printed(*need, "--name", "blind"), _printed(*need, *at, "--name", "seeing"))
    why = "device class gpu.amd.com does not exist"
    nvidia_only.wait(lambda: why in _stopped(nvidia_only, "blind", "blind"), why)
    nvidia_only.apply(_of_template("seeing", "seeing"))
    assert _given(nvidia_only, "seeing")[0] == "gpus/h200-sxm"


def test_the_webhook_offers_no_class_that_does_not_exist(
    nvidia_only: Bed, webhook: WebhookServer
) -> None:
    need = {"foresail.io/model-parameters": "405B", "foresail.io/gpu-vendors": "nvidia|amd"}
    amd = yaml.safe_dump(_pod("amd", {**need, "foresail.io/gpu-vendors": "amd"}))

    def refusal() -> str:
        try:
            nvidia_only.kubectl("create", "--dry-run=server", "-f", "-", text=amd)
        except RuntimeError as error:
            return str(error)
        return ""

    # The webhook hears of a class that is gone a moment later.
    gone = "the cluster has no DeviceClass gpu.amd.com"
    nvidia_only.wait(lambda: gone in refusal(), gone)
    make(nvidia_only, _pod("both", need))
    assert _given(nvidia_only, "both")[0] == "gpus/h200-sxm"


def _unschedulable(bed: Bed, path: str) -> str:
    for one in bed.read(path)["status"].get("conditions") or []:
        if one["type"] == "PodScheduled" and one["status"] == "False":
            return str(one.get("message", ""))
    return ""


def _stopped(bed: Bed, pod: str, template: str) -> str:
    """Why a pod gets no node; one that got it, of a scheduler that is behind, is made again."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}"
    bed.apply(_of_template(pod, template))
    if bed.read(path)["spec"].get("nodeName"):
        _forget(bed, pod)
        return ""
    return _unschedulable(bed, path)


def test_devices_are_given_as_predicted_until_the_node_is_full(cluster: Bed) -> None:
    """One pod after the other on the mixed node, for three needs in turn."""
    needs = {
        "small": ("--gpu-memory", "10Gi", "--gpu-models", "t4|l40s"),
        "pair": ("--gpu-memory", "70Gi", "--gpu-models", "l40s|h100-sxm"),
        "root": ("--gpu-memory", "70Gi", "--gpu-models", "l40s", "--same-pcie-root", "true"),
    }
    specs = {}
    for name, need in needs.items():
        made = _printed(*need, "--name", name)
        cluster.apply(made)
        specs[name] = made["spec"]["spec"]
    taken: set[str] = set()
    for at, name in enumerate(["small", "root", "pair", "small", "small", "pair"]):
        free = [
            dataclasses.replace(one, is_free=one.name not in taken)
            for one in map(allocatable, offered([slice_of(MIXED)]))
        ]
        claim = claim_of(
            record_of({"metadata": {"name": "c"}, "spec": specs[name]}), slices.CLASSES
        )
        expected = first_fit(free, claim.requests, claim.constraints)
        pod = f"fill-{at}"
        cluster.apply(_of_template(pod, name, nodeSelector={"kubernetes.io/hostname": "mixed"}))
        if expected is None:
            path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}"
            cluster.wait(lambda path=path: _unschedulable(cluster, path), pod)
        else:
            request, devices = _given(cluster, pod)
            assert request == f"gpus/{expected[0].alternative}"
            assert devices == [f"mixed/{one.device.name}" for one in expected]
            taken |= {one.device.name for one in expected}
    assert len(taken) >= 7


def test_a_deployment_with_a_need_gets_claims_and_leaves_nothing(
    cluster: Bed, webhook: WebhookServer
) -> None:
    (deployment,) = documents_of("claims-workload.yaml")
    deployment["metadata"]["namespace"] = NAMESPACE
    deployment["spec"]["replicas"] = 2
    spec = deployment["spec"]["template"]["spec"]
    spec["nodeSelector"] = {"pool": "claims"}
    cluster.apply(deployment)
    pods = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app%3Dllama-70b"
    cluster.wait(lambda: len(cluster.read(pods)["items"]) == 2, "two pods")
    names = [one["metadata"]["name"] for one in cluster.read(pods)["items"]]
    for name in names:
        request, devices = _given(cluster, name)
        # The second goes to another node than the first: ReplicaSets are spread.
        assert (request, len(devices)) in {("gpus/h200-sxm", 2), ("gpus/h100-sxm", 4)}
    (template,) = _templates(cluster)
    assert template["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"
    (manager,) = template["metadata"]["managedFields"]
    assert (manager["manager"], manager["operation"]) == ("foresail", "Apply")
    cluster.kubectl("delete", "deployment", "-n", NAMESPACE, "llama-70b")
    cluster.wait(lambda: not _templates(cluster), "the template goes with its owner")


def _templates(bed: Bed) -> list[dict[str, Any]]:
    path = f"/apis/resource.k8s.io/v1/namespaces/{NAMESPACE}/resourceclaimtemplates"
    query = "labelSelector=app.kubernetes.io%2Fmanaged-by%3Dforesail"
    found: list[dict[str, Any]] = bed.read(f"{path}?{query}")["items"]
    return found


def test_a_dry_run_is_patched_and_makes_nothing(cluster: Bed, webhook: WebhookServer) -> None:
    before = len(_templates(cluster))
    text = yaml.safe_dump(_pod("dry", {**NEED, "foresail.io/precision": "bf16"}))
    made = yaml.safe_load(
        cluster.kubectl("create", "--dry-run=server", "-f", "-", "-o", "yaml", text=text)
    )
    assert made["spec"]["resourceClaims"][0]["name"] == "foresail-gpus"
    assert len(_templates(cluster)) == before


def test_a_need_that_cannot_be_read_is_told_to_who_made_it(
    cluster: Bed, webhook: WebhookServer
) -> None:
    with pytest.raises(RuntimeError, match=r"foresail\.io/precision has the value 'int3'"):
        cluster.apply(_pod("wrong", {**NEED, "foresail.io/precision": "int3"}))


# The webhook alone decides over annotated pods, and over no others.


def test_without_a_webhook_annotated_pods_are_refused_and_all_others_admitted(
    cluster: Bed, webhook: WebhookServer
) -> None:
    webhook.program.kill()
    with pytest.raises(RuntimeError, match=r'failed calling webhook "claims\.foresail\.io"'):
        cluster.apply(_pod("needy", NEED))
    plain = _pod("plain", {"foresail.io/gpu-models": "l4", "example.com/other": "annotation"})
    cluster.apply(plain)
    path = f"/api/v1/namespaces/{NAMESPACE}/pods"
    names = {one["metadata"]["name"] for one in cluster.read(path)["items"]}
    assert "plain" in names
    assert "needy" not in names
    webhook.start()
    make(cluster, _pod("needy", NEED))
    assert CLAIM in cluster.read(f"{path}/needy")["metadata"]["annotations"]


def test_a_deployment_gets_its_pods_once_the_webhook_is_back(
    cluster: Bed, webhook: WebhookServer, observed: Observe
) -> None:
    webhook.program.kill()
    (deployment,) = documents_of("claims-workload.yaml")
    deployment["metadata"] = {"name": "waits", "namespace": NAMESPACE}
    deployment["spec"]["template"]["spec"]["nodeSelector"] = {"pool": "claims"}
    cluster.apply(deployment)
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/waits"
    cluster.wait(lambda: "claims.foresail.io" in _replica_failure(cluster, path), "the reason")
    webhook.start()
    begun = monotonic()
    pods = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app%3Dllama-70b"
    cluster.wait(lambda: cluster.read(pods)["items"], "a pod", seconds=600)
    (pod,) = cluster.read(pods)["items"]
    claimed = CLAIM in pod["metadata"]["annotations"]
    observed(
        "the Deployment says why it has no pod; then its pod comes, with its claim",
        lost=int(not claimed),
        recovered_seconds=monotonic() - begun,
    )
    assert claimed
    cluster.kubectl("delete", "deployment", "-n", NAMESPACE, "waits")
    cluster.wait(lambda: not _templates(cluster), "the template goes with its owner")


def _replica_failure(bed: Bed, path: str) -> str:
    found = [
        one.get("message", "")
        for one in bed.read(path).get("status", {}).get("conditions") or ()
        if one["type"] == "ReplicaFailure"
    ]
    return " ".join(found)


def test_posts_that_the_api_server_did_not_send_make_no_template(
    cluster: Bed, webhook: WebhookServer
) -> None:
    url = f"https://127.0.0.1:{webhook.port}{PATH}"
    body = review(_pod("stranger", NEED), namespace="kube-system")
    own = (cluster.file("admin.crt"), cluster.file("admin.key"))
    with requests.Session() as session:
        session.trust_env = False
        session.verify = cluster.file("ca.crt")
        with pytest.raises(requests.ConnectionError):
            session.post(url, json=body, timeout=60)
        # Even the administrator's certificate, of the same authority, is not the API server's.
        assert session.post(url, json=body, cert=own, timeout=60).status_code == 403
    path = "/apis/resource.k8s.io/v1/namespaces/kube-system/resourceclaimtemplates"
    assert cluster.read(path)["items"] == []


def test_the_webhooks_account_may_write_its_own_templates_only(
    cluster: Bed, webhook: WebhookServer
) -> None:
    def refusal(namespace: str, name: str) -> str:
        made = owned_template({"devices": {"requests": []}}, namespace=namespace, owner=None)
        made["metadata"]["name"] = name
        try:
            cluster.kubectl(
                "create", "--dry-run=server", "-f", "-", "--as", USER, text=yaml.safe_dump(made)
            )
        except RuntimeError as error:
            return str(error)
        return ""

    # A policy is in force a moment after it was applied.
    cluster.wait(lambda: "own namespaces" in refusal("kube-system", "foresail-1"), "the policy")
    own = "named and labelled as its own"
    cluster.wait(lambda: own in refusal(NAMESPACE, "theirs"), "the policy of names")
    assert refusal(NAMESPACE, "foresail-1") == ""


@pytest.mark.parametrize("webhook", [GivenBy.DEVICE_PLUGIN], indirect=True)
def test_device_plugins_get_the_generation_by_its_label(
    cluster: Bed, webhook: WebhookServer
) -> None:
    room = {"a100": ("NVIDIA-A100-SXM4-80GB", "81920"), "l40s": ("NVIDIA-L40S", "46068")}
    for name, (product, memory) in room.items():
        kubernetes.add_node(
            cluster,
            f"plugged-{name}",
            gpus=8,
            labels={
                "pool": "claims",
                "nvidia.com/gpu.product": product,
                "nvidia.com/gpu.memory": memory,
            },
        )
    try:
        need = {"foresail.io/model-parameters": "32B", "foresail.io/gpu-models-preferred": "l40s"}
        make(cluster, _pod("plugged", need))
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/plugged"
        cluster.wait(lambda: cluster.read(path)["spec"].get("nodeName"), "plugged")
        pod = cluster.read(path)
        assert pod["spec"]["nodeName"] == "plugged-l40s"
        limits = pod["spec"]["containers"][0]["resources"]["limits"]
        assert limits == {"nvidia.com/gpu": "4"}
    finally:
        cluster.kubectl("delete", "pod", "-n", NAMESPACE, "plugged", "--ignore-not-found")
        cluster.kubectl("delete", "node", *(f"plugged-{name}" for name in room))
