"""Hot starts in the extender's answers: where an engine of the pod's model sleeps."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from fleet.cluster.kinds import Kind
from scheduler.extender import Extender
from scheduler.history import USUAL, History
from scheduler.hot_starts import HOT_MILLI, LOST_MILLI
from scheduler.intake import Intake
from scheduler.launchers import CONFIG, Config, Instance
from scheduler.mix import Mix
from scheduler.placement_state import SCORE_MAX, PlacementState
from scheduler.score.hot_start import HOT_START
from tests.scheduler.objects import Json, drop, node, pod, put

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

QWEN = Config(namespace="llm", name="qwen3-32b")


def launcher(on: str) -> Json:
    document = pod(f"launcher-{on}", on=on)
    document["metadata"]["labels"] = {"app.kubernetes.io/component": "launcher"}
    document["status"]["podIP"] = "10.0.0.1"
    return document


def requester(name: str, config: str = QWEN.name) -> Json:
    document = pod(name, gpus=1)
    document["metadata"]["annotations"] = {CONFIG: config}
    return document


def intake(*documents: Json) -> Intake:
    """Nodes a and b of two GPUs, alike in all but their launchers."""
    made = Intake(PlacementState((), Mix(dict(USUAL))), History())
    for name in ("a", "b"):
        put(made, Kind.NODE, node(name, gpus=2))
    for document in documents:
        put(made, Kind.POD, document)
    return made


def answer(made: Intake, *gpus: str) -> None:
    """Each launcher tells of a sleeping qwen3-32b on each of these GPUs."""
    state = made.placement.launchers
    state.answered(
        {
            one: tuple(Instance(node=one.node, config=QWEN, gpus=frozenset({gpu})) for gpu in gpus)
            for one in state.launchers
        }
    )


@asynccontextmanager
async def asking(made: Intake) -> AsyncIterator[ClientSession]:
    extender = Extender(placement=made.placement, clock=lambda: 0.0, known=made.known)
    server = TestServer(extender.application())
    await server.start_server()
    async with ClientSession(base_url=server.make_url("/")) as session:
        yield session
    await server.close()


async def best(session: ClientSession, document: Json) -> str:
    body = {"Pod": document, "Nodes": None, "NodeNames": ["a", "b"]}
    async with session.post("/prioritize", json=body) as response:
        scores: list[dict[str, Any]] = await response.json()
    (name,) = [str(one["Host"]) for one in scores if one["Score"] == SCORE_MAX]
    return name


async def test_a_requester_goes_where_its_engine_sleeps_as_soon_as_the_launcher_says_so() -> None:
    made = intake(launcher("b"))
    async with asking(made) as session:
        assert await best(session, requester("r")) == "a"  # nothing is known: the first of equals
        answer(made, "GPU-0", "GPU-1")
        assert await best(session, requester("r")) == "b"
        found = made.placement.answers.of("llm/r")
        drop(made, Kind.POD, launcher("b"))
        assert await best(session, requester("r")) == "a"
    assert found is not None
    milli = {one.node: one.columns.get(HOT_START) for one in found.candidates}
    assert milli == {"a": None, "b": HOT_MILLI}


async def test_other_pods_keep_away_from_the_gpus_of_sleepers() -> None:
    made = intake(launcher("a"))
    answer(made, "GPU-0")
    async with asking(made) as session:
        assert await best(session, requester("other", "llama-8b")) == "b"
        assert await best(session, pod("batch", gpus=1)) == "b"
        found = made.placement.answers.of("llm/other")
    assert found is not None
    # One of two GPUs has the sleeper.
    milli = {one.node: one.columns.get(HOT_START) for one in found.candidates}
    assert milli == {"a": -LOST_MILLI / 2, "b": None}


async def test_a_launcher_that_has_ended_is_not_asked_any_more() -> None:
    made = intake(launcher("b"))
    assert [one.address for one in made.placement.launchers.launchers] == ["10.0.0.1"]
    ended = launcher("b")
    ended["status"]["phase"] = "Failed"
    put(made, Kind.POD, ended)
    assert made.placement.launchers.launchers == ()
