"""The cycle: look at every feed, plan every workload, publish on the board.

It runs at its own pace on a grid of wall time, so that every replica of Foresail looks at the same
moments; questions from KEDA only wake it when they name something new. Feeds are independent: one
that fails or is slow ends as its own sight, and the others do not notice.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import structlog

from scaler.board import Board, Entry, Reference, Refusal, RefusalCode
from scaler.clock import Clock
from scaler.errors import SourceError, SourceUnavailableError
from scaler.feed_key import FeedKey
from scaler.history import Span, read_into
from scaler.journal import note_change, note_refused
from scaler.metadata import TriggerMetadata
from scaler.metrics import LoopMetrics
from scaler.parameters import parameters_of
from scaler.signals import Feed
from scaler.track import Forecaster, Series, Sight, Track
from scaler.verdict import Standing, judge
from scaler.watched import Connection, Watched, Workload

log = structlog.get_logger()

_ASK_AGAIN_SECONDS = (60.0, 300.0, 900.0, 3600.0)
"""Between tries to read a past from a source that was down when we began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """The pace of the cycle and its limits."""

    look_period_seconds: float = 15.0
    step_seconds: float = 60.0
    """Of the forecast's series; a step's value is the mean of its looks."""
    blind_seconds_max: float = 300.0
    """How long the last plan stands without a usable reading."""
    look_seconds_max: float = 10.0
    looks_at_once: int = 16
    history_seconds: float = 14 * 86400.0
    restore_seconds_max: float = 600.0
    restores_at_once: int = 2
    """Reading the past must leave the source room for the present."""
    beside: tuple[Series, ...] = ()
    """Forecast to be shown, beside what plans are made from."""


Connect = Callable[[Reference, TriggerMetadata], Connection]
MakeForecaster = Callable[[TriggerMetadata, Series], Forecaster]


class ScalerLoop:
    """The cycle over all feeds. `run` owns every task it starts."""

    def __init__(
        self,
        board: Board,
        connect: Connect,
        make_forecaster: MakeForecaster,
        settings: LoopSettings,
        *,
        clock: Clock,
        metrics: LoopMetrics,
    ) -> None:
        self._board = board
        self._connect = connect
        self._make_forecaster = make_forecaster
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._watched: dict[FeedKey, Watched] = {}
        self._known: dict[Reference, Watched] = {}
        self._looks = asyncio.Semaphore(settings.looks_at_once)
        self._restores = asyncio.Semaphore(settings.restores_at_once)
        self._cycled_at = clock()

    @property
    def watched(self) -> Mapping[Reference, Watched]:
        """Each workload's feed, for whoever explains or exports it."""
        return self._known

    async def run(self) -> None:
        """Cycle until cancelled."""
        next_at = self._next_look()
        again: list[Entry] = []
        async with asyncio.TaskGroup() as group:
            while True:
                for watched in self._admit([*self._board.take_arrivals(), *again]):
                    beginning = self._guarded(self._begin_patiently(watched), watched)
                    _ = group.create_task(beginning, name="begin")
                left = next_at - self._clock()
                if left > 0:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(left):
                            await self._board.arrived.wait()
                    again = []
                    continue
                await self.cycle(at_seconds=next_at)
                again = self._not_taken_up()
                next_at = self._next_look()

    async def begin(self) -> None:
        """Take up everything the board was newly asked about, and its history; then return."""
        for watched in self._admit(self._board.take_arrivals()):
            await self._guarded(self._begin(watched), watched)

    async def cycle(self, *, at_seconds: float) -> None:
        """Look at every feed once, as of `at_seconds`; plan and publish."""
        with self._metrics.cycle_seconds.time():
            async with asyncio.TaskGroup() as group:
                for watched in tuple(self._watched.values()):
                    look = self._look_and_publish(watched, at_seconds)
                    _ = group.create_task(self._guarded(look, watched), name="look")
        self._board.forget_superseded()
        # The board also drops what was silent for long when it is full.
        for reference in tuple(self._known):
            if self._board.known(reference) is None:
                self._forget(reference)
        self._cycled_at = self._clock()

    def overdue_seconds(self) -> float:
        """How long past its time the last cycle is; 0 while the loop keeps up."""
        allowed = 3 * self._settings.look_period_seconds + self._settings.look_seconds_max
        return max(0.0, self._clock() - self._cycled_at - allowed)

    def _next_look(self) -> float:
        """The next moment of the grid; moments that a long cycle overran are left out."""
        period = self._settings.look_period_seconds
        return (self._clock() // period + 1) * period

    def _not_taken_up(self) -> list[Entry]:
        """Entries whose connection was refused: what stood in its way may be gone by now.

        Tried in vain, they are refused anew, and so are not taken for forgotten.
        """
        return [
            entry
            for entry in self._board
            if entry.wishes is not None and entry.reference not in self._known
        ]

    def _admit(self, entries: Iterable[Entry]) -> list[Watched]:
        """Take up entries; the feeds that are new with them."""
        new = []
        for entry in entries:
            try:
                watched = self._join(entry)
            except SourceError as error:
                refusal = Refusal(code=RefusalCode.MISCONFIGURED, message=str(error))
                note_change(entry, refusal, Standing())
                entry.publish(refusal)
            except Exception:
                self._metrics.cycle_errors.inc()
                log.exception("workload_not_taken_up", workload=str(entry.reference))
            else:
                new += [watched] if watched is not None else []
        return new

    def _join(self, entry: Entry) -> Watched | None:
        """Let an entry read its feed, and return the feed if nobody read it before."""
        wishes, joined = entry.wishes, self._known.get(entry.reference)
        if wishes is None:
            note_refused(entry)
            return None
        if joined is not None and joined.workloads[entry.reference].entry is entry:
            return None
        connection = self._connect(entry.reference, wishes)
        watched = self._watched.get(connection.key)
        begun = watched is None
        if watched is None:
            watched = self._watched[connection.key] = self._watch(connection, wishes)
        workload = Workload(entry, parameters_of(wishes, connection.capacity))
        watched.workloads[entry.reference] = workload
        self._known[entry.reference] = watched
        if watched.sight is not None:
            self._publish(watched, watched.sight, [workload])
        return watched if begun else None

    def _watch(self, connection: Connection, wishes: TriggerMetadata) -> Watched:
        def make(series: Series) -> Forecaster:
            return self._make_forecaster(wishes, series)

        settings = self._settings
        track = Track(make, step_seconds=settings.step_seconds, beside=settings.beside)
        return Watched(connection.feed, track)

    async def _begin(self, watched: Watched) -> bool:
        """First an answer from the present, then the past for the forecast; False without it."""
        await self._look_and_publish(watched, self._clock())
        return await self._restore(watched)

    async def _begin_patiently(self, watched: Watched) -> None:
        """Begin, and ask again for a past that its source could not tell at the start."""
        restored = await self._begin(watched)
        for wait_seconds in _ASK_AGAIN_SECONDS:
            if restored:
                return
            await asyncio.sleep(wait_seconds)
            if not watched.workloads:
                return
            restored = await self._restore(watched)

    async def _restore(self, watched: Watched) -> bool:
        """Read the feed's past; False where its source could not tell it this time."""
        if self._settings.history_seconds == 0:
            return True
        async with self._restores:
            return await self._read_past(watched)

    async def _read_past(self, watched: Watched) -> bool:
        """Read the past into a fresh track and put it in place of the one that began."""
        settings, end = self._settings, self._clock()
        track = watched.track.beginning()
        span = Span(
            start_seconds=end - settings.history_seconds,
            end_seconds=end - settings.step_seconds,
            step_seconds=settings.step_seconds,
            reading_seconds_max=settings.restore_seconds_max,
        )
        watched.since_restore = []
        try:
            steps = await read_into(track, watched.feed, span)
        finally:
            live, watched.since_restore = watched.since_restore or [], None
        if steps:
            for sight in live:
                track.take(sight)
            watched.track = track
            log.info("history_restored", steps=steps, workloads=len(watched.workloads))
        return steps is not None

    async def _look_and_publish(self, watched: Watched, at_seconds: float) -> None:
        async with self._looks:
            sight = await self._look(watched.feed, at_seconds)
            watched.sight = sight
            watched.track.take(sight)
            if watched.since_restore is not None:
                watched.since_restore.append(sight)
            self._publish(watched, sight, list(watched.workloads.values()))

    async def _guarded(self, work: Coroutine[None, None, object], watched: Watched) -> None:
        """Do a feed's work; a fault of ours in it must not stop the other feeds.

        It shows in the counter and the log, and the age of the answer keeps growing.
        """
        try:
            await work
        except Exception:
            self._metrics.cycle_errors.inc()
            log.exception("workload_not_planned", workloads=[str(r) for r in watched.workloads])

    async def _look(self, feed: Feed, now: float) -> Sight:
        try:
            async with asyncio.timeout(self._settings.look_seconds_max):
                return Sight(at_seconds=now, observation=await feed.observe(now_seconds=now))
        except SourceError as error:
            return Sight(at_seconds=now, observation=None, failure=error)
        except TimeoutError:
            message = f"no answer within {self._settings.look_seconds_max:g} s"
            failure = SourceUnavailableError(message)
            return Sight(at_seconds=now, observation=None, failure=failure)

    def _publish(self, watched: Watched, sight: Sight, workloads: list[Workload]) -> None:
        for workload in workloads:
            outcome, workload.standing = judge(
                sight,
                watched.track,
                workload.parameters,
                workload.standing,
                blind_seconds_max=self._settings.blind_seconds_max,
            )
            note_change(workload.entry, outcome, workload.standing)
            workload.entry.publish(outcome)

    def _forget(self, reference: Reference) -> None:
        watched = self._known.pop(reference, None)
        if watched is None:
            return
        del watched.workloads[reference]
        if not watched.workloads:
            self._watched = {key: w for key, w in self._watched.items() if w is not watched}
