"""The whole controller over HTTP against a fake API server: pages, policies, Events, bad days."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kubernetes_asyncio.client import ApiClient, Configuration

from fleet.cluster.follow.api import Patience
from fleet.cluster.kinds import SOURCES, Kind
from foresail.controller.options import ControllerOptions
from foresail.controller.policies_in_force import PATH as POLICIES
from foresail.controller.process import running
from policies.policy.pool_policy import Mode
from tests.foresail.controller.writable_server import WritableServer
from tests.policies.test_assess import Json, pod
from tests.policies.test_node_planning import two_nodes

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

QUICK = Patience(page=5.0, silence=5.0, first_retry=0.01, longest_retry=0.02, absent=0.02)
LEASE = "/apis/coordination.k8s.io/v1/namespaces/foresail/leases/foresail-controller"


def policy(name: str = "all", **spec: Any) -> Json:
    return {
        "apiVersion": "foresail.io/v1alpha1",
        "kind": "CapacityPolicy",
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": spec,
    }


@pytest.fixture
async def server() -> AsyncIterator[WritableServer]:
    one = WritableServer()
    for kind in (*two_nodes(), Kind.SLICE, Kind.CLAIM, Kind.CLASS):
        source = SOURCES[kind]
        one.serve(source.path, source.object_kind, *two_nodes().get(kind, []))
    # Right after a start nothing is released; a floor of two nodes holds one at once.
    always = {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}
    floor = {**always, "from": "00:00", "to": "24:00", "nodes": 2}
    one.serve(POLICIES, "CapacityPolicy", policy(warmFloors=[floor]))
    await one.start()
    yield one
    await one.stop()


class Running:
    """A controller and its port."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self._url, self._session = f"http://127.0.0.1:{port}", session

    async def get(self, path: str) -> tuple[int, str]:
        async with self._session.get(self._url + path) as response:
            return response.status, await response.text()

    async def plan(self) -> dict[str, Any]:
        async with self._session.get(f"{self._url}/plan") as response:
            found: dict[str, Any] = await response.json()
            return found


@pytest.fixture
async def start(
    server: WritableServer,
) -> AsyncIterator[Callable[[ControllerOptions], Awaitable[Running]]]:
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def started(options: ControllerOptions) -> Running:
            settings = Configuration()
            settings.host = f"http://127.0.0.1:{server.port}"
            client = await stack.enter_async_context(ApiClient(settings))
            port = await stack.enter_async_context(running(options, client, patience=QUICK))
            return Running(port, session)

        yield started


async def until(met: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not await met():
            await asyncio.sleep(0.05)


def options(**given: Any) -> ControllerOptions:
    return ControllerOptions(**({"http": "127.0.0.1:0", "identity": "a"} | given))


async def test_it_is_ready_leads_and_shows_its_plan(server: WritableServer, start: Any) -> None:
    one = await start(options())

    async def leading() -> bool:
        status, _ = await one.get("/readyz")
        return status == 200 and (await one.plan())["leading"]

    await until(leading)
    found = await one.plan()
    (pool,) = found["pools"]
    assert (pool["pool"], pool["policy"], pool["mode"]) == ("h100", "all", "advise")
    assert {node["node"]: node["verdict"] for node in pool["nodes"]} == {
        "h100-a": "leave",
        "h100-b": "hold",
    }
    assert (await one.get("/healthz"))[0] == 200
    _, page = await one.get("/metrics")
    assert "foresail_controller_leading 1.0" in page
    assert 'foresail_pool_demand_gpus{pool="h100"} 8.0' in page
    assert 'foresail_pool_nodes{pool="h100",reason="warm floor",verdict="hold"} 1.0' in page
    assert server.written[LEASE]["spec"]["holderIdentity"] == "a"


async def test_advice_writes_nothing_but_its_lease_and_events(
    server: WritableServer, start: Any
) -> None:
    one = await start(options(mode=Mode.ADVISE))

    async def told() -> bool:
        return bool(server.events)

    await until(told)
    assert [(one["regarding"]["name"], one["reason"]) for one in server.events] == [
        ("b", "WouldHold")
    ]
    assert list(server.written) == [LEASE]
    assert (await one.plan())["leading"]


async def test_a_dry_run_writes_nothing_at_all(server: WritableServer, start: Any) -> None:
    one = await start(options(dry_run=True))

    async def planned() -> bool:
        return (await one.get("/plan"))[0] == 200

    await until(planned)
    await asyncio.sleep(0.2)
    assert (server.events, server.written) == ([], {})


async def test_it_gives_its_lease_back_when_it_ends(server: WritableServer) -> None:
    settings = Configuration()
    settings.host = f"http://127.0.0.1:{server.port}"
    async with ApiClient(settings) as client:
        async with running(options(), client, patience=QUICK):

            async def leads() -> bool:
                return LEASE in server.written

            await until(leads)
        assert server.written[LEASE]["spec"]["holderIdentity"] == ""


async def test_without_the_custom_resource_files_are_enough(
    server: WritableServer, start: Any, tmp_path: Path
) -> None:
    del server.collections[POLICIES]
    file = tmp_path / "policy.yaml"
    file.write_text(
        "apiVersion: foresail.io/v1alpha1\nkind: CapacityPolicy\nmetadata: {name: mine}\n"
    )
    one = await start(options(policies=(tmp_path,)))

    async def planned() -> bool:
        return (await one.get("/readyz"))[0] == 200

    await until(planned)
    assert (await one.plan())["pools"][0]["policy"] == "mine"


async def test_a_cluster_that_cannot_be_read_is_not_ready_and_says_why(
    server: WritableServer, start: Any
) -> None:
    server.forbidden.add("/api/v1/pods")
    one = await start(options())

    async def refused() -> bool:
        return "HTTP 403" in (await one.get("/readyz"))[1]

    await until(refused)
    assert (await one.get("/readyz"))[0] == 503
    assert (await one.get("/plan"))[0] == 503
    assert (await one.get("/healthz"))[0] == 200
    server.forbidden.clear()

    async def ready() -> bool:
        return (await one.get("/readyz"))[0] == 200

    await until(ready)


async def test_throttling_forgotten_versions_and_cut_watches_pass(
    server: WritableServer, start: Any
) -> None:
    server.refusals += [(429, {"Retry-After": "0"}), (500, {}), (503, {})]
    one = await start(options())

    async def ready() -> bool:
        return (await one.get("/readyz"))[0] == 200

    await until(ready)
    server.compact()
    await server.cut()
    await server.delete(SOURCES[Kind.POD].path, "x")

    await server.put(SOURCES[Kind.POD].path, pod("new", 4))

    async def woken() -> bool:
        return (await one.plan())["pools"][0]["demandGpus"] == 4.0

    await until(woken)


async def test_events_that_are_refused_stop_nothing(server: WritableServer, start: Any) -> None:
    server.event_refusals += [(403, "no")]
    one = await start(options(mode=Mode.ADVISE))

    async def counted() -> bool:
        page = (await one.get("/metrics"))[1]
        return 'foresail_controller_events_total{outcome="failed"} 1.0' in page

    await until(counted)
    assert (await one.get("/healthz"))[0] == 200


async def test_what_was_learned_outlives_a_restart(
    server: WritableServer, start: Any, tmp_path: Path
) -> None:
    one = await start(options(state=tmp_path))

    async def kept() -> bool:
        return (tmp_path / "planning.json").exists() and (tmp_path / "costs.json").exists()

    await until(kept)
    (tmp_path / "costs.json").write_text("no")
    other = await start(options(identity="b", state=tmp_path))

    async def ready() -> bool:
        return (await other.get("/readyz"))[0] == 200

    await until(ready)
    assert (tmp_path / "costs.json.refused").read_text() == "no"
    assert (await one.get("/healthz"))[0] == 200
