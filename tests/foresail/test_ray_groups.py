"""`foresail ray-scale --worker-group`: floors of KubeRay's worker groups, at an API server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from kubernetes_asyncio.client import ApiClient, Configuration

from foresail.api.change_executor import Retries
from foresail.cli import main
from foresail.plans_api.plan import Plan, plan_of
from foresail.ray.clusters import RayClusters
from foresail.ray.command import GroupScaling, Lines, RayOptions
from foresail.ray.targets import groups_of
from scaler.errors import ForesailError
from scaler.serving.plan_message import plan_message
from tests.contracts.plan_readers import NOW, named, status
from tests.fleet.api_server import ApiServer, Object, Write

pytestmark = pytest.mark.looptime(False)  # sockets need real time

FILE = Path(__file__).parent.parent / "fixtures" / "raycluster.yaml"
CLUSTERS = "/apis/ray.io/v1/namespaces/team-a/rayclusters"
NAME = "chat-raycluster-x7k2p"
WORKLOAD = "team-a/a"


def plan(replicas: int) -> Plan:
    made = plan_of(plan_message(status(named("a"), replicas=replicas), now_seconds=NOW))
    return replace(made, on_watch_list=True)


def patched(document: Object, operations: list[dict[str, Any]]) -> Object | None:
    """The object after a JSON patch; None where one of its tests fails."""
    made = deepcopy(document)
    for one in operations:
        *way, last = one["path"].strip("/").split("/")
        at: Any = made
        for key in way:
            at = at[int(key)] if isinstance(at, list) else at[key]
        if one["op"] == "test" and at.get(last) != one["value"]:
            return None
        at[last] = one["value"]
    return made


@dataclass
class Kube:
    """An API server with a RayCluster, and the command beside it."""

    server: ApiServer
    client: ApiClient
    lines: list[str] = field(default_factory=list)

    @property
    def cluster(self) -> Object:
        return self.server.documents[f"{CLUSTERS}/{NAME}"]

    def take(self, write: Write) -> tuple[int, Object]:
        made = patched(self.cluster, write.body)
        if made is None:
            return 422, {"message": "the test failed"}
        self.server.documents[write.path] = made
        return 200, made

    async def follows(self, replicas: int, group: str, **options: Any) -> str:
        """What is said of a plan."""
        scaling = GroupScaling(
            options=RayOptions(
                server="",
                tls=None,
                ray="",
                token_file=None,
                targets={},
                groups=groups_of([f"{WORKLOAD}={group}"]),
                **{"acts": True, **options},
            ),
            ray=RayClusters(client=self.client, retries=Retries(tries=1)),
            lines=Lines(say=self.lines.append),
        )
        before = len(self.lines)
        await scaling.take([plan(replicas)])
        (line,) = self.lines[before:]
        return line


@asynccontextmanager
async def served(document: Object) -> AsyncIterator[Kube]:
    server = ApiServer()
    server.documents[f"{CLUSTERS}/{NAME}"] = document
    await server.start()
    client = ApiClient(Configuration(host=f"http://127.0.0.1:{server.port}"))
    kube = Kube(server, client)
    server.taking = kube.take
    try:
        async with client:
            yield kube
    finally:
        await server.stop()


@pytest.fixture
def document() -> Object:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("group", "replicas", "options", "least", "line"),
    [
        pytest.param("gpu", 4, {}, 4, "minReplicas from 1 to 4, 4 pods", id="up"),
        pytest.param("gpu", 0, {}, 0, "minReplicas from 1 to 0, 0 pods", id="down"),
        pytest.param(
            "gpu", 9, {}, 6, "from 1 to 6, 6 pods; maxReplicas is 6, 9 are wanted", id="capped"
        ),
        pytest.param("pair", 3, {}, 3, "from 0 to 3, 6 pods", id="replicas of two hosts"),
        pytest.param(
            "gpu", 2, {"replica_hosts": 2}, 4, "from 1 to 4, 4 pods", id="a model on two pods"
        ),
        pytest.param(
            "pair", 3, {"replica_hosts": 1}, 2, "from 0 to 2, 4 pods", id="two models on a replica"
        ),
    ],
)
async def test_with_in_tree_autoscaling_only_min_replicas_changes(
    document: Object, group: str, replicas: int, options: dict[str, Any], least: int, line: str
) -> None:
    expected = deepcopy(document)
    (of_group,) = [g for g in expected["spec"]["workerGroupSpecs"] if g["groupName"] == group]
    of_group["minReplicas"] = least

    async with served(document) as kube:
        said = await kube.follows(replicas, f"raycluster/{NAME}/{group}", **options)
        assert kube.cluster == expected
    assert line in said


async def test_without_autoscaling_replicas_are_advised_and_nothing_is_written(
    document: Object,
) -> None:
    document["spec"]["enableInTreeAutoscaling"] = False
    async with served(document) as kube:
        said = await kube.follows(4, f"raycluster/{NAME}/gpu")
        assert kube.server.writes == []
    assert said == (
        f"{WORKLOAD}: raycluster/{NAME}/gpu has no autoscaling: replicas may go from 3 to 4, "
        "4 pods (advice)"
    )


async def test_without_act_the_floor_is_advised_and_nothing_is_written(document: Object) -> None:
    async with served(document) as kube:
        said = await kube.follows(4, f"raycluster/{NAME}/gpu", acts=False)
        assert kube.server.writes == []
    assert "would get minReplicas from 1 to 4, 4 pods (advice)" in said


async def test_a_status_that_leads_to_another_namespace_changes_nothing_there(
    document: Object,
) -> None:
    led = f"../../team-b/rayclusters/{NAME}"
    service = {"status": {"activeServiceStatus": {"rayClusterName": led}}, "spec": {}}
    theirs = deepcopy(document)
    theirs["metadata"]["namespace"] = "team-b"
    async with served(document) as kube:
        kube.server.documents["/apis/ray.io/v1/namespaces/team-a/rayservices/chat"] = service
        kube.server.documents[f"/apis/ray.io/v1/namespaces/team-b/rayclusters/{NAME}"] = theirs
        line = await kube.follows(3, "rayservice/chat/gpu")
        assert "its status names no RayCluster" in line
        assert kube.server.writes == []


async def test_of_a_ray_service_the_active_cluster_is_changed(document: Object) -> None:
    service = {"status": {"activeServiceStatus": {"rayClusterName": NAME}}, "spec": {}}
    async with served(document) as kube:
        path = "/apis/ray.io/v1/namespaces/team-a/rayservices/chat"
        kube.server.documents[path] = service
        await kube.follows(4, "rayservice/chat/gpu")
        assert [write.path for write in kube.server.writes] == [f"{CLUSTERS}/{NAME}"]
        assert kube.cluster["spec"]["workerGroupSpecs"][1]["minReplicas"] == 4
        service["status"] = {}
        assert "no active RayCluster" in await kube.follows(5, "rayservice/chat/gpu")


@pytest.mark.parametrize(
    ("edit", "group", "why"),
    [
        pytest.param(
            lambda spec: spec["workerGroupSpecs"][1].update(minReplicas=4),
            "gpu",
            "4 is its minReplicas",
            id="there already",
        ),
        pytest.param(
            lambda spec: spec["workerGroupSpecs"][1].update(suspend=True),
            "gpu",
            "suspended",
            id="suspended",
        ),
        pytest.param(lambda _: None, "gpus", "no such worker group", id="misspelled"),
        pytest.param(
            lambda spec: spec["workerGroupSpecs"][1].update(minReplicas="many"),
            "gpu",
            "minReplicas is no count",
            id="no count",
        ),
    ],
)
async def test_a_group_that_need_not_or_must_not_change_stays(
    document: Object, edit: Any, group: str, why: str
) -> None:
    edit(document["spec"])
    async with served(document) as kube:
        said = await kube.follows(4, f"raycluster/{NAME}/{group}")
        assert kube.server.writes == []
    assert "stays" in said
    assert why in said


async def test_a_cluster_that_changed_since_it_was_read_is_not_overwritten(
    document: Object,
) -> None:
    async with served(document) as kube:
        kube.server.taking = lambda _: (422, {"message": "the test of minReplicas failed"})
        said = await kube.follows(4, f"raycluster/{NAME}/gpu")
    assert "stays until the next plan: changed since it was read" in said


async def test_a_server_that_refuses_is_told_with_what_to_do(document: Object) -> None:
    async with served(document) as kube:
        kube.server.taking = lambda _: (403, {"message": "rayclusters is forbidden"})
        said = await kube.follows(4, f"raycluster/{NAME}/gpu")
    assert "refused" in said
    assert "the role of this account must allow it" in said


@pytest.mark.parametrize(
    "groups",
    [
        ["llm/m"],
        ["llm/m=chat/gpu"],
        ["llm/m=deployment/chat/gpu"],
        ["llm/m=raycluster/chat/../gpu"],
        ["llm/m=raycluster/chat/gpu", "llm/m=raycluster/chat/cpu"],
        ["llm/m=raycluster/chat/gpu", "llm/n=raycluster/chat/gpu"],
    ],
)
def test_worker_groups_that_cannot_be_used_are_refused(groups: list[str]) -> None:
    with pytest.raises(ForesailError, match="--worker-group"):
        groups_of(groups)


def test_nothing_to_scale_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["ray-scale"])
    assert result.exit_code == 2
    assert "--worker-group" in result.output
