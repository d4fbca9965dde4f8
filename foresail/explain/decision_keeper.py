"""Keeps changed decisions while the planner runs, without delaying the planning cycle.

The cycle says which workload has a new plan; that costs it an entry in a dictionary. Once a second
the accounts of those whose decision changed are made, with a pause after each, and a thread writes
them. A disk that is full or a file that is locked is logged once, and once more when it works
again; planning continues without it.
"""

import asyncio
import sqlite3
import zlib
from collections.abc import Callable
from hashlib import sha256
from typing import Final

import orjson
import structlog
from typing_extensions import override

from foresail.explain import workload, workload_text
from foresail.explain.decision_log import HEARTBEAT_SECONDS, DecisionLog, Entry, KeptOfWorkload
from scaler.clock import Clock
from scaler.decision.answers import Answer, Reference, Refusal
from scaler.errors import ForesailError
from scaler.redaction import without_secrets
from scaler.serving.feeds import WorkloadStatus
from scaler.serving.plan_book import PlanChanges
from scaler.signals import Absent, Stale

log = structlog.get_logger()

WRITE_SECONDS: Final = 1.0
PRUNE_SECONDS: Final = 600.0
WAITING_MAX: Final = 5000
"""Decisions that wait for a disk that does not work; about 10 MiB."""

Status = Callable[[Reference], WorkloadStatus | None]


class DecisionsUnreadableError(ForesailError):
    """Decisions are kept, and cannot be read now."""


class DecisionKeeper(PlanChanges):
    """Notes changes for the log, and passes them on to readers of plans."""

    def __init__(
        self,
        decisions: DecisionLog,
        readers: PlanChanges,
        *,
        wall: Clock,
        steady: Clock,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self._decisions = decisions
        self._readers = readers
        self._wall = wall
        self._steady = steady
        self._waiting_max = waiting_max
        self._touched: dict[Reference, float] = {}
        self._last: dict[Reference, tuple[object, ...]] = {}
        """Of each workload, what the last entry said."""
        self._waiting: list[Entry] = []
        self._works = True
        self._lost = 0
        """Entries that were given up since it worked."""
        self._written_at = self._pruned_at = float("-inf")

    @override
    def changed(self, reference: Reference) -> None:
        self._touched[reference] = self._wall()
        self._readers.changed(reference)

    @override
    def removed(self, reference: Reference) -> None:
        self._touched.pop(reference, None)
        if self._last.pop(reference, None) is not None:
            self._waiting.append(_entry(reference, self._wall(), None))
        self._readers.removed(reference)

    async def run(self, status: Status) -> None:
        """Write until cancelled."""
        try:
            while True:
                await asyncio.sleep(WRITE_SECONDS)
                await self.write_changes(status)
        finally:
            self.close()

    async def write_changes(self, status: Status) -> None:
        """Write what changed since the last time; once a minute also that nothing did."""
        await self._collect(status)
        now = self._steady()
        if not self._waiting and now - self._written_at < HEARTBEAT_SECONDS:
            return
        prunes = now - self._pruned_at >= PRUNE_SECONDS
        await self._write(prunes=prunes)
        self._written_at = now
        self._pruned_at = now if prunes else self._pruned_at

    def close(self) -> None:
        """Leave the file to the next process."""
        self._decisions.close()

    async def at(self, namespace: str, name: str, moment_seconds: float) -> KeptOfWorkload:
        """What was decided of a workload at a moment.

        Raises:
            DecisionsUnreadableError: the file cannot be read.
        """
        try:
            return await asyncio.to_thread(
                self._decisions.at, f"{namespace}/{name}", moment_seconds
            )
        except (OSError, sqlite3.Error, zlib.error, orjson.JSONDecodeError) as error:
            raise DecisionsUnreadableError(f"decisions cannot be read: {error}") from error

    async def _collect(self, status: Status) -> None:
        """Make the accounts of workloads whose decision changed."""
        touched, self._touched = self._touched, {}
        for reference, at_seconds in touched.items():
            known = status(reference)
            if known is None:
                continue  # forgotten since
            decided = _decided(known)
            if self._last.get(reference) == decided:
                continue
            self._last[reference] = decided
            try:
                account = workload_text.kept(workload.account(known, now_seconds=self._steady()))
            except Exception:  # a fault of ours must not end the planner
                log.exception("decision_not_taken", workload=str(reference))
                continue
            self._waiting.append(_entry(reference, at_seconds, account))
            await asyncio.sleep(0)

    async def _write(self, *, prunes: bool) -> None:
        writing, now = list(self._waiting), self._wall()

        def write() -> None:
            self._decisions.append(writing, now_seconds=now)
            if prunes:
                self._decisions.prune(now_seconds=now)

        try:
            await asyncio.to_thread(write)
        except (OSError, sqlite3.Error) as error:
            if self._works:
                path = str(self._decisions.path)
                log.warning("decisions_not_kept", file=path, error=str(error))
            self._works = False
            self._bound_waiting(self._waiting_max)
            return
        except Exception:  # a fault of ours must not end the planner
            log.exception("decisions_not_taken")
            self._bound_waiting(0)
            return
        del self._waiting[: len(writing)]
        if not self._works:
            log.info("decisions_kept_again", file=str(self._decisions.path), lost=self._lost)
        self._works, self._lost = True, 0

    def _bound_waiting(self, waiting_max: int) -> None:
        """Give up what waits for too long; every workload's decision is then written again."""
        if len(self._waiting) > waiting_max:
            if not self._lost:
                log.warning("decisions_lost", entries=len(self._waiting))
            self._lost += len(self._waiting)
            self._waiting.clear()
            self._last.clear()
            self._decisions.begin_anew()


def _decided(status: WorkloadStatus) -> tuple[object, ...]:
    """What makes a decision another one; numbers in the texts of its steps change at each look."""
    plan, outcome = status.cycle_state.plan, status.cycle_state.timed.outcome
    numbers = None if plan is None else (plan.desired, plan.planned, plan.active)
    observation = status.plan.poll.observation if status.plan is not None else None
    missing = frozenset(
        signal
        for signal, reading in (observation.readings.items() if observation else ())
        if isinstance(reading, Absent | Stale)
    )
    match outcome:
        case Answer(replicas=replicas, active=active):
            return (numbers, observation is None, missing, replicas, active)
        case Refusal(code=code):
            return (numbers, observation is None, missing, code)


def _entry(reference: Reference, at_seconds: float, account: workload.Account | None) -> Entry:
    shown = orjson.dumps(without_secrets(dict(reference.metadata)), option=orjson.OPT_SORT_KEYS)
    return Entry(
        workload=f"{reference.namespace}/{reference.name}",
        trigger=sha256(shown).hexdigest()[:16],
        at_seconds=at_seconds,
        account=account,
    )
