"""What the cluster can do is asked for, and what nobody tells is not assumed."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes_asyncio.client import ApiClient, Configuration

from fleet.cluster.karpenter import node_claim_of, node_pool_of
from fleet.cluster.pods import pod_of
from fleet.cluster.reading import Cluster
from foresail.api.discovering import discover, made_elsewhere, made_objects
from policies.levers.discovery import Discovery, described
from scaler.errors import ForesailError
from tests.fleet.api_server import ApiServer
from tests.levers.rounds import BUFFER, DEPLOYMENT

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

BUFFERS = "/apis/autoscaling.x-k8s.io/v1beta1"
KARPENTER = "/apis/karpenter.sh/v1"
DEPLOYMENTS = "/apis/apps/v1/deployments"
NOTHING = Cluster(name="c")


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    one = ApiServer()
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[ApiClient]:
    api = ApiClient(Configuration(host=f"http://127.0.0.1:{server.port}"))
    yield api
    await api.close()


async def test_a_bare_cluster_has_none_of_it(client: ApiClient) -> None:
    assert await discover(client, NOTHING) == Discovery()


async def test_karpenter_with_all_of_it(client: ApiClient, server: ApiServer) -> None:
    server.documents[BUFFERS] = {"resources": [{"name": "capacitybuffers"}]}
    server.documents[KARPENTER] = {
        "resources": [{"name": "nodepools"}, {"name": "nodepools/scale"}]
    }
    labels = {"app.kubernetes.io/version": "1.14.1"}
    server.serve(DEPLOYMENTS, "Deployment", {"metadata": {"name": "karpenter", "labels": labels}})
    found = await discover(client, NOTHING)
    assert found == Discovery(capacity_buffers=True, pool_scale=True, karpenter_version="1.14.1")
    assert described(found)[:3] == (
        "Karpenter 1.14.1",
        "CapacityBuffer v1beta1 served: yes",
        "static NodePools: yes",
    )


async def test_an_older_karpenter_has_no_scale(client: ApiClient, server: ApiServer) -> None:
    server.documents[KARPENTER] = {"resources": [{"name": "nodepools"}]}
    assert await discover(client, NOTHING) == Discovery()


async def test_what_may_not_be_read_is_named(client: ApiClient, server: ApiServer) -> None:
    server.forbidden = {DEPLOYMENTS}
    (why,) = (await discover(client, NOTHING)).not_read
    assert why.startswith(f"{DEPLOYMENTS}: HTTP 403: not for you")


@pytest.mark.parametrize(
    ("message", "drivers", "known"),
    [
        pytest.param("0/3 nodes are available", {}, None, id="nothing-shows-it"),
        pytest.param(
            "pod has Dynamic Resource Allocation requirements that are not yet supported by "
            "Karpenter",
            {},
            False,
            id="refused",
        ),
        pytest.param(
            "-", {"karpenter.sh/requested-dra-drivers": "gpu.nvidia.com"}, True, id="bought"
        ),
    ],
)
async def test_nodes_for_claims_are_known_by_what_karpenter_did(
    client: ApiClient,
    server: ApiServer,
    message: str,
    drivers: dict[str, str],
    known: bool | None,
) -> None:
    server.serve("/api/v1/events", "Event", {"metadata": {"name": "e"}, "message": message})
    claiming = {"name": "gpu", "resourceClaimTemplateName": "one"}
    pod = pod_of({"metadata": {"name": "p"}, "spec": {"resourceClaims": [claiming]}})
    claim = node_claim_of({"metadata": {"name": "n", "annotations": drivers}})
    cluster = Cluster(name="c", pods=(pod,), node_claims=(claim,))
    assert (await discover(client, cluster)).orders_for_claims is known


@pytest.mark.parametrize(
    "annotations",
    [
        pytest.param({"karpenter.sh/managed-deletion-cost": "true"}, id="its-mark"),
        pytest.param({"controller.kubernetes.io/pod-deletion-cost": "3"}, id="its-field-manager"),
    ],
)
async def test_karpenters_own_ranking_of_pods_is_recognised(
    client: ApiClient, annotations: dict[str, str]
) -> None:
    owned = {f"f:{name}": {} for name in annotations}
    managed = [
        {"manager": "karpenter", "fieldsV1": {"f:metadata": {"f:annotations": owned}}},
        {"manager": "kubelet", "fieldsV1": {"f:status": {}}},
    ]
    metadata = {"name": "p", "annotations": annotations, "managedFields": managed}
    cluster = Cluster(name="c", pods=(pod_of({"metadata": metadata}),))
    assert (await discover(client, cluster)).ranks_pods


@pytest.mark.parametrize(
    ("name", "labels", "group", "built_in", "auto"),
    [
        ("general-purpose", {}, "eks.amazonaws.com", True, True),
        ("gpus", {}, "eks.amazonaws.com", False, True),
        ("gpus", {"app.kubernetes.io/managed-by": "eks"}, "eks.amazonaws.com", True, True),
        ("general-purpose", {}, "karpenter.k8s.aws", False, False),
        ("default", {"addonmanager.kubernetes.io/mode": "EnsureExists"}, "x", True, False),
    ],
)
async def test_pools_that_a_cloud_made_are_recognised(
    client: ApiClient, *, name: str, labels: dict[str, str], group: str, built_in: bool, auto: bool
) -> None:
    spec = {"template": {"spec": {"nodeClassRef": {"group": group, "kind": "NodeClass"}}}}
    pool = node_pool_of({"metadata": {"name": name, "labels": labels}, "spec": spec})
    assert pool.built_in is built_in
    found = await discover(client, Cluster(name="c", node_pools=(pool,)))
    assert found.auto_mode is auto


@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        ({"annotations": {"argocd.argoproj.io/tracking-id": "a:b"}}, "Argo CD"),
        ({"labels": {"argocd.argoproj.io/instance": "a"}}, "Argo CD"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "a"}}, "Flux"),
        ({"labels": {"helm.toolkit.fluxcd.io/name": "a"}}, "Flux"),
        ({"managedFields": [{"manager": "argocd-controller", "fieldsV1": {}}]}, "Argo CD"),
        ({"labels": {"app.kubernetes.io/instance": "a"}}, None),
    ],
)
def test_gitops_owners_are_recognised(metadata: dict[str, Any], owner: str | None) -> None:
    assert node_pool_of({"metadata": {"name": "p", **metadata}}).git_owner == owner


async def test_objects_of_the_kinds_that_we_make_are_listed(
    client: ApiClient, server: ApiServer
) -> None:
    made = {"metadata": {"name": "foresail-h100", "namespace": "foresail"}, "spec": {"replicas": 2}}
    server.serve(BUFFER.path.rpartition("/")[0], "CapacityBuffer", made)
    server.serve(DEPLOYMENT.path.rpartition("/")[0], "Deployment")
    (only,) = await made_objects(client, "foresail")
    assert (only.address, only.replicas, only.ours) == (BUFFER, 2, False)


async def test_without_the_list_nothing_is_known_to_be_ours(
    client: ApiClient, server: ApiServer
) -> None:
    server.forbidden = {DEPLOYMENT.path.rpartition("/")[0]}
    with pytest.raises(ForesailError, match="grant list"):
        await made_objects(client, "foresail")


async def test_what_keeps_nodes_from_another_namespace_is_found_by_our_label(
    client: ApiClient, server: ApiServer
) -> None:
    labels = {"app.kubernetes.io/managed-by": "foresail", "foresail.io/pool": "h100"}
    for name, of in ((BUFFER, "CapacityBuffer"), (DEPLOYMENT, "Deployment")):
        here, there = (
            {"metadata": {"name": f"{name.name}-{namespace}", "namespace": namespace,
                          "labels": labels}}
            for namespace in ("foresail", "gpu-system")
        )  # fmt: skip
        others = {"metadata": {"name": "web", "namespace": "shop", "labels": {}}}
        path = name.path.replace("/namespaces/foresail", "").rpartition("/")[0]
        server.serve(path, of, here, there, others)
    found = await made_elsewhere(client, "foresail")
    assert [str(one.address) for one in found] == [
        "CapacityBuffer gpu-system/foresail-h100-gpu-system",
        "Deployment gpu-system/foresail-h100-gpu-system",
    ]
    assert {one["labelSelector"] for one in server.asked} == {
        "app.kubernetes.io/managed-by=foresail"
    }
