"""Install, upgrade, roll back and uninstall: what changes, what stays, and what still costs."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest
import requests

from bench._faults_row import Observe
from fleet.annotations import DO_NOT_DISRUPT, KEPT_BECAUSE, KEPT_UNTIL, PLACEHOLDER
from policies.levers.marks import MANAGED_BY, OURS, POOL, lease_marks
from policies.levers.objects import PRIORITY_CLASS
from tests.e2e import kubernetes
from tests.e2e.bed import Bed
from tests.e2e.chart.helm import CHART, RELEASE, Helm, name_of, objects_of, of_kind
from tests.e2e.chart.hooks import DELAYED, withdrawn_for_real

pytestmark = pytest.mark.looptime(False)  # processes live in real time

CHART_MADE = str(CHART / "ci" / "chart-certificates.yaml")
ON = ("-n", RELEASE, "-f", CHART_MADE, *DELAYED)
ACT = ("--set", "controller.mode=act")
NODE = "chart-gpus"
HELD = "placeholder"


def secret(bed: Bed, name: str, namespace: str = RELEASE) -> dict[str, bytes]:
    data = bed.read(f"/api/v1/namespaces/{namespace}/secrets/{name}")["data"]
    return {key: base64.b64decode(one) for key, one in data.items()}


def image(bed: Bed) -> str:
    found = bed.read(f"/apis/apps/v1/namespaces/{RELEASE}/deployments/foresail")
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def left_of_the_release(bed: Bed, manifest: str) -> list[str]:
    """Objects of a manifest that are still there."""
    told = bed.kubectl("get", "-f", "-", "--ignore-not-found", "-o", "name", text=manifest)
    return told.split()


def test_what_is_installed_is_what_was_rendered(chart_bed: Bed, installing: Helm) -> None:
    told = installing("install", RELEASE, str(CHART), *ON)
    assert "mode advise: it writes Events, and changes nothing" in " ".join(told.split())
    manifest = installing("get", "manifest", RELEASE, "-n", RELEASE)
    found = left_of_the_release(chart_bed, manifest)
    assert len(found) == len(objects_of(manifest)) > 50
    # Pods come of every Deployment: nothing that they name is missing for the API server.
    for one in of_kind(objects_of(manifest), "Deployment"):
        name = one["metadata"]["name"]
        path = f"/apis/apps/v1/namespaces/{RELEASE}/deployments/{name}"
        chart_bed.wait(
            lambda path=path: chart_bed.read(path)["status"].get("readyReplicas") == 2, name
        )


def test_certificates_outlive_an_upgrade_until_they_are_to_be_changed(
    chart_bed: Bed, installing: Helm
) -> None:
    installing("install", RELEASE, str(CHART), *ON)
    names = ("ca", "server", "plans-client", "webhook", "apiserver")

    def files() -> dict[str, bytes]:
        found = {name: secret(chart_bed, f"foresail-{name}")["tls.crt"] for name in names}
        return {**found, "keda": secret(chart_bed, "foresail-keda-client", "keda")["tls.crt"]}

    first = files()
    installing("upgrade", RELEASE, str(CHART), *ON, "--set", "image.tag=v2")
    assert files() == first
    assert image(chart_bed).endswith(":v2")
    # By hand, or because their end is near.
    renewed = []
    for more in (
        "certificates.rotation=2",
        "certificates.rotation=2,certificates.days=500,certificates.renewBeforeDays=398",
    ):
        installing("upgrade", RELEASE, str(CHART), *ON, "--set", more)
        renewed.append(files())
    for before, after in zip((first, renewed[0]), renewed, strict=True):
        assert {name for name in after if before[name] == after[name]} == {"ca"}
    # A new authority: the old one's certificates are still taken.
    authority = first["ca"]
    installing("upgrade", RELEASE, str(CHART), *ON, "--set", "certificates.authorityRotation=2")
    server = secret(chart_bed, "foresail-server")
    assert files()["ca"] != authority
    assert server["ca.crt"] == files()["ca"] + authority


def test_a_rollback_brings_the_former_version_back(chart_bed: Bed, installing: Helm) -> None:
    installing("install", RELEASE, str(CHART), *ON, *ACT)
    installing("upgrade", RELEASE, str(CHART), *ON, *ACT, "--set", "image.tag=v2")
    assert image(chart_bed).endswith(":v2")
    installing("rollback", RELEASE, "1", "-n", RELEASE)
    assert image(chart_bed).endswith(":0.1.0")


def is_ready(pod: dict[str, Any]) -> bool:
    found = {one["type"]: one["status"] for one in pod["status"].get("conditions", ())}
    return found.get("Ready") == "True"


def test_a_drain_of_both_servers_takes_one_at_a_time(
    chart_bed: Bed, installing: Helm, observed: Observe
) -> None:
    installing("install", RELEASE, str(CHART), *ON)
    path = f"/api/v1/namespaces/{RELEASE}/pods"

    def servers() -> set[str]:
        selector = "?labelSelector=app.kubernetes.io/component=serve"
        return {
            pod["metadata"]["name"]
            for pod in chart_bed.read(path + selector)["items"]
            if "deletionTimestamp" not in pod["metadata"] and is_ready(pod)
        }

    def evicted(name: str) -> bool:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        try:
            chart_bed.send("POST", f"{path}/{name}/eviction", body)
        except requests.HTTPError as error:
            if error.response.status_code != HTTPStatus.TOO_MANY_REQUESTS:
                raise
            return False
        return True

    def both() -> bool:
        return len(servers()) == 2

    chart_bed.wait(both, "two servers")
    nodes = [one["metadata"]["name"] for one in chart_bed.read("/api/v1/nodes")["items"]]
    # As `kubectl drain` does it; here a successor has no node until it is over.
    chart_bed.kubectl("cordon", *nodes)
    try:
        first, other = sorted(servers())
        chart_bed.wait(lambda: evicted(first), "a budget that allows one")
        refused = not evicted(other)
    finally:
        chart_bed.kubectl("uncordon", *nodes)
    chart_bed.wait(both, "its successor")
    assert refused
    chart_bed.wait(lambda: evicted(other), "the other to go")
    observed(
        f"the second eviction is refused: {'yes' if refused else 'no'}; it is allowed when the "
        "first one's successor is ready",
        lost=int(not refused),
    )


@pytest.fixture
def written(chart_bed: Bed) -> Iterator[None]:
    """What a controller has written: a hold of an hour on a node, a placeholder and its class."""
    kubernetes.add_node(chart_bed, NODE, gpus=8)
    until = (datetime.now(UTC) + timedelta(hours=1)).timestamp()  # noqa: TID251 - of a lease
    marks = dict(lease_marks("warm floor", until))
    labels = {MANAGED_BY: OURS, POOL: "h100"}
    pod = {"containers": [{"name": "c", "image": "registry.example/vllm:1"}]}
    chosen = {PLACEHOLDER: "h100"}
    documents: list[dict[str, Any]] = [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": NODE, "annotations": {DO_NOT_DISRUPT: "true", **marks}},
        },
        {
            "apiVersion": PRIORITY_CLASS.api_version,
            "kind": PRIORITY_CLASS.kind,
            "metadata": {"name": PRIORITY_CLASS.name, "labels": {MANAGED_BY: OURS},
                         "annotations": marks},
            "value": -10,
            "preemptionPolicy": "Never",
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": HELD, "namespace": RELEASE, "labels": labels,
                         "annotations": marks},
            "spec": {"replicas": 2, "selector": {"matchLabels": chosen},
                     "template": {"metadata": {"labels": {**labels, **chosen}}, "spec": pod}},
        },
    ]  # fmt: skip
    for one in documents:
        chart_bed.kubectl(
            "apply", "--server-side", "--field-manager=foresail", "-f", "-",
            text=json.dumps(one),
        )  # fmt: skip
    yield
    chart_bed.kubectl("delete", "node", NODE)


def costs(bed: Bed) -> list[str]:
    """What keeps a node that nobody uses."""
    annotations = bed.read(f"/api/v1/nodes/{NODE}")["metadata"].get("annotations", {})
    found = [f"{NODE}: {key}" for key in annotations if key == DO_NOT_DISRUPT or "foresail" in key]
    for kind in ("deployments", "priorityclasses"):
        told = bed.kubectl("get", kind, "-A", "-l", f"{MANAGED_BY}={OURS}", "-o", "name")
        found += told.split()
    return found


@pytest.mark.usefixtures("written")
def test_after_an_uninstall_nothing_of_ours_costs_money(chart_bed: Bed, installing: Helm) -> None:
    installing("install", RELEASE, str(CHART), *ON, *ACT)
    manifest = installing("get", "manifest", RELEASE, "-n", RELEASE)
    assert len(costs(chart_bed)) == 5
    with withdrawn_for_real(chart_bed):
        installing("uninstall", RELEASE, "-n", RELEASE, "--timeout", "4m")
    assert costs(chart_bed) == []
    # The definition stays, and the policies of the cluster's owner with it.
    assert left_of_the_release(chart_bed, manifest) == [
        "customresourcedefinition.apiextensions.k8s.io/capacitypolicies.foresail.io"
    ]
    hooks = "serviceaccount,role,rolebinding,clusterrole,clusterrolebinding,job"
    instance = f"app.kubernetes.io/instance={RELEASE}"
    chart_bed.wait(
        lambda: chart_bed.kubectl("get", hooks, "-A", "-l", instance, "-o", "name") == "",
        "the hook's objects to be gone",
    )


@pytest.mark.parametrize(
    "taken",
    [
        pytest.param((), id="mode-act"),
        pytest.param(("--set", "controller.enabled=false"), id="the-controller"),
    ],
)
@pytest.mark.usefixtures("written")
def test_rights_that_an_upgrade_takes_away_leave_nothing_behind(
    chart_bed: Bed, installing: Helm, taken: tuple[str, ...]
) -> None:
    installing("install", RELEASE, str(CHART), *ON, *ACT)
    with withdrawn_for_real(chart_bed):
        installing("upgrade", RELEASE, str(CHART), *ON, *taken, "--timeout", "4m")
    assert costs(chart_bed) == []
    roles = chart_bed.kubectl("get", "clusterrole", "-o", "name")
    assert "foresail-controller-act" not in roles
    assert "foresail-withdraw" not in roles


@pytest.mark.usefixtures("written")
def test_a_lever_that_an_upgrade_takes_away_leaves_nothing_behind(
    chart_bed: Bed, installing: Helm
) -> None:
    installing("install", RELEASE, str(CHART), *ON, *ACT)
    off = ("--set", "controller.levers.placeholder=false")
    with withdrawn_for_real(chart_bed):
        installing("upgrade", RELEASE, str(CHART), *ON, *ACT, *off, "--timeout", "4m")
    # What the other levers wrote is the controller's, whose rights stay.
    assert set(costs(chart_bed)) == {
        f"{NODE}: {key}" for key in (DO_NOT_DISRUPT, KEPT_BECAUSE, KEPT_UNTIL)
    }
    assert "foresail-withdraw" not in chart_bed.kubectl("get", "clusterrole", "-o", "name")


@pytest.mark.usefixtures("written")
def test_rights_that_a_rollback_takes_away_leave_nothing_behind(
    chart_bed: Bed, installing: Helm
) -> None:
    installing("install", RELEASE, str(CHART), *ON)
    installing("upgrade", RELEASE, str(CHART), *ON, *ACT)
    with withdrawn_for_real(chart_bed):
        installing("rollback", RELEASE, "1", "-n", RELEASE, "--timeout", "4m")
    assert costs(chart_bed) == []
    assert "foresail-controller-act" not in chart_bed.kubectl("get", "clusterrole", "-o", "name")


def test_an_upgrade_that_takes_nothing_away_runs_no_hook(chart_bed: Bed, installing: Helm) -> None:
    installing("install", RELEASE, str(CHART), *ON)
    installing("upgrade", RELEASE, str(CHART), *ON, "--set", "image.tag=v2")
    hooks = objects_of(installing("get", "hooks", RELEASE, "-n", RELEASE))
    (job,) = of_kind(hooks, "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-delete,post-rollback"
    assert name_of(job) == f"Job {RELEASE}/foresail-withdraw"
