"""The planner's side of states: their origin, and their receivers.

A workload's state comes over the link, and goes with each outcome. A feed's comes from a peer, else
from the disk, and goes to the disk at its own pace and to a peer that asks.
"""

import asyncio
from collections.abc import Iterable

import structlog
from typing_extensions import override

from foresail.clock import wall_clock
from foresail.serve.link import FeedFound, FeedsWanted, Link
from foresail.settings.serving import StateSettings
from scaler.decision.answers import Reference
from scaler.serving.state_book import StateBook
from scaler.serving.state_files import StateFiles
from scaler.serving.state_keeper import StateKeeper, TakeFeeds, feed_payload
from scaler.serving.state_requests import FeedRequests
from scaler.state.feed_bytes import decode_feed
from scaler.state.records import FeedState, StateRefusedError, WorkloadState
from scaler.state.workload_bytes import WORKLOAD_BYTES_MAX, decode_workload, encode_workload

log = structlog.get_logger()


class PlannerStates(StateBook):
    """The states of one planning process."""

    def __init__(self, settings: StateSettings, link: Link) -> None:
        self._link = link
        self._asks_peers = settings.peers is not None
        self._files = StateFiles(settings.directory) if settings.directory else None
        self._keeper = (
            StateKeeper(self._files, every_seconds=settings.every, clock=wall_clock)
            if self._files
            else None
        )
        self._inherited: dict[Reference, WorkloadState] = {}
        self._payloads: dict[Reference, bytes] = {}
        self.requests = FeedRequests(lambda keys: link.send(FeedsWanted(keys)))

    def inherit(self, payloads: Iterable[bytes]) -> None:
        """Take what the answering process knows of workloads."""
        for payload in payloads:
            try:
                state = decode_workload(payload)
                state.check(wall_clock())
            except StateRefusedError as error:  # the wall clock was set since
                log.warning("state_refused", reason=error.reason.value, why=str(error))
                continue
            self._inherited[state.reference] = state
            self._keep(state.reference, payload, state.asked_at_seconds)

    def payload(self, reference: Reference) -> bytes | None:
        """The newest state of a workload, as bytes."""
        return self._payloads.get(reference)

    @override
    def workload(self, reference: Reference) -> WorkloadState | None:
        return self._inherited.pop(reference, None)

    @override
    def note(self, state: WorkloadState) -> None:
        self._inherited.pop(state.reference, None)  # of a workload that was known already
        self._keep(state.reference, encode_workload(state), state.asked_at_seconds)

    @override
    def forget(self, reference: Reference) -> None:
        self._payloads.pop(reference, None)
        self._inherited.pop(reference, None)
        if self._keeper is not None:
            self._keeper.forget(reference)

    @override
    async def feed(self, key: str) -> FeedState | None:
        if self._asks_peers:
            found = self._usable(key, await self.requests.one(key))
            if found is not None:
                return found
        return self._usable(key, await self._from_disk(key))

    async def hand_over(self, keys: Iterable[str], feeds: TakeFeeds) -> None:
        """Send the states of feeds to the answering process, for a peer."""
        known = feeds()
        for key in keys:
            take = known.get(key)
            found = feed_payload(key, take) if take is not None else None
            self._link.send(FeedFound(key, found[1] if found is not None else None))
            await asyncio.sleep(0)

    async def run(self, feeds: TakeFeeds) -> None:
        """Keep states on disk until cancelled."""
        if self._keeper is not None:
            await self._keeper.run(feeds)
        await asyncio.Event().wait()

    def _keep(self, reference: Reference, payload: bytes, at_seconds: float) -> None:
        if len(payload) > WORKLOAD_BYTES_MAX:
            # Names, metadata and texts are bounded; a reader would take all behind it for damaged.
            self.forget(reference)
            return
        self._payloads[reference] = payload
        if self._keeper is not None:
            self._keeper.note(reference, payload, at_seconds=at_seconds)

    def _usable(self, key: str, payload: bytes | None) -> FeedState | None:
        if payload is None:
            return None
        try:
            state = decode_feed(payload)
            state.check(key, wall_clock())
        except StateRefusedError as error:
            log.warning("state_refused", feed=key, reason=error.reason.value, why=str(error))
            return None
        return state

    async def _from_disk(self, key: str) -> bytes | None:
        if self._files is None:
            return None
        try:
            return await asyncio.to_thread(self._files.read_feed, key)
        except OSError as error:
            log.warning("state_not_read", feed=key, error=str(error))
            return None
