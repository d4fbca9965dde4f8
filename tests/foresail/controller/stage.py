"""A controller in simulated time: a cluster in memory, rounds noted, a wall clock to set."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from fleet.cluster.follow.api import Identity
from fleet.cluster.follow.mirror import Mirror
from fleet.cluster.follow.watch import Changed, Gone, Listed, Unavailable
from fleet.cluster.kinds import PLANNING_KINDS, Kind, record_of
from foresail.controller.controller import Clocks, Connections, Controller
from foresail.controller.election import Election
from foresail.controller.known_plans import KnownPlans
from foresail.controller.node_events import NodeEvents
from foresail.controller.policies_in_force import PoliciesInForce, PolicyObject
from foresail.controller.rounds import ClusterRound, ClusterRounds, ControllerState
from policies.planning.demand import STEP_SECONDS
from policies.policy.schema import CapacityPolicy
from tests.foresail.controller.memory_leases import LeasesView, MemoryLeases
from tests.policies.test_assess import KNOWN, NOW, Json
from tests.policies.test_node_planning import policies as policies_of

ALL_KINDS = (*PLANNING_KINDS, Kind.SCALED_OBJECT)


@dataclass
class NotedRounds:
    """Notes the rounds that were carried out."""

    rounds: list[ClusterRound] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    takes_seconds: float = 0.0
    stopped: int = 0
    """How often it had to stop."""
    calls_off: frozenset[str] = frozenset()
    """UIDs of NodeClaims, in each round."""

    async def carry_out(self, round_: ClusterRound, may_act: Callable[[], bool]) -> frozenset[str]:
        await asyncio.sleep(self.takes_seconds)
        if not may_act():
            self.stopped += 1
            return frozenset()
        self.rounds.append(round_)
        self.seconds.append(asyncio.get_running_loop().time())
        return self.calls_off


@dataclass
class KeptStates:
    """Keeps each state that is written."""

    states: list[ControllerState] = field(default_factory=list)
    fails: OSError | None = None

    def write(self, state: ControllerState) -> None:
        if self.fails is not None:
            raise self.fails
        self.states.append(state)


@dataclass
class NotedEvents:
    """Takes Events."""

    events: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, event: Any) -> None:
        self.events.append(dict(event))

    @property
    def reasons(self) -> list[tuple[str, str]]:
        return [(one["regarding"]["name"], one["reason"]) for one in self.events]


@dataclass
class Stage:
    """All parts of one replica."""

    controller: Controller
    mirror: Mirror
    policies: PoliciesInForce
    executor: NotedRounds
    posted: NotedEvents
    rounds: ClusterRounds
    leases: LeasesView | None
    registry: CollectorRegistry
    begin: float
    """On the steady clock, when the wall clock said NOW."""
    wall_off: float = 0.0
    """How far the wall clock is off."""

    def show(self, kind: Kind, *objects: Json) -> None:
        """List the objects of a kind."""
        self.mirror.take(kind, Listed(tuple(record_of(kind, one) for one in objects)))

    def put(self, kind: Kind, document: Json) -> None:
        self.mirror.take(kind, Changed(record_of(kind, document)))

    def drop(self, kind: Kind, name: str) -> None:
        self.mirror.take(kind, Gone(Identity(name, "")))

    def cut_off(self, kind: Kind, why: str = "no route to host") -> None:
        self.mirror.take(kind, Unavailable(why))

    def show_all(self, objects: dict[Kind, list[Json]]) -> None:
        for kind in ALL_KINDS:
            self.show(kind, *objects.get(kind, []))

    def say(self, *policies: CapacityPolicy) -> None:
        """Have these policies in force."""
        records: Any = tuple(PolicyObject(name=one.name, policy=one) for one in policies)
        self.policies.take(Listed(records))

    def count(self, outcome: str) -> float:
        """Rounds with an outcome."""
        labels = {"outcome": outcome}
        return self.registry.get_sample_value("foresail_controller_rounds_total", labels) or 0.0


def clock() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def stage(
    *,
    leases: MemoryLeases | None = None,
    name: str = "a",
    plans: KnownPlans | None = None,
    state: ControllerState | None = None,
    acts: bool = True,
    store: KeptStates | None = None,
) -> AsyncIterator[Stage]:
    """A controller that runs.

    Args:
        leases: of an election among several; None = it always leads.
        name: of this replica.
        plans: that it hears.
        state: that it begins with.
        acts: whether it has executor.
        store: where it writes its state.
    """
    mirror = Mirror("test", kinds=ALL_KINDS)
    registry, policies = CollectorRegistry(), PoliciesInForce(None)
    executor, posted = NotedRounds(), NotedEvents()
    made: list[Stage] = []
    # The first round is at the begin of a forecasts' step, so that the next is two minutes later.
    begin = clock() - (STEP_SECONDS - NOW % STEP_SECONDS) - 1

    def wall() -> float:
        return NOW - begin + clock() + (made[0].wall_off if made else 0.0)

    view = leases.view() if leases is not None else None
    election = Election(view, name, steady=clock, wall=wall) if view is not None else None
    rounds = ClusterRounds(KNOWN, state)
    connections = Connections(
        mirror=mirror,
        policies=policies,
        plans=plans,
        election=election,
        executor=executor if acts else None,
        events=NodeEvents(posted, registry),
        store=store,
    )
    controller = Controller(rounds, connections, Clocks(steady=clock, wall=wall), registry)
    made.append(
        Stage(controller, mirror, policies, executor, posted, rounds, view, registry, begin)
    )
    work = [one for _, one in controller.tasks()]
    if election is not None:
        election.changed = controller.wake
        work.append(election.run())
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield made[0]
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(result, asyncio.CancelledError):
                raise result if isinstance(result, BaseException) else AssertionError(result)


def acting(spec: str = "") -> CapacityPolicy:
    """A policy in mode act."""
    (found,) = policies_of("mode: act, idleCeiling: {usdPerHour: 1000}" + spec)
    return found
