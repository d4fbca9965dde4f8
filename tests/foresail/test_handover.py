"""Two answering processes over one connection: what one knows, the other answers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from foresail.serve import handover
from foresail.serve.answering import Answering
from foresail.serve.handover import Handover
from foresail.serve.link import FeedFound, FeedsWanted, Message
from foresail.settings.file import Settings
from scaler.decision.answers import Answer, Reference, Refusal
from scaler.serving import state_peers
from scaler.serving.server import ScalerServer
from scaler.state.feed_bytes import decode_feed, encode_feed
from scaler.state.records import WorkloadState
from scaler.state.workload_bytes import encode_workload
from tests.prometheus import free_port
from tests.state.records import feed

pytestmark = pytest.mark.looptime(False)  # sockets need real time


@pytest.fixture(autouse=True)
def _patient_with_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer on a busy core is late, and no less there."""
    monkeypatch.setattr(state_peers, "LIST_SECONDS_MAX", 60.0)
    monkeypatch.setattr(state_peers, "FEEDS_SECONDS_MAX", 60.0)


@dataclass
class Server:
    """An answering process without its planner."""

    front: Answering
    port: int

    @property
    def handover(self) -> Handover:
        return self.front.handover

    def answered(self, name: str, replicas: int, *, age_seconds: float = 0.0) -> Reference:
        """KEDA asked about an object, and the planner published this a while ago."""
        reference = Reference.of("llm", name, {"model": "m", "mode": "act"})
        self.front.board.ask(reference)
        at = time.time() - age_seconds  # noqa: TID251
        answer = Answer(replicas=replicas, active=True, made_at_seconds=at)
        state = WorkloadState(reference=reference, asked_at_seconds=at, answer=answer)
        self.handover.held.keep(reference, encode_workload(state))
        return reference

    def outcome(self, reference: Reference) -> Answer | Refusal | None:
        entry = self.front.board.known(reference)
        return entry.current() if entry is not None else None


@asynccontextmanager
async def serving(peers_port: int, objects_max: int = 5000) -> AsyncIterator[Server]:
    settings = Settings.model_validate(
        {
            "sources": [{"name": "main", "prometheus": {"url": "http://127.0.0.1:9"}}],
            "state": {"peers": f"localhost:{peers_port}"},
            "limits": {"objectsMax": objects_max},
        }
    )
    front = Answering(settings)
    server: ScalerServer = front.server
    port = await server.start("127.0.0.1:0", None)
    try:
        yield Server(front, port)
    finally:
        await server.drain()


@asynccontextmanager
async def pair(*, objects_max: int = 5000) -> AsyncIterator[tuple[Server, Server]]:
    """A server that runs, and one whose peer it is, with room for so many objects."""
    async with (
        serving(free_port()) as running,
        serving(running.port, objects_max) as joining,
    ):
        yield running, joining


async def test_a_joining_server_answers_as_old_as_the_peers_reading() -> None:
    async with pair() as (running, joining):
        fresh = running.answered("fresh", 7, age_seconds=100)
        stale = running.answered("stale", 8, age_seconds=400)

        await joining.handover.begin()

        outcome = joining.outcome(fresh)
        assert isinstance(outcome, Answer)
        assert outcome.replicas == 7
        assert isinstance(joining.outcome(stale), Refusal)  # answerMax is five minutes
        arrived = joining.front.board.take_changes().arrived
        assert {arrival.reference for arrival in arrived} == {fresh, stale}


async def test_an_object_that_only_the_peer_was_asked_about_later_becomes_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handover, "FOLLOW_SECONDS", 0.05)
    async with pair() as (running, joining):
        await joining.handover.begin()
        following = asyncio.create_task(joining.handover.follow())

        reference = running.answered("later", 5)
        async with asyncio.timeout(60):
            await joining.front.board.arrived.wait()
        following.cancel()

        outcome = joining.outcome(reference)
        assert isinstance(outcome, Answer)
        assert outcome.replicas == 5


async def test_states_that_the_board_has_no_room_for_are_not_held() -> None:
    async with pair(objects_max=1) as (running, joining):
        asked = joining.answered("asked", 3)
        refused = running.answered("refused", 5)
        await joining.handover.begin()

        assert joining.outcome(refused) is None
        assert joining.handover.held.of([refused]) == ()
        assert len(joining.handover.held.of([asked])) == 1


async def test_the_state_of_an_object_that_the_board_forgot_is_dropped() -> None:
    async with pair(objects_max=1) as (running, joining):
        adopted = running.answered("adopted", 5)
        await joining.handover.begin()
        assert len(joining.handover.held.of([adopted])) == 1

        asked = joining.answered("asked", 3)  # takes its place on the full board
        await joining.handover.forget_unknown()

        assert joining.handover.held.of([adopted]) == ()
        assert len(joining.handover.held.of([asked])) == 1


class PlannerLink:
    """A planner that has the feed `a`, or asks for feeds."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._sent: asyncio.Queue[Message] = asyncio.Queue()

    async def heard(self) -> Message:
        """The next message to this planner."""
        async with asyncio.timeout(60):
            return await self._sent.get()

    def send(self, message: Message) -> None:
        self._sent.put_nowait(message)
        if isinstance(message, FeedsWanted):
            for key in message.keys:
                self.server.handover.found(key, encode_feed(feed("a")) if key == "a" else None)


async def test_a_planner_gets_its_peers_feeds_through_both_answering_processes() -> None:
    async with pair() as (running, joining):
        running.handover.attach(PlannerLink(running))  # type: ignore[arg-type]
        link = PlannerLink(joining)
        joining.handover.attach(link)  # type: ignore[arg-type]
        serving_planner = asyncio.create_task(
            joining.handover.serve_planner(link)  # type: ignore[arg-type]
        )

        joining.handover.want(("a", "b"))
        first, second = await link.heard(), await link.heard()
        serving_planner.cancel()

        assert isinstance(first, FeedFound)
        assert first.payload is not None
        assert decode_feed(first.payload) == feed("a")
        assert second == FeedFound("b", None)


async def test_without_a_planner_a_server_has_no_feeds_and_its_peer_hears_so() -> None:
    async with pair() as (_, joining):
        link = PlannerLink(joining)
        joining.handover.attach(link)  # type: ignore[arg-type]
        serving_planner = asyncio.create_task(
            joining.handover.serve_planner(link)  # type: ignore[arg-type]
        )

        joining.handover.want(("a",))
        assert await link.heard() == FeedFound("a", None)
        serving_planner.cancel()
