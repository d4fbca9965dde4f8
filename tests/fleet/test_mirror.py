"""A cluster's objects, read once or followed, over an API server's bad days."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from kubernetes_asyncio.client import ApiClient, Configuration

from fleet.cluster.follow.api import Patience, UnreadableError
from fleet.cluster.follow.mirror import Mirror, mirrored, read_cluster
from fleet.cluster.follow.watch import Listed, Unavailable
from fleet.cluster.kinds import SNAPSHOT_KINDS, SOURCES, Kind
from tests.fleet.api_server import ApiServer
from tests.fleet.objects import claim, node, pod, resource_slice
from tests.scheduler.objects import taint_rule

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

QUICK = Patience(page=60.0, silence=60.0, first_retry=0.001, longest_retry=0.002, absent=0.002)


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    one = ApiServer()
    one.serve(SOURCES[Kind.NODE].path, "Node", node("n1", gpus=8))
    one.serve(SOURCES[Kind.POD].path, "Pod", pod("a", gpus=1), pod("web"))
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[ApiClient]:
    api = ApiClient(Configuration(host=f"http://127.0.0.1:{server.port}"))
    yield api
    await api.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


async def test_a_cluster_without_dra_and_karpenter_is_whole(client: ApiClient) -> None:
    cluster = await read_cluster(client, "c1")

    assert (len(cluster.nodes), len(cluster.slices or ()), cluster.remarks) == (1, 0, ())


async def test_pods_that_have_nothing_to_do_with_gpus_are_not_kept(
    server: ApiServer, client: ApiClient
) -> None:
    holder = pod("holder")
    holder["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimName": "c"}]
    server.serve(SOURCES[Kind.POD].path, "Pod", pod("a", gpus=1), pod("web"), holder)

    cluster = await read_cluster(client, "c1")

    assert [one.name for one in cluster.pods or ()] == ["llm/a", "llm/holder"]


async def test_of_pods_that_ask_for_no_device_it_is_kept_which_nodes_they_keep(
    server: ApiServer, client: ApiClient
) -> None:
    daemon, waiting = pod("net", "n2"), pod("job", None)
    owner = {"kind": "DaemonSet", "name": "net", "uid": "u", "controller": True}
    daemon["metadata"]["ownerReferences"] = [owner]
    server.serve(SOURCES[Kind.POD].path, "Pod", pod("web"), pod("a", gpus=1), daemon, waiting)

    async with mirrored(client, "c1", asyncio.Event(), QUICK) as mirror:
        await until(lambda: mirror.trouble is None)
        assert mirror.cluster.cpu_pod_by_node == {"n1": "llm/web"}
        await server.put(SOURCES[Kind.POD].path, pod("job", "n3"))
        await until(lambda: mirror.cluster.cpu_pod_by_node == {"n1": "llm/web", "n3": "llm/job"})
        await server.delete(SOURCES[Kind.POD].path, "web")
        await until(lambda: mirror.cluster.cpu_pod_by_node == {"n3": "llm/job"})


@pytest.mark.parametrize("kind", [Kind.NODE, Kind.POD, Kind.SLICE, Kind.CLAIM])
async def test_without_what_it_takes_there_is_no_world(
    server: ApiServer, client: ApiClient, kind: Kind
) -> None:
    server.forbidden.add(SOURCES[kind].path)

    with pytest.raises(UnreadableError, match=f"{SOURCES[kind].path}: HTTP 403"):
        await read_cluster(client, "c1")


async def test_what_can_be_done_without_is_remarked_on(
    server: ApiServer, client: ApiClient
) -> None:
    server.forbidden.add(SOURCES[Kind.NODE_POOL].path)

    cluster = await read_cluster(client, "c1")

    (remark,) = cluster.remarks
    assert remark.startswith("/apis/karpenter.sh/v1/nodepools: HTTP 403")
    assert cluster.node_pools is None


async def test_a_mirror_has_no_world_before_everything_was_read() -> None:
    assert Mirror("c1").trouble == "/api/v1/nodes: not read yet"


async def test_a_mirror_follows_its_cluster(server: ApiServer, client: ApiClient) -> None:
    async with mirrored(client, "c1", asyncio.Event(), QUICK) as mirror:
        await until(lambda: mirror.trouble is None)
        await server.put(SOURCES[Kind.POD].path, pod("b", gpus=2))
        await server.delete(SOURCES[Kind.POD].path, "a")
        await until(lambda: [one.name for one in mirror.cluster.pods or ()] == ["llm/b"])
        server.serve(SOURCES[Kind.SLICE].path, "ResourceSlice", resource_slice())
        server.serve(SOURCES[Kind.CLAIM].path, "ResourceClaim", claim("c", "gpu-0"))
        await until(lambda: bool(mirror.cluster.slices and mirror.cluster.claims))

        assert mirror.cluster.remarks == ()


async def test_node_claims_and_buffers_are_followed_where_they_are_asked_for(
    server: ApiServer, client: ApiClient
) -> None:
    kinds = (*SNAPSHOT_KINDS, Kind.NODE_CLAIM, Kind.BUFFER)
    claim_of_node = {"metadata": {"name": "h100-x7kq2", "labels": {}}}
    server.serve(SOURCES[Kind.NODE_CLAIM].path, "NodeClaim", claim_of_node)
    async with mirrored(client, "c1", asyncio.Event(), QUICK, kinds) as mirror:
        await until(lambda: mirror.trouble is None)

        cluster = mirror.cluster
        assert [one.name for one in cluster.node_claims or ()] == ["h100-x7kq2"]
        assert cluster.buffers == ()  # the cluster serves no such resource
        assert cluster.remarks == ()


async def test_taint_rules_are_read_in_the_newest_version_that_is_served(
    server: ApiServer, client: ApiClient
) -> None:
    older = SOURCES[Kind.TAINT_RULE].paths[1]
    server.serve(older, "DeviceTaintRule", taint_rule("r"))

    cluster = await read_cluster(client, "c1")

    assert [one.name for one in cluster.taint_rules or ()] == ["r"]
    async with mirrored(client, "c1", asyncio.Event(), QUICK) as mirror:
        await until(lambda: mirror.trouble is None)

        assert [one.name for one in mirror.cluster.taint_rules or ()] == ["r"]
        assert mirror.cluster.remarks == ()


async def test_taint_rules_that_may_not_be_read_are_remarked_on(
    server: ApiServer, client: ApiClient
) -> None:
    server.forbidden.add(SOURCES[Kind.TAINT_RULE].path)

    cluster = await read_cluster(client, "c1")

    assert cluster.taint_rules is None
    assert [one.partition(":")[0] for one in cluster.remarks] == [SOURCES[Kind.TAINT_RULE].path]


async def test_an_object_that_cannot_be_read_is_remarked_on(
    server: ApiServer, client: ApiClient
) -> None:
    broken = {"metadata": {"name": "n2"}, "status": {"capacity": {"cpu": "many"}}}
    server.serve(SOURCES[Kind.NODE].path, "Node", node("n1", gpus=8), broken)

    cluster = await read_cluster(client, "c1")

    assert [one.name for one in cluster.nodes] == ["n1"]
    assert cluster.remarks == (
        "nodes n2 cannot be read: capacity: cpu: 'many' is no quantity such as 500m, 2 or 16Gi",
    )


async def test_what_is_stale_is_shown_and_said_to_be(server: ApiServer, client: ApiClient) -> None:
    async with mirrored(client, "c1", asyncio.Event(), QUICK) as mirror:
        await until(lambda: mirror.trouble is None)
        await server.stop()
        await until(lambda: len(mirror.cluster.remarks) == len(SNAPSHOT_KINDS))

        assert len(mirror.cluster.nodes) == 1
        assert all("/a" in remark for remark in mirror.cluster.remarks)
        await server.start()
        await until(lambda: mirror.cluster.remarks == ())


async def test_a_cluster_that_was_never_reached_has_a_reason(client: ApiClient) -> None:
    nowhere = ApiClient(Configuration(host="http://127.0.0.1:1"))
    async with nowhere, mirrored(nowhere, "c1", asyncio.Event(), QUICK) as mirror:
        await until(lambda: mirror.trouble != "/api/v1/nodes: not read yet")

        assert "/api/v1/nodes: Cannot connect" in str(mirror.trouble)


async def test_an_error_inside_of_the_context_comes_out_as_it_is(client: ApiClient) -> None:
    with pytest.raises(LookupError, match="of the caller"):
        async with mirrored(client, "prod", asyncio.Event(), QUICK):
            raise LookupError("of the caller")


async def test_what_is_shown_may_be_old_while_a_needed_kind_cannot_be_read() -> None:
    mirror = Mirror("prod", kinds=(Kind.NODE, Kind.POD, Kind.NODE_POOL))
    for kind in mirror.kinds:
        mirror.take(kind, Listed(()))
    assert mirror.stale is None
    mirror.take(Kind.NODE_POOL, Unavailable("forbidden"))
    mirror.take(Kind.NODE, Unavailable("no such kind", absent=True))
    assert mirror.stale is None
    mirror.take(Kind.POD, Unavailable("no route to host"))
    assert (mirror.trouble, mirror.stale) == (None, "no route to host")
