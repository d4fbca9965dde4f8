"""The answering process's side of states: where it takes them at the start, and who is given them.

At the start it learns what other servers, or this one before a restart, last answered, so that no
question of KEDA meets a server that knows nothing. Later it follows its peers, because KEDA may ask
one server for hours before it asks another.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from uuid import uuid4

import structlog

from foresail.clock import steady_clock, wall_clock
from foresail.serve.admission import tls_files
from foresail.serve.link import FeedFound, FeedsWanted, Link
from foresail.settings.file import Settings
from scaler.decision.answers import Answer, Reference, TimedOutcome
from scaler.rpc.foresail.v1 import state_pb2 as pb
from scaler.serving.board import SUPERSEDED_SECONDS, Board
from scaler.serving.state_files import StateFiles
from scaler.serving.state_held import HeldStates
from scaler.serving.state_peers import PeerAddress, Peers
from scaler.serving.state_requests import FeedRequests
from scaler.serving.state_service import (
    KEYS_MAX,
    StateService,
    admit_all,
    admit_named,
)

log = structlog.get_logger()

FOLLOW_SECONDS = 60.0
_ADOPTED_AT_ONCE = 50


class Handover:
    """What this server knows of workloads, and whom it hands it to."""

    def __init__(self, settings: Settings, board: Board) -> None:
        """Prepare to ask and to be asked.

        Raises:
            ForesailError: peers cannot be asked as the settings are.
        """
        state, instance = settings.state, uuid4().hex
        self._board = board
        self._answer_seconds_max = settings.cycle.answer_max
        self._files = StateFiles(state.directory) if state.directory else None
        address = PeerAddress.of(state.peers) if state.peers else None
        tls = tls_files(settings)
        self._peers = Peers(address, instance=instance, tls=tls) if address else None
        self._wanted: asyncio.Queue[str] = asyncio.Queue()
        self.held = HeldStates()
        self.service = (
            StateService(
                self._lately_asked,
                self,
                instance=instance,
                admit=admit_named(address.host) if tls else admit_all,
            )
            if address
            else None
        )
        self._requests: FeedRequests | None = None

    async def begin(self) -> None:
        """Learn what was last answered, here or by a peer."""
        from_peers = await self._peers.workloads() if self._peers else []
        from_disk = await asyncio.to_thread(self._on_disk)
        count = await self._adopt([*from_disk, *from_peers])
        if count:
            log.info("states_taken_over", workloads=count, of_peers=len(from_peers))

    async def follow(self) -> None:
        """Learn of objects that only peers were asked about, until cancelled."""
        while self._peers is not None:
            await asyncio.sleep(FOLLOW_SECONDS)
            _ = await self._adopt(await self._peers.workloads())

    async def serve_planner(self, link: Link) -> None:
        """Ask peers for what the planner wants, all that came meanwhile together."""
        while True:
            keys = [await self._wanted.get()]
            while len(keys) < KEYS_MAX and not self._wanted.empty():
                keys.append(self._wanted.get_nowait())
            missing = set(keys)
            if self._peers is not None:
                async for payload in self._peers.feeds(keys):
                    key = pb.FeedState.FromString(payload).key
                    missing.discard(key)
                    link.send(FeedFound(key, payload))
            for key in missing:
                link.send(FeedFound(key, None))

    def want(self, keys: tuple[str, ...]) -> None:
        """Take the planner's wish for feeds' states."""
        for key in keys:
            self._wanted.put_nowait(key)

    def attach(self, link: Link | None) -> None:
        """Ask this planner on behalf of peers; none while it is started again."""
        self._wanted = asyncio.Queue()
        self._requests = (
            FeedRequests(lambda keys: link.send(FeedsWanted(keys))) if link is not None else None
        )

    def found(self, key: str, payload: bytes | None) -> None:
        """Take the planner's answer for a peer."""
        if self._requests is not None:
            self._requests.found(key, payload)

    async def read(self, keys: Sequence[str]) -> AsyncGenerator[bytes]:
        """The planner's states of feeds, for a peer."""
        if self._requests is not None:
            async for payload in self._requests.read(keys):
                yield payload

    async def forget_unknown(self) -> None:
        """Drop the states of objects that the board forgot, or had no room for."""
        await self.held.keep_known(lambda reference: self._board.known(reference) is not None)

    def _lately_asked(self) -> Iterator[pb.WorkloadState]:
        # What one server dropped as superseded shall not come back from another.
        return self.held.asked_since(wall_clock() - SUPERSEDED_SECONDS, self._asked_at)

    def _asked_at(self, reference: Reference) -> float | None:
        entry = self._board.known(reference)
        if entry is None:
            return None
        return wall_clock() - (steady_clock() - entry.asked_at_seconds)

    def _on_disk(self) -> list[bytes]:
        if self._files is None:
            return []
        try:
            return [frame.payload for frame in self._files.read_workloads()]
        except OSError as error:
            log.warning("states_not_read", directory=str(self._files.directory), error=str(error))
            return []

    async def _adopt(self, payloads: list[bytes]) -> int:
        """Make objects known with their last answers, pausing for KEDA's questions."""
        states = await self.held.adopt(payloads, now_seconds=wall_clock())
        for number, state in enumerate(states, 1):
            asked_at = steady_clock() - max(0.0, wall_clock() - state.asked_at_seconds)
            self._board.adopt(state.reference, self._posted(state.answer), asked_at)
            if number % _ADOPTED_AT_ONCE == 0:
                await asyncio.sleep(0)
        await self.forget_unknown()
        return len(states)

    def _posted(self, answer: Answer | None) -> TimedOutcome | None:
        """The answer as it stands now: its age is that of its reading."""
        if answer is None:
            return None
        read_at = steady_clock() - max(0.0, wall_clock() - answer.made_at_seconds)
        return TimedOutcome(
            outcome=answer,
            read_at_seconds=read_at,
            valid_until_seconds=read_at + self._answer_seconds_max,
        )
