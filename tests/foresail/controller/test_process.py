"""The whole controller over HTTP against a fake API server: pages, policies, Events, bad days."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from kubernetes_asyncio.client import ApiClient, Configuration
from rich.console import Console

from bench._faults_row import Observe
from fleet.cluster.follow.api import Patience
from fleet.cluster.kinds import SOURCES, Kind
from foresail.controller.options import ControllerOptions
from foresail.controller.policies_in_force import PATH as POLICIES
from foresail.controller.process import CLOCKS, once, running
from policies.policy.pool_policy import Mode
from scaler.errors import ForesailError
from tests.foresail.controller.writable_server import WritableServer
from tests.policies.test_assess import Json, pod
from tests.policies.test_node_planning import two_nodes

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

QUICK = Patience(page=60.0, silence=60.0, first_retry=0.01, longest_retry=0.02, absent=0.02)
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


async def until(met: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
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
    page = ""

    async def shown_leading() -> bool:
        # After half a minute without a core its Lease is to be renewed first.
        nonlocal page
        _, page = await one.get("/metrics")
        return "foresail_controller_leading 1.0" in page

    await until(shown_leading)
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


async def test_observing_writes_nothing_at_all_and_keeps_what_it_learns(
    server: WritableServer, start: Any, tmp_path: Path
) -> None:
    server.serve(POLICIES, "CapacityPolicy", acting(2))
    one = await start(options(mode=Mode.ADVISE, observe=True, state=tmp_path))

    async def planned() -> bool:
        return (tmp_path / "planning.json").exists() and (await one.get("/plan"))[0] == 200

    await until(planned)
    (pool,) = (await one.plan())["pools"]
    assert {node["node"]: node["verdict"] for node in pool["nodes"]}["h100-b"] == "hold"
    assert (server.events, server.written, server.writes) == ([], {}, [])


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
    server: WritableServer, start: Any, observed: Observe
) -> None:
    server.forbidden.add("/api/v1/pods")
    one = await start(options())

    async def refused() -> bool:
        return "HTTP 403" in (await one.get("/readyz"))[1]

    await until(refused)
    assert (await one.get("/readyz"))[0] == 503
    assert (await one.get("/plan"))[0] == 503
    assert (await one.get("/healthz"))[0] == 200
    written = len(server.writes)
    server.forbidden.clear()
    begun = asyncio.get_running_loop().time()

    async def ready() -> bool:
        return (await one.get("/readyz"))[0] == 200

    await until(ready)
    observed(
        f"not ready, and says HTTP 403; {written} writes meanwhile; then ready",
        wrong_scale_downs=written,
        recovered_seconds=asyncio.get_running_loop().time() - begun,
    )


async def test_throttling_forgotten_versions_and_cut_watches_pass(
    server: WritableServer, start: Any, observed: Observe
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
    begun = asyncio.get_running_loop().time()

    async def woken() -> bool:
        return (await one.plan())["pools"][0]["demandGpus"] == 4.0

    await until(woken)
    observed(
        "a pod that comes then is planned for",
        recovered_seconds=asyncio.get_running_loop().time() - begun,
    )


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
    async def kept() -> bool:
        return (tmp_path / "planning.json").exists() and (tmp_path / "costs.json").exists()

    settings = Configuration()
    settings.host = f"http://127.0.0.1:{server.port}"
    async with (
        ApiClient(settings) as client,
        running(options(state=tmp_path), client, patience=QUICK),
    ):
        await until(kept)
    (tmp_path / "costs.json").write_text("no")
    other = await start(options(identity="b", state=tmp_path))

    async def ready() -> bool:
        return (await other.get("/readyz"))[0] == 200

    await until(ready)
    assert (tmp_path / "costs.json.refused").read_text() == "no"
    assert (await other.get("/healthz"))[0] == 200


def acting(nodes: int, **spec: Any) -> Json:
    """A policy in mode act with a floor at all hours."""
    floor = {
        "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
        "from": "00:00",
        "to": "24:00",
        "nodes": nodes,
    }
    ceiling = {"usdPerHour": 1000}
    return policy(**{"mode": "act", "idleCeiling": ceiling, "warmFloors": [floor], **spec})


async def test_a_policy_that_acts_holds_a_node_with_a_lease(
    server: WritableServer, start: Any
) -> None:
    server.serve(POLICIES, "CapacityPolicy", acting(2))
    await start(options())

    async def written() -> bool:
        return bool(server.writes)

    await until(written)
    (write,) = server.writes
    assert (write.method, write.path) == ("PATCH", "/api/v1/nodes/b")
    assert "karpenter.sh/do-not-disrupt" in str(write.body)
    assert "foresail.io/kept-until" in str(write.body)


async def test_a_month_that_is_spent_stays_spent_for_a_controller_without_a_state(
    server: WritableServer, start: Any
) -> None:
    ceilings = {"usdPerHour": 1000, "usdPerMonth": 5000}
    server.serve(POLICIES, "CapacityPolicy", acting(2, idleCeiling=ceilings))
    month = f"{datetime.fromtimestamp(CLOCKS.wall(), UTC):%Y-%m}"
    server.written[LEASE] = {
        "metadata": {
            "name": "foresail-controller",
            "resourceVersion": "1",
            "annotations": {"foresail.io/spent": json.dumps({"all": [month, 5000.0]})},
        },
        "spec": {"holderIdentity": "", "leaseDurationSeconds": 30, "leaseTransitions": 3},
    }
    one = await start(options())

    async def refused() -> bool:
        status, _ = await one.get("/readyz")
        found = await one.plan() if status == 200 else {"leading": False}
        return found["leading"] and "$0.00 is left of the month's ceiling" in json.dumps(found)

    await until(refused)
    spent = json.loads(server.written[LEASE]["metadata"]["annotations"]["foresail.io/spent"])
    assert spent["all"][1] >= 5000.0


async def test_an_order_without_buffers_makes_placeholders_after_a_real_pod(
    server: WritableServer, start: Any
) -> None:
    server.serve(POLICIES, "CapacityPolicy", acting(4))
    real = two_nodes()[Kind.POD][0]
    real["spec"]["tolerations"] = [{"key": "gpu", "operator": "Exists"}]
    real["spec"]["containers"][0]["image"] = "registry.example/vllm:1"
    server.serve(SOURCES[Kind.POD].path, "Pod", real)
    server.documents["/api/v1/namespaces/llm/pods/x"] = real
    await start(options())

    async def ordered() -> bool:
        return any("/deployments/" in one.path for one in server.writes)

    await until(ordered)
    (deployment,) = [one.body for one in server.writes if "/deployments/" in one.path]
    # Node b is empty and there; two more make four.
    pod_of_it = deployment["spec"]["template"]["spec"]
    (container,) = pod_of_it["containers"]
    assert container["image"] == "registry.example/vllm:1"
    assert container["resources"]["requests"]["nvidia.com/gpu"] == "8"
    assert {"key": "gpu", "operator": "Exists"} in pod_of_it["tolerations"]
    assert pod_of_it["nodeSelector"]["karpenter.sh/nodepool"] == "h100"


async def test_mode_advise_of_the_command_overrides_policies_that_act(
    server: WritableServer, start: Any
) -> None:
    server.serve(POLICIES, "CapacityPolicy", acting(4))
    await start(options(mode=Mode.ADVISE))

    async def told() -> bool:
        return len(server.events) == 2

    await until(told)
    assert server.writes == []
    assert {one["reason"] for one in server.events} == {"WouldHold", "WouldOrder"}


async def test_a_dry_run_prints_the_exact_objects(
    server: WritableServer, start: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    server.serve(POLICIES, "CapacityPolicy", acting(4))
    await start(options(dry_run=True))
    text = ""

    async def printed() -> bool:
        nonlocal text
        text += capsys.readouterr().out
        return "kind: Deployment" in text

    await until(printed)
    objects = [yaml.safe_load(one) for one in text.split("---\n")[1:]]
    (deployment,) = [one for one in objects if "template" in one.get("spec", {})]
    assert deployment["metadata"]["namespace"] == "foresail"
    assert deployment["spec"]["replicas"] == 3
    assert (server.writes, server.written, server.events) == ([], {}, [])


async def test_a_replica_that_does_not_lead_writes_nothing(
    server: WritableServer, start: Any
) -> None:
    server.serve(POLICIES, "CapacityPolicy", acting(2))
    await start(options(identity="a"))

    async def acted() -> bool:
        return LEASE in server.written and bool(server.writes)

    await until(acted)
    other = await start(options(identity="b"))

    async def ready() -> bool:
        return (await other.get("/readyz"))[0] == 200

    await until(ready)
    assert not (await other.plan())["leading"]
    _, page = await other.get("/metrics")
    assert 'foresail_controller_rounds_total{outcome="waiting"}' in page
    assert len(server.writes) == 1


async def test_a_server_that_refuses_changes_is_counted_and_asked_again_later(
    server: WritableServer, start: Any, observed: Observe
) -> None:
    server.serve(POLICIES, "CapacityPolicy", acting(2))
    server.taking = lambda _: (403, {"message": "nodes is forbidden"})
    one = await start(options())

    async def counted() -> bool:
        page = (await one.get("/metrics"))[1]
        return 'foresail_controller_changes_total{ending="refused",lever="hold"} 1.0' in page

    await until(counted)
    health, _ = await one.get("/healthz")
    observed(f"counted as refused; /healthz says {health}", lost=int(health != 200))
    assert health == 200


@pytest.fixture
def kubeconfig(server: WritableServer, tmp_path: Path) -> Path:
    file = tmp_path / "config"
    address = f"http://127.0.0.1:{server.port}"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "prod",
        "clusters": [{"name": "prod", "cluster": {"server": address}}],
        "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "me"}}],
        "users": [{"name": "me", "user": {}}],
    }
    file.write_text(yaml.safe_dump(document))
    return file


async def test_a_single_round_is_carried_out_printed_and_the_lease_given_back(
    server: WritableServer, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.serve(POLICIES, "CapacityPolicy", acting(2))
    console = Console(width=120)
    await once(options(context="prod", kubeconfig=kubeconfig), console)

    assert [one.path for one in server.writes] == ["/api/v1/nodes/b"]
    assert server.written[LEASE]["spec"]["holderIdentity"] == ""
    shown = capsys.readouterr().out
    assert "pool h100: nodes of 8 GPUs, h100-sxm; policy all (act)" in shown
    assert "warm floor" in shown


async def test_a_single_round_beside_a_leader_is_refused(
    server: WritableServer, start: Any, kubeconfig: Path
) -> None:
    await start(options(identity="a", mode=Mode.ADVISE))

    async def led() -> bool:
        return LEASE in server.written

    await until(led)
    with pytest.raises(ForesailError, match="no round is made here: a has the Lease"):
        await once(options(identity="b", context="prod", kubeconfig=kubeconfig), Console())
    assert server.writes == []


async def test_a_single_dry_run_needs_no_lease(
    server: WritableServer, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.serve(POLICIES, "CapacityPolicy", acting(2))
    await once(options(context="prod", kubeconfig=kubeconfig, dry_run=True), Console(width=120))
    shown = capsys.readouterr().out
    assert "# apply /api/v1/nodes/b" in shown
    assert (server.writes, server.written) == ([], {})
