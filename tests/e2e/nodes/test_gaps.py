"""Nodes in a gap of demand, by one script that all tests here look at: which go, and when.

Five pools get their nodes together, and then all their pods go at once. One of them has two nodes,
and a budget that lets one go at a time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic  # noqa: TID251 - processes live in real time

import pytest

from fleet.cluster.owners import Workload
from policies.node_plan import NodePlan
from policies.situation import NodeStage, Situation
from replay.cluster.cluster import Cluster
from replay.cluster.karpenter import LOOP_SECONDS
from replay.cluster.settings import ClusterSettings, NodeStartUp, Pool, Service
from tests.e2e.bed import Bed
from tests.e2e.karpenter import BOOT_SECONDS
from tests.e2e.nodes.documents import Document
from tests.e2e.nodes.lateness import Lateness
from tests.e2e.nodes.node_cluster import (
    BUFFER_EMPTY,
    BUFFER_FITS,
    HOLD,
    NodeCluster,
    holds,
)

pytestmark = pytest.mark.looptime(False)  # processes live in real time

DISRUPTED = "karpenter.sh/disrupted"
BY_ONE_NODES = 2


@dataclass
class Steps:
    """When each pool's nodes were first seen at each step."""

    at_seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    """By pool and step: ordered, initialized, leaving, last leaving, gone."""
    most: dict[str, int] = field(default_factory=dict)
    """Nodes of each pool that were there at one time."""

    def look(self, pool: str, claims: list[Document], nodes: list[Document]) -> None:
        leaving = [
            any(one["key"] == DISRUPTED for one in node["spec"].get("taints", ())) for node in nodes
        ]
        initialized = [holds(claim, "Initialized") for claim in claims]
        self.count(pool, initialized, leaving, max(len(claims), len(nodes)), monotonic())

    def count(
        self,
        pool: str,
        initialized: list[bool],
        leaving: list[bool],
        there: int,
        now_seconds: float,
    ) -> None:
        """Take what is seen of a pool's nodes at a moment."""
        most = self.most[pool] = max(there, self.most.get(pool, 0))
        ended = most - there
        self.add(
            pool,
            {
                "ordered": there > 0,
                "initialized": bool(initialized) and all(initialized) and there == most,
                "leaving": any(leaving) or ended > 0,
                "last leaving": most > 0 and sum(leaving) + ended == most,
                "gone": ended == most > 0,
            },
            now_seconds,
        )

    def add(self, pool: str, seen: Mapping[str, bool], now_seconds: float) -> None:
        for step, is_so in seen.items():
            if is_so:
                self.at_seconds.setdefault((pool, step), now_seconds)

    def in_order(self) -> list[tuple[str, str]]:
        return sorted(self.at_seconds, key=self.at_seconds.__getitem__)


@dataclass
class Played:
    """What came of the script."""

    steps: Steps
    asked_seconds: float
    """When pods were asked for, and then none."""
    ended_seconds: float
    late_ordering_seconds: float
    """That the processes were late until all nodes were there, as cores were busy."""
    late_ending_seconds: float
    """And since then."""
    left_beside_the_held: set[str]
    """Pools whose node was not even leaving when the first one without a hold was gone."""
    held: str
    after_10: str
    after_30: str
    by_one: str
    """It has two nodes, and one may go at a time."""
    drained: str


@pytest.fixture(scope="module")
def played(node_bed: Bed) -> Iterator[Played]:
    nodes = NodeCluster(node_bed)
    nodes.wait_empty()
    held, after_10 = (nodes.pool(word, consolidate_after="10s") for word in ("held", "ten"))
    after_30 = nodes.pool("thirty", consolidate_after="30s")
    by_one = nodes.pool("budget", consolidate_after="10s", budget="10%")
    drained = nodes.pool("drained", consolidate_after="10s")
    pools = (held, after_10, after_30, by_one, drained)
    buffer = nodes.buffer("room", drained, replicas=1)
    steps, lateness = Steps(), Lateness(node_bed)

    def wait(what: str, *wanted: tuple[str, str]) -> None:
        def there() -> bool:
            for pool in pools:
                steps.look(pool, nodes.claims(pool), nodes.nodes(pool))
            lateness.ask()
            return all(one in steps.at_seconds for one in wanted)

        nodes.wait(there, what)

    lateness.begin()
    asked = monotonic()
    replicas = {held: 1, after_10: 1, after_30: 1, by_one: BY_ONE_NODES}
    chats = {nodes.deploy("chat", pool, replicas=many): many for pool, many in replicas.items()}
    wait("the nodes", *((pool, "initialized") for pool in pools))
    late_ordering = lateness.seconds
    for chat, many in chats.items():
        nodes.wait_running(chat, many)
    nodes.touch_buffer(buffer)
    nodes.wait_buffer(buffer, BUFFER_FITS)
    (node,) = nodes.names(held)
    nodes.annotate_node(node, HOLD, "true")
    nodes.scale_buffer(buffer, 0)
    nodes.wait_buffer(buffer, BUFFER_EMPTY)
    nodes.delete_buffer(buffer)
    lateness.begin()
    ended = monotonic()
    for chat in chats:
        nodes.scale(chat, 0)
    wait("the first nodes to go", (after_10, "gone"), (drained, "gone"))
    left = {pool for pool in pools if (pool, "leaving") not in steps.at_seconds}
    nodes.annotate_node(node, HOLD, None)
    last = ((after_30, "leaving"), (held, "leaving"), (by_one, "last leaving"))
    wait("the last nodes to leave", *last)
    yield Played(
        steps=steps,
        asked_seconds=asked,
        ended_seconds=ended,
        late_ordering_seconds=late_ordering,
        late_ending_seconds=lateness.seconds - late_ordering,
        left_beside_the_held=left,
        held=held,
        after_10=after_10,
        after_30=after_30,
        by_one=by_one,
        drained=drained,
    )
    nodes.clear()


def test_a_node_that_must_not_be_disrupted_outlasts_a_gap(played: Played) -> None:
    assert played.held in played.left_beside_the_held


def test_a_hold_that_is_removed_lets_its_node_go(played: Played) -> None:
    at_seconds = played.steps.at_seconds
    assert at_seconds[played.held, "leaving"] > at_seconds[played.after_10, "gone"]


def test_a_buffer_at_zero_gives_its_node_back_before_it_is_deleted(played: Played) -> None:
    assert (played.drained, "gone") in played.steps.at_seconds


class Onlooker:
    """A node policy that decides nothing and sees each second what the model's nodes do."""

    def __init__(self) -> None:
        self.steps = Steps()

    def decide(self, situation: Situation) -> NodePlan:
        for pool in situation.pools:
            initialized = [one.stage is NodeStage.INITIALIZED for one in pool.nodes]
            leaving = [one.leaving for one in pool.nodes]
            self.steps.count(
                pool.name, initialized, leaving, len(pool.nodes), situation.now_seconds
            )
        return NodePlan(at_seconds=situation.now_seconds, pools=())


@dataclass(frozen=True, kw_only=True)
class Emptying:
    """A pool of the script."""

    after_seconds: float
    """Its `consolidateAfter`."""
    nodes: int = 1
    budget_share: float = 1.0


def modelled(script: Mapping[str, Emptying], pods_seconds: float) -> Steps:
    """The same script in the replay's model.

    Args:
        script: pools by name.
        pods_seconds: from pods that are asked for, at 0, until they go.
    """
    boot_seconds = BOOT_SECONDS + 1.0  # and a second until kwok has made the node Ready
    start_up = NodeStartUp(
        boot_seconds=(boot_seconds, boot_seconds), failure_share=0.0, pull_seconds=0.0
    )
    onlooker = Onlooker()
    settings = ClusterSettings(
        pools=tuple(
            Pool(
                name=name,
                start_up=start_up,
                consolidate_after_seconds=one.after_seconds,
                budget_share=one.budget_share,
            )
            for name, one in script.items()
        ),
        services=tuple(
            Service(
                workload=Workload(kind="Deployment", namespace="default", name=name),
                replicas=((-1.0, 0), (0.0, one.nodes), (pods_seconds, 0)),
                pools=(name,),
            )
            for name, one in script.items()
        ),
        begin_seconds=-1.0,
        round_seconds=1.0,
    )
    Cluster(settings, policy=onlooker).run(pods_seconds + 120.0)
    return onlooker.steps


BUSY_SECONDS = 15.0
"""That a step may come late beside what each process is late, as a step needs several."""
GRAIN_SECONDS = {
    "ordered": BUSY_SECONDS,
    "initialized": BUSY_SECONDS,
    # Nobody knows when Karpenter's loop began.
    "leaving": LOOP_SECONDS + BUSY_SECONDS,
    "last leaving": LOOP_SECONDS + BUSY_SECONDS,
    "gone": LOOP_SECONDS + BUSY_SECONDS,
}


def test_the_model_of_the_replay_takes_the_same_steps_at_the_same_times(played: Played) -> None:
    script = {
        played.after_10: Emptying(after_seconds=10.0),
        played.after_30: Emptying(after_seconds=30.0),
        played.by_one: Emptying(after_seconds=10.0, nodes=BY_ONE_NODES, budget_share=0.1),
    }
    pools = set(script)
    expected = modelled(script, played.ended_seconds - played.asked_seconds)

    # Those of the pool with a budget begin with the first ones.
    ends = {(pool, end) for pool in pools - {played.by_one} for end in ("leaving", "gone")}
    first_to_last = [one for one in played.steps.in_order() if one in ends]
    if played.late_ending_seconds < LOOP_SECONDS:  # else both may leave in one pass
        assert first_to_last == [one for one in expected.in_order() if one in first_to_last]
    for pool, step in played.steps.at_seconds:
        if pool in pools:
            real_seconds = played.steps.at_seconds[pool, step] - played.asked_seconds
            model_seconds = expected.at_seconds[pool, step]
            begins = step in {"ordered", "initialized"}
            late = played.late_ordering_seconds if begins else played.late_ending_seconds
            earliest = model_seconds - GRAIN_SECONDS[step]
            latest = model_seconds + GRAIN_SECONDS[step] + late
            assert earliest <= real_seconds <= latest, (pool, step)
