"""Taking back all that controllers wrote, against a fake API server."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import click
import pytest
from click.testing import CliRunner
from kubernetes_asyncio.client import ApiClient, Configuration

from fleet.cluster.follow.api import Patience
from fleet.cluster.kinds import SOURCES, Kind
from foresail.cli import main
from foresail.commands.nodes import controller
from foresail.controller import withdrawing
from foresail.controller.options import ControllerOptions
from policies.levers.marks import MANAGED_BY, OURS, POOL
from policies.levers.objects import PRIORITY_CLASS
from policies.policy.pool_policy import Lever
from scaler.errors import ForesailError
from tests.fleet.api_server import Write
from tests.foresail.controller.writable_server import WritableServer
from tests.policies.test_node_planning import two_nodes

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

QUICK = Patience(page=60.0, silence=60.0, first_retry=0.01, longest_retry=0.02, absent=0.02)
NODES = SOURCES[Kind.NODE].path
BY_HAND = ControllerOptions(context="prod")
HELD = {
    "karpenter.sh/do-not-disrupt": "true",
    "foresail.io/kept-because": "warm floor",
    "foresail.io/kept-until": "2026-11-29T12:00:00Z",
}


def held_node() -> dict[str, Any]:
    """A node that we hold, with what the API server tells of whose field it is."""
    (node, *_) = two_nodes()[Kind.NODE]
    node["metadata"]["annotations"] = {**node["metadata"].get("annotations", {}), **HELD}
    return node


@pytest.fixture
async def server() -> AsyncIterator[WritableServer]:
    one = WritableServer()
    for kind in (*two_nodes(), Kind.SLICE, Kind.CLAIM, Kind.CLASS):
        source = SOURCES[kind]
        one.serve(source.path, source.object_kind, *two_nodes().get(kind, []))
    one.serve(NODES, "Node", held_node())
    await one.start()
    yield one
    await one.stop()


async def withdrawn(
    server: WritableServer, options: ControllerOptions = BY_HAND, **given: float
) -> None:
    settings = Configuration()
    settings.host = f"http://127.0.0.1:{server.port}"
    async with ApiClient(settings) as client:
        await withdrawing.withdrawn(client, options, QUICK, look_seconds=0.05, **given)


async def test_a_hold_is_taken_off_and_then_it_ends(server: WritableServer) -> None:
    tasks = set()

    def take(write: Write) -> tuple[int, Any]:
        node = held_node()
        for key in HELD:
            del node["metadata"]["annotations"][key]
        tasks.add(asyncio.ensure_future(server.put(NODES, node)))
        return 200, node

    server.taking = take
    await withdrawn(server)
    (write,) = {(one.method, one.path) for one in server.writes}
    name = held_node()["metadata"]["name"]
    assert write == ("PATCH", f"{NODES}/{name}")
    # No Lease is taken: no controller may write any more where it runs.
    assert server.written == {}


async def test_where_nothing_is_ours_nothing_is_written(server: WritableServer) -> None:
    server.serve(NODES, "Node", *two_nodes()[Kind.NODE])
    await withdrawn(server)
    assert server.writes == []


async def test_what_stays_is_named(server: WritableServer) -> None:
    server.taking = lambda _: (403, {"kind": "Status", "code": 403, "message": "not for you"})
    name = held_node()["metadata"]["name"]
    within_seconds, said = 0.25, "the cluster was not read"
    while "the cluster was not read" in said:  # a busy core needs longer
        within_seconds *= 2
        with pytest.raises(ForesailError) as stayed:
            await withdrawn(server, within_seconds=within_seconds)
        said = str(stayed.value)
    assert f"still there: Node {name}" in said


async def test_objects_of_another_namespace_are_named_and_their_class_is_left(
    server: WritableServer,
) -> None:
    server.serve(NODES, "Node", *two_nodes()[Kind.NODE])
    labels = {MANAGED_BY: OURS, POOL: "h100"}
    metadata = {"name": "foresail-h100", "namespace": "gpu-system", "labels": labels}
    server.serve("/apis/apps/v1/deployments", "Deployment", {"metadata": metadata})
    shared = {"metadata": {"name": PRIORITY_CLASS.name, "labels": labels, "uid": "u"}}
    server.documents[PRIORITY_CLASS.path] = shared
    with pytest.raises(ForesailError) as told:
        await withdrawn(server, within_seconds=20.0)
    assert str(told.value) == (
        "taken back in the namespace foresail; others still have: Deployment "
        "gpu-system/foresail-h100. Call `foresail controller --withdraw -n gpu-system`"
    )
    assert server.writes == []
    # The chart's Job knows its namespace: labels that a tenant writes do not fail it.
    await withdrawn(server, ControllerOptions())


async def test_other_namespaces_that_may_not_be_read_stop_nothing(server: WritableServer) -> None:
    server.serve(NODES, "Node", *two_nodes()[Kind.NODE])
    server.forbidden = {"/apis/apps/v1/deployments"}
    await withdrawn(server)


def test_it_goes_with_no_round_of_its_own() -> None:
    result = CliRunner().invoke(main, ["controller", "--withdraw", "--once"])
    assert result.exit_code == 2
    assert "--withdraw goes with neither" in result.output


def test_a_lever_is_one_of_the_policys_and_goes_with_it_alone() -> None:
    result = CliRunner().invoke(main, ["controller", "--lever", "placeholder"])
    assert (result.exit_code, "--lever goes with --withdraw alone" in result.output) == (2, True)
    (option,) = (one for one in controller.params if one.name == "levers")
    assert isinstance(option.type, click.Choice)
    assert set(option.type.choices) == {one.value for one in Lever}


async def test_of_a_lever_only_what_it_wrote_is_taken_back(server: WritableServer) -> None:
    only = frozenset({Lever.PLACEHOLDER})
    await withdrawn(server, replace(BY_HAND, withdrawn_levers=only))
    assert server.writes == []
