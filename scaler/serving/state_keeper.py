"""Keeps states on disk while the scaler runs, without delaying the planning cycle.

Workloads' states are appended every second, so that the last replicas sent to KEDA survive a crash.
Feeds' states are written slice by slice, all of them within `state.every`. Encoding pauses after
each feed, and a thread waits for the disk. A disk that is full, read-only or gone is logged once,
and once more when it works again; planning continues without it.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import structlog

from scaler.clock import Clock
from scaler.decision.answers import Reference
from scaler.serving.state_files import SLICES, StateFiles, name_of, slice_of
from scaler.state.feed_bytes import FEED_BYTES_MAX, encode_feed
from scaler.state.frames import Frame
from scaler.state.records import FeedState

log = structlog.get_logger()

APPEND_SECONDS: Final = 1.0
APPENDED_BYTES_MIN: Final = 2**23
"""The workloads' file is written anew above this and above four times its size when new."""

TakeFeeds = Callable[[], Mapping[str, Callable[[], FeedState] | None]]
"""A function for every feed that returns its state; None while the one on disk may be better."""


class StateKeeper:
    """The only writer of a directory of states."""

    def __init__(self, files: StateFiles, *, every_seconds: float, clock: Clock) -> None:
        """Keep states in `files`.

        Args:
            every_seconds: how often each feed's state is written.
        """
        self._files = files
        self._every_seconds = every_seconds
        self._clock = clock
        self._latest: dict[Reference, Frame] = {}
        self._changed: dict[Reference, Frame] = {}
        self._size_whole: int | None = None
        """Size of the workloads' file when it was last written whole; None before."""
        self._works = True
        self._disk = asyncio.Lock()

    def note(self, reference: Reference, payload: bytes, *, at_seconds: float) -> None:
        """Have a workload's state written soon."""
        frame = Frame(name="", at_seconds=at_seconds, payload=payload)
        self._latest[reference] = self._changed[reference] = frame

    def forget(self, reference: Reference) -> None:
        """Leave a workload out when the file is next written whole."""
        self._latest.pop(reference, None)
        self._changed.pop(reference, None)

    async def run(self, feeds: TakeFeeds) -> None:
        """Write until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                _ = group.create_task(self._write_workloads(), name="write-workloads")
                _ = group.create_task(self._write_slices(feeds), name="write-feeds")
        finally:
            self._files.release()

    async def _write_workloads(self) -> None:
        while True:
            await asyncio.sleep(APPEND_SECONDS)
            if not self._changed:
                continue
            changed, self._changed = self._changed, {}
            if not await self._tried(self._append_or_replace, changed):
                self._changed = {**changed, **self._changed}

    def _append_or_replace(self, changed: Mapping[Reference, Frame]) -> None:
        self._files.acquire()
        if self._size_whole is not None:
            size = self._files.append_workloads(changed.values())
            if size <= max(APPENDED_BYTES_MIN, 4 * self._size_whole):
                return
        # Also at the start: a half-written state at the end of the file would hide appended ones.
        self._size_whole = self._files.replace_workloads(tuple(self._latest.values()))

    async def _write_slices(self, feeds: TakeFeeds) -> None:
        while True:
            for number in range(SLICES):
                await asyncio.sleep(self._every_seconds / SLICES)
                frames, left = [], set()
                for key, take in feeds().items():
                    if slice_of(key) != number:
                        continue
                    if take is None:
                        left.add(name_of(key))
                    else:
                        frames += _feed_frame(key, take)
                        await asyncio.sleep(0)
                if frames:
                    _ = await self._tried(self._write_slice, number, frames, left)

    def _write_slice(self, number: int, frames: Sequence[Frame], left: Collection[str]) -> None:
        self._files.acquire()
        self._files.write_feeds(number, frames, left=left, now_seconds=self._clock())

    async def _tried(self, write: Callable[..., None], *arguments: object) -> bool:
        """Write in a thread; returns whether it succeeded."""
        try:
            async with self._disk:
                await asyncio.to_thread(write, *arguments)
        except OSError as error:
            if self._works:
                log.warning(
                    "state_not_kept", directory=str(self._files.directory), error=str(error)
                )
            self._works = False
            return False
        if not self._works:
            log.info("state_kept_again", directory=str(self._files.directory))
        self._works = True
        return True


def feed_payload(key: str, take: Callable[[], FeedState]) -> tuple[float, bytes] | None:
    """Time and bytes of a feed's state; None where it cannot be taken, a fault of ours."""
    try:
        state = take()
        payload = encode_feed(state)
    except Exception:
        log.exception("state_not_taken", feed=key)
        return None
    if len(payload) > FEED_BYTES_MAX:  # a reader would take everything after it for damaged
        log.error("state_too_large", feed=key, bytes=len(payload), bytes_max=FEED_BYTES_MAX)
        return None
    return state.taken_at_seconds, payload


def _feed_frame(key: str, take: Callable[[], FeedState]) -> list[Frame]:
    found = feed_payload(key, take)
    if found is None:
        return []
    at_seconds, payload = found
    return [Frame(name=name_of(key), at_seconds=at_seconds, payload=payload)]
