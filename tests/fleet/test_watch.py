"""A resource followed through everything an API server does to its watchers."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from itertools import pairwise

import pytest
from kubernetes_asyncio.client import ApiClient, Configuration

from fleet.cluster.fields import Json
from fleet.cluster.follow.api import Patience, Resource, UnreadableError, pages
from fleet.cluster.follow.watch import (
    Changed,
    Event,
    Gone,
    Listed,
    Unavailable,
    backoff_seconds,
    watched,
)
from fleet.cluster.kinds import Kind, Record, record_of
from fleet.cluster.nodes import node_of
from tests.fleet.api_server import ApiServer, Object

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

NODES = "/api/v1/nodes"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
QUICK = Patience(page=60.0, silence=60.0, first_retry=0.001, longest_retry=0.002, absent=0.002)


record = partial(record_of, Kind.NODE)


def node(name: str, **labels: str) -> Object:
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {"name": name, "labels": labels, "managedFields": [{"manager": "kubelet"}]},
    }


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    one = ApiServer()
    one.serve(NODES, "Node", node("a"), node("b"))
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[ApiClient]:
    settings = Configuration(host=f"http://127.0.0.1:{server.port}")
    settings.api_key["BearerToken"] = "Bearer secret"
    api = ApiClient(settings)
    yield api
    await api.close()


@pytest.fixture
async def events(client: ApiClient) -> AsyncIterator[AsyncGenerator[Event, None]]:
    async with aclosing(watched(client, NODES, record, patience=QUICK)) as followed:
        yield followed


async def following(events: AsyncGenerator[Event, None]) -> Event:
    async with asyncio.timeout(60):
        return await anext(events)


def names(event: Event) -> object:
    match event:
        case Listed(records=records):
            return [one.name for one in records]
        case Changed(record=one) | Gone(identity=one):
            return type(event).__name__, one.name
        case Unavailable():
            return "Unavailable"


async def watches(server: ApiServer, count: int) -> None:
    """Until so many watches were asked for."""
    async with asyncio.timeout(60):
        while sum("watch" in query for query in server.asked) < count:
            await asyncio.sleep(0)


async def refused_connections(port: int, count: int) -> None:
    """Until so many connections to the port were broken off."""
    left = asyncio.Semaphore(0)

    def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()
        left.release()

    async with await asyncio.start_server(refuse, "127.0.0.1", port), asyncio.timeout(60):
        for _ in range(count):
            await left.acquire()


async def test_the_world_comes_first_and_then_what_changes(
    server: ApiServer, events: AsyncGenerator[Event, None]
) -> None:
    assert names(await following(events)) == ["a", "b"]
    await server.put(NODES, node("c"))
    await server.put(NODES, node("a", gpu="h100"))
    await server.delete(NODES, "b")

    told = [await following(events) for _ in range(3)]

    assert [names(one) for one in told] == [("Changed", "c"), ("Changed", "a"), ("Gone", "b")]
    assert isinstance(told[1], Changed)
    assert told[1].record == node_of(node("a", gpu="h100"))


async def test_an_object_reads_the_same_from_a_list_and_from_a_watch(
    server: ApiServer, events: AsyncGenerator[Event, None]
) -> None:
    listed = await following(events)
    await server.put(NODES, node("a"))
    changed = await following(events)

    assert isinstance(listed, Listed)
    assert isinstance(changed, Changed)
    assert listed.records[0] == changed.record == node_of(node("a"))


async def test_a_list_comes_in_pages_and_is_told_whole(
    server: ApiServer, client: ApiClient
) -> None:
    server.serve(NODES, "Node", *(node(f"n{index}") for index in range(7)))

    records, version = await pages(
        Resource(client=client, path=NODES, record_of=record, page_size=3)
    )

    assert [one.name for one in records] == [f"n{index}" for index in range(7)]
    assert version == str(server.version)
    assert [query.get("continue") for query in server.asked] == [
        None,
        f"3/{server.version}",
        f"6/{server.version}",
    ]


async def test_a_list_that_is_forgotten_between_its_pages_is_asked_for_in_one(
    server: ApiServer, client: ApiClient
) -> None:
    def forgotten_after(document: Json) -> Record:
        server.version += 1
        server.compact()
        return record(document)

    records, _ = await pages(
        Resource(client=client, path=NODES, record_of=forgotten_after, page_size=1)
    )

    assert [one.name for one in records] == ["a", "b"]
    assert [query.get("limit") for query in server.asked] == ["1", "1", None]


async def test_what_is_not_wanted_is_never_kept(server: ApiServer, client: ApiClient) -> None:
    def labelled(document: Json) -> Record | None:
        made = node_of(document)
        return made if made.labels else None

    server.serve(NODES, "Node", node("a"), node("b", gpu="t4"))
    async with aclosing(watched(client, NODES, labelled, patience=QUICK)) as events:
        assert names(await following(events)) == ["b"]
        await server.put(NODES, node("b"))
        assert names(await following(events)) == ("Gone", "b")
        await server.put(NODES, node("a", gpu="l4"))
        assert names(await following(events)) == ("Changed", "a")


async def test_labels_select_and_the_token_goes_along(server: ApiServer, client: ApiClient) -> None:
    events = watched(client, NODES, record, label_selector="gpu=h100,zone in (a,b)", patience=QUICK)
    async with aclosing(events):
        await following(events)

    assert server.asked[0]["labelSelector"] == "gpu=h100,zone in (a,b)"
    assert server.asked[0]["authorization"] == "Bearer secret"


async def test_a_watch_that_breaks_goes_on_where_it_was(
    server: ApiServer, events: AsyncGenerator[Event, None]
) -> None:
    await following(events)
    await server.put(NODES, node("c"))
    assert names(await following(events)) == ("Changed", "c")
    await server.cut()
    await server.put(NODES, node("d"))

    assert names(await following(events)) == ("Changed", "d")
    assert sum("watch" not in query for query in server.asked) == 1  # listed once


async def test_a_bookmark_is_where_a_broken_watch_goes_on(
    server: ApiServer, events: AsyncGenerator[Event, None]
) -> None:
    await following(events)
    server.version += 50
    mark = {"kind": "Node", "metadata": {"resourceVersion": str(server.version)}}
    ahead = asyncio.ensure_future(following(events))
    await watches(server, 1)
    await server.tell(NODES, "BOOKMARK", mark)
    await server.end()
    await watches(server, 2)
    await server.put(NODES, node("c"))

    assert names(await ahead) == ("Changed", "c")
    assert server.asked[-1]["resourceVersion"] == mark["metadata"]["resourceVersion"]
    assert sum("watch" not in query for query in server.asked) == 1  # listed once


async def test_a_version_that_was_forgotten_means_a_new_list_and_no_alarm(
    server: ApiServer, events: AsyncGenerator[Event, None]
) -> None:
    await following(events)
    await server.put(NODES, node("c"))
    server.version += 1
    server.compact()  # what happened to c is lost to watchers

    assert names(await following(events)) == ["a", "b", "c"]
    await server.put(NODES, node("d"))
    assert names(await following(events)) == ("Changed", "d")


async def test_a_410_within_a_watch_means_a_new_list_too(
    server: ApiServer, events: AsyncGenerator[Event, None]
) -> None:
    await following(events)
    ahead = asyncio.ensure_future(following(events))
    await watches(server, 1)
    server.collections[NODES].objects.pop("b")
    await server.tell(NODES, "ERROR", {"kind": "Status", "code": 410, "message": "too old"})

    assert names(await ahead) == ["a"]


async def test_a_server_that_is_gone_is_told_once_and_its_return_lists_anew(
    server: ApiServer, events: AsyncGenerator[Event, None]
) -> None:
    async def until_listed() -> list[Event]:
        told = [await following(events)]
        while isinstance(told[-1], Unavailable):
            told.append(await following(events))
        return told

    await following(events)
    back = asyncio.ensure_future(until_listed())
    await watches(server, 1)
    await server.stop()
    await refused_connections(server.port, 6)
    server.serve(NODES, "Node", node("z"))
    await server.start()

    *away, listed = await back
    assert all(isinstance(one, Unavailable) and not one.absent for one in away)
    reasons = [one.reason for one in away if isinstance(one, Unavailable)]
    # A connection that is refused and one that breaks are two reasons; six attempts tell no more.
    assert reasons
    assert all(before != after for before, after in pairwise(reasons))
    assert all(NODES in reason for reason in reasons)
    assert names(listed) == ["z"]


async def test_the_same_world_is_listed_again_after_an_outage_though_nothing_changed(
    server: ApiServer, events: AsyncGenerator[Event, None]
) -> None:
    await following(events)
    server.refusals = [(503, {})]

    assert names(await following(events)) == "Unavailable"
    assert names(await following(events)) == ["a", "b"]


@pytest.mark.parametrize("status", [429, 500, 503, 504])
async def test_a_server_in_trouble_is_asked_again(
    server: ApiServer, events: AsyncGenerator[Event, None], status: int
) -> None:
    server.refusals = [(status, {}), (status, {})]

    trouble = await following(events)

    assert trouble == Unavailable(f"{NODES}: HTTP {status}: as the test wants it")
    assert names(await following(events)) == ["a", "b"]


async def test_the_server_says_how_long_to_wait_within_bounds(
    server: ApiServer, client: ApiClient
) -> None:
    resource = Resource(client=client, path=NODES, record_of=record, patience=Patience(absent=60.0))
    for said, seconds in (("7", 7.0), ("86400", 60.0), ("Fri, 27 Nov 2026 02:00:00 GMT", 0.0)):
        server.refusals = [(429, {"Retry-After": said})]
        with pytest.raises(UnreadableError) as caught:
            await pages(resource)
        assert caught.value.retry_seconds == seconds


async def test_a_right_that_is_missing_is_named(
    server: ApiServer, events: AsyncGenerator[Event, None]
) -> None:
    server.forbidden.add(NODES)

    trouble = await following(events)
    server.forbidden.clear()

    assert trouble == Unavailable(f"{NODES}: HTTP 403: not for you; grant list and watch on it")
    assert names(await following(events)) == ["a", "b"]


async def test_who_may_list_and_not_watch_has_the_world_now_and_then(
    server: ApiServer, events: AsyncGenerator[Event, None]
) -> None:
    server.watch_forbidden = True

    told = [names(await following(events)) for _ in range(4)]

    assert told == [["a", "b"], "Unavailable", ["a", "b"], "Unavailable"]


async def test_a_resource_that_the_cluster_lacks_is_absent_until_it_comes(
    server: ApiServer, client: ApiClient
) -> None:
    async with aclosing(
        watched(client, SLICES, partial(record_of, Kind.SLICE), patience=QUICK)
    ) as events:
        lacking = await following(events)
        server.serve(SLICES, "ResourceSlice")

        assert lacking == Unavailable(f"{SLICES}: the cluster has no such resource", absent=True)
        assert await following(events) == Listed(())


async def test_of_several_versions_the_first_that_is_served_is_followed(
    server: ApiServer, client: ApiClient
) -> None:
    newer, older, oldest = (f"/apis/g/v{at}/nodes" for at in (3, 2, 1))
    server.serve(older, "Node", node("a"))
    async with aclosing(watched(client, (newer, older, oldest), record, patience=QUICK)) as events:
        assert names(await following(events)) == ["a"]
        ahead = asyncio.ensure_future(following(events))
        await watches(server, 1)
        await server.put(older, node("b"))
        assert names(await ahead) == ("Changed", "b")
        # The server is upgraded, and drops the version that was followed.
        ahead = asyncio.ensure_future(following(events))
        del server.collections[older]
        server.serve(newer, "Node", node("c"))
        await server.cut()
        assert names(await ahead) == ["c"]


async def test_a_resource_that_is_served_in_no_version_is_told_once_to_be_absent(
    server: ApiServer, client: ApiClient
) -> None:
    paths = tuple(f"/apis/g/v{at}/nodes" for at in (3, 2, 1))
    async with aclosing(watched(client, paths, record, patience=QUICK)) as events:
        lacking = await following(events)
        assert isinstance(lacking, Unavailable)
        assert lacking.absent
        server.serve(paths[0], "Node", node("a"))
        assert names(await following(events)) == ["a"]


async def test_a_version_that_may_not_be_read_is_not_taken_for_an_absent_one(
    server: ApiServer, client: ApiClient
) -> None:
    newer, older = "/apis/g/v2/nodes", "/apis/g/v1/nodes"
    server.forbidden.add(newer)
    server.serve(older, "Node", node("a"))
    async with aclosing(watched(client, (newer, older), record, patience=QUICK)) as events:
        told = await following(events)
    assert told == Unavailable(f"{newer}: HTTP 403: not for you; grant list and watch on it")


async def test_a_resource_that_is_taken_away_is_absent_again(
    server: ApiServer, events: AsyncGenerator[Event, None]
) -> None:
    await following(events)
    ahead = asyncio.ensure_future(following(events))
    await watches(server, 1)
    del server.collections[NODES]
    await server.cut()

    lacking = await ahead

    assert isinstance(lacking, Unavailable)
    assert lacking.absent


@pytest.mark.parametrize(
    "nonsense",
    [
        pytest.param({"kind": "Node"}, id="no-metadata"),
        pytest.param({"metadata": {"name": "x"}}, id="no-version"),
    ],
)
async def test_nonsense_in_a_watch_means_a_new_list(
    server: ApiServer, events: AsyncGenerator[Event, None], nonsense: Object
) -> None:
    await following(events)
    ahead = asyncio.ensure_future(following(events))
    await watches(server, 1)
    await server.tell(NODES, "MODIFIED", nonsense)

    assert await ahead == Unavailable(f"{NODES}: a line of the watch is no event")
    server.collections[NODES].log.clear()
    assert names(await following(events)) == ["a", "b"]


async def test_an_object_larger_than_any_buffer_arrives(
    server: ApiServer, events: AsyncGenerator[Event, None]
) -> None:
    await following(events)
    large = node("a", gpu="x" * 5_000_000)
    await server.put(NODES, large)

    changed = await following(events)

    assert isinstance(changed, Changed)
    assert changed.record == node_of(large)


async def test_a_login_page_in_place_of_a_list_is_no_empty_world(
    server: ApiServer, client: ApiClient
) -> None:
    del server.collections[NODES]
    server.refusals = [(200, {})]  # a Status object, served as if it were fine

    with pytest.raises(UnreadableError, match="the answer is no list of objects"):
        await pages(Resource(client=client, path=NODES, record_of=record))


async def test_a_watch_that_says_nothing_for_long_is_taken_up_again(
    server: ApiServer, client: ApiClient
) -> None:
    deaf = Patience(silence=0.1, first_retry=0.001, longest_retry=0.001)

    async def told_of_c(events: AsyncGenerator[Event, None]) -> None:
        # A busy core may not even begin a watch in its time: that is told, and all is listed anew.
        while names(event := await following(events)) not in (("Changed", "c"), ["a", "b", "c"]):
            assert names(event) in ("Unavailable", ["a", "b"])

    async with aclosing(watched(client, NODES, record, patience=deaf)) as events:
        await following(events)
        ahead = asyncio.ensure_future(told_of_c(events))
        await watches(server, 3)
        await server.put(NODES, node("c"))

        await ahead


@pytest.mark.parametrize(
    ("failures", "chance", "seconds"),
    [
        pytest.param(1, 0.0, 0.5, id="first"),
        pytest.param(1, 1.0, 0.25, id="half-is-chance"),
        pytest.param(3, 0.0, 2.0, id="doubled-twice"),
        pytest.param(7, 0.0, 30.0, id="bounded"),  # 0.5 * 2**6 = 32
        pytest.param(10_000, 0.5, 22.5, id="for-ever"),
    ],
)
def test_waits_double_up_to_a_bound(failures: int, chance: float, seconds: float) -> None:
    assert backoff_seconds(failures, Patience(), chance) == seconds
