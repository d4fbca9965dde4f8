"""`foresail scheduler` over a played API server: what it says before, during and after."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from click.testing import CliRunner

from bench._faults_row import Observe
from fleet.cluster.follow.watch import Changed, Event, Listed, Unavailable
from fleet.cluster.kinds import Kind, record_of
from fleet.cluster.nodes import node_of
from fleet.cluster.pods import pod_of
from fleet.cluster.taint_rules import taint_rule_of
from foresail.cli import main
from foresail.placement.scheduling import Ports, SchedulerOptions, running
from foresail.ports.sites import Sites
from scaler.errors import ForesailError
from scheduler.extender import REASON
from scheduler.intake import KINDS
from scheduler.launchers import CONFIG
from scheduler.pods import GPU_MODELS, NVLINK
from tests.scheduler.objects import (
    A100,
    H100,
    Json,
    claim,
    device_class,
    node,
    pod,
    resource_slice,
    taint_rule,
)

pytestmark = pytest.mark.looptime(False)  # sockets live in real time
OPTIONS = SchedulerOptions(listen="127.0.0.1:0", http="127.0.0.1:0")


@dataclass
class Api:
    """What each kind's watch tells, as the tests say."""

    queues: dict[Kind, asyncio.Queue[Event]] = field(
        default_factory=lambda: {kind: asyncio.Queue() for kind in KINDS}
    )

    async def follow(self, kind: Kind) -> AsyncGenerator[Event, None]:
        while True:
            yield await self.queues[kind].get()

    def tell(self, kind: Kind, event: Event) -> None:
        self.queues[kind].put_nowait(event)

    def tell_all(self, *, but: Kind | None = None) -> None:
        """Every kind is listed; there is one node of four GPUs, and no DRA."""
        for kind in KINDS:
            if kind is Kind.NODE and kind is not but:
                self.tell(kind, Listed((node_of(node("a", gpus=4)),)))
            elif kind in {Kind.CLASS, Kind.SLICE, Kind.CLAIM} - {but}:
                self.tell(kind, Unavailable("the cluster has no such resource", absent=True))
            elif kind is not but:
                self.tell(kind, Listed(()))


class Asking:
    def __init__(self, ports: Ports, session: ClientSession) -> None:
        self.ports = ports
        self._session = session

    async def passed(self, *names: str) -> tuple[list[str], str | None]:
        """Of a pod that insists on an A100; the one node that is there has H100s."""
        document = pod("p", gpus=1)
        document["metadata"]["annotations"] = {GPU_MODELS: A100}
        return await self.passed_by(document, *names)

    async def passed_by(self, document: Json, *names: str) -> tuple[list[str], str | None]:
        body = {"Pod": document, "Nodes": None, "NodeNames": list(names)}
        url = f"http://127.0.0.1:{self.ports.extender}/filter"
        async with self._session.post(url, json=body) as response:
            return (await response.json())["NodeNames"], response.headers.get(REASON)

    async def page(self, path: str) -> tuple[int, str]:
        async with self._session.get(f"http://127.0.0.1:{self.ports.http}{path}") as response:
            return response.status, await response.text()

    async def until_ready(self, status: int = 200) -> str:
        async with asyncio.timeout(60):
            while (answer := await self.page("/readyz"))[0] != status:
                await asyncio.sleep(0.01)
        return answer[1]


@asynccontextmanager
async def asking(api: Api, options: SchedulerOptions = OPTIONS) -> AsyncIterator[Asking]:
    async with running(options, api.follow) as ports, ClientSession() as session:
        yield Asking(ports, session)


async def test_until_every_kind_was_read_all_nodes_pass_and_it_is_not_ready() -> None:
    api = Api()
    async with asking(api) as asked:
        api.tell_all(but=Kind.POD)
        status, why = await asked.page("/readyz")
        assert (status, why) == (503, "no snapshot of the cluster yet\n")
        assert await asked.passed("a", "b") == (["a", "b"], "no snapshot of the cluster yet")
        api.tell(Kind.POD, Listed(()))
        await asked.until_ready()
        assert await asked.passed("a", "b") == (["b"], None)  # b is not known


async def test_what_changes_is_in_the_next_answer() -> None:
    api = Api()
    async with asking(api) as asked:
        api.tell_all()
        await asked.until_ready()
        assert (await asked.passed("b", "a"))[0] == ["b"]  # b is not known
        api.tell(Kind.NODE, Changed(node_of(node("b", gpus=8))))
        async with asyncio.timeout(60):
            while (await asked.passed("b", "a"))[0]:
                await asyncio.sleep(0.01)


async def test_while_a_watch_is_down_nothing_is_turned_away_and_it_says_so(
    observed: Observe,
) -> None:
    api = Api()
    async with asking(api) as asked:
        api.tell_all()
        await asked.until_ready()
        api.tell(Kind.POD, Unavailable("/api/v1/pods: connection refused"))
        why = await asked.until_ready(503)
        assert why == "what is known of pods is old: /api/v1/pods: connection refused\n"
        passed, reason = await asked.passed("a")
        assert (passed, reason) == (["a"], why.strip())
        assert 'foresail_extender_stale{kind="pods"} 1.0' in (await asked.page("/metrics"))[1]
        begun = asyncio.get_running_loop().time()
        api.tell(Kind.POD, Listed(()))
        await asked.until_ready()
        assert (await asked.passed("a"))[0] == []
        seconds = asyncio.get_running_loop().time() - begun
    observed(
        f"{len(passed)} of 1 nodes passes, with the reason in the answer",
        lost=1 - len(passed),
        recovered_seconds=seconds,
    )


async def test_pod_groups_that_may_not_be_read_hold_nothing_up() -> None:
    api = Api()
    async with asking(api) as asked:
        api.tell_all(but=Kind.POD_GROUP)
        api.tell(Kind.POD_GROUP, Unavailable("HTTP 403: grant list and watch on it"))
        await asked.until_ready()


async def test_while_taint_rules_cannot_be_listed_no_node_is_refused_by_a_prediction() -> None:
    api = Api()
    # Of two islands with two GPUs each, one GPU is tainted: a claim gets the first of either.
    tainted = Listed((taint_rule_of(taint_rule("r", pool="a", device="gpu-1")),))
    joined = pod("p", claims=("pair",))
    joined["metadata"]["annotations"] = {NVLINK: "required"}
    async with asking(api) as asked:

        async def until_passed(*names: str) -> None:
            async with asyncio.timeout(60):
                while (await asked.passed_by(joined, "a"))[0] != list(names):
                    await asyncio.sleep(0.01)

        api.tell_all(but=Kind.TAINT_RULE)
        api.tell(Kind.NODE, Changed(node_of(node("a", islands=(0, 0, 1, 1)))))
        api.tell(Kind.CLASS, Changed(record_of(Kind.CLASS, device_class())))
        api.tell(Kind.SLICE, Changed(record_of(Kind.SLICE, resource_slice("a", *[H100] * 4))))
        api.tell(Kind.CLAIM, Changed(record_of(Kind.CLAIM, claim("pair", (H100, 2)))))
        api.tell(Kind.TAINT_RULE, tainted)
        await asked.until_ready()
        await until_passed()
        api.tell(Kind.TAINT_RULE, Unavailable("HTTP 403: grant list and watch on it"))
        await until_passed("a")
        assert (await asked.page("/readyz"))[0] == 200
        api.tell(Kind.TAINT_RULE, tainted)
        await until_passed()


async def test_metrics_tell_what_is_known_and_asked() -> None:
    api = Api()
    async with asking(api) as asked:
        api.tell_all()
        api.tell(Kind.POD, Changed(pod_of(pod("one", gpus=1, on="a"))))
        await asked.until_ready()
        await asked.passed("a")
        async with asyncio.timeout(60):
            while "idle_gpus 3.0" not in (await asked.page("/metrics"))[1]:
                await asyncio.sleep(0.01)
        page = (await asked.page("/metrics"))[1]
    for line in (
        "foresail_extender_nodes 1.0",
        "foresail_extender_pods 1.0",
        "foresail_extender_idle_gpus 3.0",
        "foresail_extender_assumed_pods 0.0",
        'foresail_extender_refused_nodes_total{kind="unable"} 1.0',
        'foresail_extender_request_duration_seconds_count{verb="filter"} 1.0',
    ):
        assert line in page


async def test_the_gpus_that_answers_are_based_on_are_shown_with_the_operators_price(
    tmp_path: Path,
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("NVIDIA H100 80GB HBM3: 2.5\n")
    one = node("a", gpus=4)
    one["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    api = Api()
    async with asking(api, replace(OPTIONS, prices=prices)) as asked:
        api.tell_all()
        api.tell(Kind.NODE, Changed(node_of(one)))
        api.tell(Kind.POD, Changed(pod_of(pod("p", gpus=1, on="a"))))
        expected = {
            "node": "a", "gpus": 4, "used": 1, "free": 3, "out": 0, "usd_per_gpu_hour": 2.5,
        }  # fmt: skip
        async with asyncio.timeout(60):
            while json.loads((await asked.page("/gpus"))[1]) != {"nodes": [expected]}:
                await asyncio.sleep(0.01)


async def test_launchers_are_asked_which_engines_sleep_in_them() -> None:
    sleeping = {"status": "running", "gpu_uuids": ["GPU-0"], "annotations": {"isc-name": "qwen"}}

    async def instances(_: web.Request) -> web.Response:
        return web.json_response({"instances": [sleeping]})

    app = web.Application()
    app.router.add_get("/v2/vllm/instances", instances)
    launcher, requester = pod("launcher", on="b"), pod("r", gpus=1)
    launcher["metadata"]["labels"] = {"app.kubernetes.io/component": "launcher"}
    launcher["status"]["podIP"] = "127.0.0.1"
    requester["metadata"]["annotations"] = {CONFIG: "qwen"}
    body = {"Pod": requester, "Nodes": None, "NodeNames": ["a", "b"]}
    api = Api()
    async with Sites() as sites, ClientSession() as session, asyncio.timeout(60):
        port = await sites.add(app, "127.0.0.1:0", takes_bodies=True)
        async with running(OPTIONS, api.follow, launcher_port=port) as ports:
            api.tell_all(but=Kind.NODE)
            nodes = node("a", gpus=1), node("b", gpus=1)
            api.tell(Kind.NODE, Listed(tuple(map(node_of, nodes))))
            await Asking(ports, session).until_ready()

            async def best() -> str:
                url = f"http://127.0.0.1:{ports.extender}/prioritize"
                async with session.post(url, json=body) as response:
                    return str(max(await response.json(), key=lambda one: one["Score"])["Host"])

            assert await best() == "a"  # the first of equals
            api.tell(Kind.POD, Changed(pod_of(launcher)))
            while await best() != "b":
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (SchedulerOptions(listen="8888"), "'8888' is not host:port"),
        (SchedulerOptions(listen="127.0.0.1:99999"), "cannot listen on 127.0.0.1:99999"),
        (SchedulerOptions(mix=Path("none.yaml")), "none.yaml: No such file"),
    ],
)
async def test_options_that_cannot_be_are_named(options: SchedulerOptions, why: str) -> None:
    with pytest.raises(ForesailError, match=why):
        async with running(options, Api().follow):
            pass


def test_without_a_cluster_the_command_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["scheduler", "--kubeconfig", str(tmp_path / "none")])

    assert result.exit_code == 1
    assert "no cluster to follow" in result.output
