"""The loop of the controller: when a round is made, what it may do, and what becomes of faults.

A round is made each two minutes, in between when pods or taints call for one (`policies.rounds`),
and at once when this replica comes to lead. Nothing is decided on old news: while a kind of object
that is needed cannot be read, no round is made, and what we wrote stays, also when its lease is
over. After the wall clock was set, nothing is carried out for a round, because times of objects
and of rounds do not fit together.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog
from prometheus_client import CollectorRegistry, Counter

from fleet.cluster.follow.mirror import Mirror
from foresail.controller.election import Election
from foresail.controller.known_plans import KnownPlans
from foresail.controller.node_events import NodeEvents
from foresail.controller.pod_watch import PodWatch
from foresail.controller.policies_in_force import PoliciesInForce
from foresail.controller.rounds import ClusterRound, ClusterRounds, PlannedReplicas
from foresail.controller.run_watch import RunWatch
from foresail.controller.state_writes import StateStore, StateWrites
from foresail.controller.tuning_events import tuning_decisions
from policies.reading.runs import GangEnds
from policies.rounds import SEEN_SECONDS, URGENT_SECONDS, RoundTimes
from scaler.clock import Clock, WallTime
from scaler.durations import format_duration

log = structlog.get_logger()

RETRY_SECONDS: Final = 1.0
"""Between two attempts while something cannot be read."""
STUCK_SECONDS: Final = 600.0
"""Without an attempt at a round, after which the process counts as stuck."""
CLOCK_STEP_SECONDS: Final = 30.0
"""A smaller step of the wall clock changes nothing that counts in minutes."""
AFTER_STEP_SECONDS: Final = 0.5
"""From the begin of a forecasts' step to its regular round: the wall clock may be slewed while the
round is waited for, and a round of a moment before would be one of the step before."""


class RoundExecutor(Protocol):
    """Carries decisions out."""

    async def carry_out(self, round_: ClusterRound, may_act: Callable[[], bool]) -> frozenset[str]:
        """Make the changes of a round, as far as there are any, while `may_act` says so.

        It does not raise for what the API server refuses or does not answer.

        Returns:
            The UIDs of NodeClaims whose start was called off.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """Both of them."""

    steady: Clock
    wall: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """What the controller reads and writes; None = it does not."""

    mirror: Mirror
    policies: PoliciesInForce
    plans: KnownPlans | None = None
    runs: RunWatch | None = None
    election: Election | None = None
    """None = it always leads."""
    executor: RoundExecutor | None = None
    events: NodeEvents | None = None
    store: StateStore | None = None


class Controller:
    """Makes rounds of one cluster, and carries them out while it leads."""

    def __init__(
        self,
        rounds: ClusterRounds,
        connections: Connections,
        clocks: Clocks,
        registry: CollectorRegistry,
    ) -> None:
        self._rounds = rounds
        self._connections = connections
        self._clocks = clocks
        self._wall_time = WallTime(clocks.wall, clocks.steady)
        self._times = RoundTimes()
        self._asked = asyncio.Event()
        self._writes = StateWrites(rounds, connections.store, clocks.steady)
        self._pod_watch = PodWatch()
        self._tried_seconds = clocks.steady()
        self.last: ClusterRound | None = None
        """The last round that was made."""
        self.trouble: str | None = "no round was tried yet"
        """Why there was nothing to decide on at the last attempt."""
        self._counts = Counter(
            "foresail_controller_rounds",
            "Rounds by outcome: acted, advised, waiting; unreadable: none could be made.",
            ["outcome"],
            registry=registry,
        )

    @property
    def leading(self) -> bool:
        return self._connections.election is None or self._connections.election.leading

    @property
    def stuck(self) -> str | None:
        """Why rounds do not go on; None = they do."""
        silent = self._clocks.steady() - self._tried_seconds
        if silent <= STUCK_SECONDS:
            return None
        return f"no round was tried for {format_duration(round(silent))}\n"

    def wake(self) -> None:
        """Make a round soon."""
        self._ask(0.0)

    def tasks(self) -> Sequence[tuple[str, Coroutine[None, None, None]]]:
        """What keeps it going; each runs until it is cancelled."""
        found = [("rounds", self.run()), ("pods", self.watch_pods())]
        if self._connections.events is not None:
            found.append(("events", self._connections.events.run()))
        if self._connections.runs is not None:
            found.append(("runs", self._connections.runs.run()))
        return found

    async def run(self) -> None:
        """Make rounds for good; the state is written at the end."""
        try:
            while True:
                await self._round_or_retry()
        finally:
            self._writes.at_end()

    async def watch_pods(self) -> None:
        """Ask for rounds by what becomes of pods and taints."""
        mirror = self._connections.mirror
        while True:
            await mirror.news.wait()
            mirror.news.clear()
            for within in self._pod_watch.see(mirror.cluster, self._clocks.wall()):
                self._ask(within)
            if self._pod_watch.ranking_changed:
                self._times.ranking_changed(self._clocks.steady())
                self._asked.set()
            await asyncio.sleep(SEEN_SECONDS)

    async def attempt(self) -> bool:
        """Try to make a round; whether one was made."""
        self._tried_seconds = self._clocks.steady()
        before, self.trouble = self.trouble, self.unreadable()
        if self.trouble is not None:
            if self.trouble != before:
                self._counts.labels("unreadable").inc()
                log.warning("unreadable", why=self.trouble)
            return False
        await self.round_now()
        return True

    async def round_now(self) -> ClusterRound:
        """Make a round of what is known."""
        stepped = self._clock_step()
        made = self.last = self._make()
        if self._connections.runs is not None:
            self._connections.runs.take(made, leads=self.leading)
        self._counts.labels(await self._carried_out(made, stepped=stepped)).inc()
        self._writes.after_round()
        return made

    def unreadable(self) -> str | None:
        """Why there is nothing to decide on now."""
        mirror, policies = self._connections.mirror, self._connections.policies
        why = mirror.trouble or mirror.stale
        if why is None and not policies.known:
            why = f"policies: {policies.stale or 'not read yet'}"
        return why

    async def _round_or_retry(self) -> None:
        """Make a round, rest for as long as it took, and wait until the next one is due."""
        began, wall = self._clocks.steady(), self._clocks.wall()
        if not await self.attempt():
            await asyncio.sleep(RETRY_SECONDS)
            return
        took = self._clocks.steady() - began
        self._times.begun(began, wall - AFTER_STEP_SECONDS, took)
        await asyncio.sleep(max(URGENT_SECONDS, took))
        await self._until_due()

    def _ask(self, within_seconds: float) -> None:
        now = self._clocks.steady()
        self._times.ask(now + within_seconds, now)
        self._asked.set()

    async def _until_due(self) -> None:
        while left := self._times.left_seconds(self._clocks.steady()):
            self._asked.clear()
            try:
                async with asyncio.timeout(left):
                    await self._asked.wait()
            except TimeoutError:
                pass

    def _make(self) -> ClusterRound:
        cluster = self._connections.mirror.cluster
        known, plans = self._connections.plans, PlannedReplicas()
        if known is not None:
            plans = known.now(cluster.scaled_objects, self._clocks.steady())
        policies = self._connections.policies.current()
        problem = self._connections.policies.problem
        runs, now = self._connections.runs, self._clocks.wall()
        ends = runs.ends if runs is not None else GangEnds()
        made = self._rounds.make(cluster, policies, plans, now, ends, self._pod_watch.emptied)
        if problem is None:
            return made
        remarks = (*problem.splitlines(), *made.decided.remarks)
        return replace(made, decided=replace(made.decided, remarks=remarks))

    async def _carried_out(self, made: ClusterRound, *, stepped: bool) -> str:
        """The outcome, for the count."""
        if not self.leading:
            # Another replica acts on the same reading, and what it ends is no failed start.
            self._rounds.called_off(made, made.decided.plan.released, done=False)
            return "waiting"
        acts = self._connections.executor is not None
        if self._connections.events is not None:
            nights = tuning_decisions(made, self._connections.policies.uid_of)
            self._connections.events.take(made.decided.plan, made.cluster, acts=acts, more=nights)
        if self._connections.executor is None:
            return "advised"
        if stepped:
            log.warning("not_carried_out", why="the wall clock was set")
            return "advised"
        done = await self._connections.executor.carry_out(made, lambda: self.leading)
        self._rounds.called_off(made, done, done=True)
        return "acted"

    def _clock_step(self) -> bool:
        step = self._wall_time.step()
        if abs(step) < CLOCK_STEP_SECONDS:
            return False
        log.warning("wall_clock_set", by_seconds=round(step, 1))
        return True
