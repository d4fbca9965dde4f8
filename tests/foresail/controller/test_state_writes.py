"""When the controller writes its state: at what a crash must not lose, else not with each round."""

import errno
from dataclasses import dataclass, field
from itertools import pairwise

from fleet.cluster.kinds import Kind, record_of
from fleet.cluster.reading import Cluster
from foresail.controller.rounds import ClusterRounds, ControllerState, PlannedReplicas
from foresail.controller.state_writes import WRITE_SECONDS, StateWrites
from policies.decide import SETTLED
from policies.planning.demand import STEP_SECONDS
from policies.planning.node_planning import NodePlanning, PlanningState
from policies.planning.tuning import NoChoice
from tests.foresail.controller.stage import KeptStates, acting
from tests.policies.test_assess import KNOWN, NOW, claim
from tests.policies.test_node_planning import two_nodes


@dataclass
class Rounds:
    """What rounds remember."""

    lasting: object = "nothing released"
    state: ControllerState = field(default_factory=ControllerState)


@dataclass
class Scene:
    """Writes of rounds at seconds of choice."""

    rounds: Rounds = field(default_factory=Rounds)
    store: KeptStates = field(default_factory=KeptStates)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.writes = StateWrites(self.rounds, self.store, lambda: self.now)

    def round_at(self, seconds: float) -> int:
        """The writes after a round at that moment."""
        self.now = seconds
        self.writes.after_round()
        return len(self.store.states)


def test_rounds_in_between_write_once_a_minute_and_a_regular_one_always() -> None:
    scene = Scene()
    written = [scene.round_at(at) for at in range(0, 121, 5)]
    assert written[-1] == 3
    assert scene.round_at(120.0 + WRITE_SECONDS) == 4


def test_what_a_crash_must_not_lose_is_written_at_once() -> None:
    scene = Scene()
    assert [scene.round_at(0), scene.round_at(5)] == [1, 1]
    scene.rounds.lasting = "one released"
    assert [scene.round_at(10), scene.round_at(15)] == [2, 2]


def test_the_rest_is_written_at_the_end_and_once() -> None:
    scene = Scene()
    scene.round_at(0)
    scene.writes.at_end()
    assert len(scene.store.states) == 1
    scene.round_at(5)
    scene.writes.at_end()
    assert len(scene.store.states) == 2
    scene.rounds.lasting = "one released in a round that is broken off"
    scene.writes.at_end()
    assert len(scene.store.states) == 3


def test_a_write_that_fails_is_repeated_with_the_next_round() -> None:
    scene = Scene()
    scene.round_at(0)
    scene.rounds.lasting = "one released"
    scene.store.fails = OSError(errno.ENOSPC, "no space left on device")
    assert scene.round_at(5) == 1
    scene.store.fails = None
    assert scene.round_at(10) == 2


def test_without_a_store_nothing_is_written() -> None:
    writes = StateWrites(Rounds(), None, lambda: 0.0)
    writes.after_round()
    writes.at_end()


def an_empty_node_and_a_start() -> Cluster:
    objects = two_nodes()
    objects[Kind.NODE_CLAIM].append(claim("new", "Launched"))
    records = {kind: [record_of(kind, one) for one in all_] for kind, all_ in objects.items()}
    return Cluster.of("test", records)


def rounds_that_want_neither() -> ClusterRounds:
    planning = NodePlanning(PlanningState(decisions=SETTLED))
    for ago in range(120, 0, -1):
        planning.learn(NOW - ago * STEP_SECONDS, {"h100": 8.0})
    return ClusterRounds(KNOWN, ControllerState(planning=planning.state))


def test_releases_nights_and_starts_that_were_called_off_must_last_and_demand_need_not() -> None:
    cluster, rounds = an_empty_node_and_a_start(), ClusterRounds(KNOWN)
    rounds.make(cluster, (acting(),), PlannedReplicas(), NOW)
    found = [rounds.lasting]
    made = rounds.make(cluster, (acting(),), PlannedReplicas(), NOW + 120)
    assert rounds.lasting == found[-1]
    rounds.take_night("h100", NoChoice(at_seconds=NOW, why="too short"))
    found.append(rounds.lasting)
    rounds.called_off(made, {"uid-new"}, done=True)
    found.append(rounds.lasting)
    rounds = rounds_that_want_neither()
    found.append(rounds.lasting)
    made = rounds.make(cluster, (acting(),), PlannedReplicas(), NOW)
    assert made.decided.plan.released
    found.append(rounds.lasting)
    assert all(one != other for one, other in pairwise(found))


def test_nodes_that_are_to_go_and_stay_are_written_no_more_often_than_others() -> None:
    """As in mode `advise`, or while they are refused."""
    cluster, rounds, found = an_empty_node_and_a_start(), rounds_that_want_neither(), []
    for seconds in (0, 5, 10, 15):
        made = rounds.make(cluster, (acting(),), PlannedReplicas(), NOW + seconds)
        assert len(made.decided.plan.released) == 2
        found.append(rounds.lasting)
    assert found[1] == found[2] == found[3]
