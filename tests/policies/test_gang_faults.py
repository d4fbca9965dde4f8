"""A gang of 4 pods with 8 GPUs each gets all its nodes or none, whatever fails on the way.

A pool without a node, rounds of a minute, machines that take five. What is ordered is bought once,
what is empty and not held goes after two minutes, and the gang starts when all four nodes are
ready.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from fleet.cluster.owners import Workload
from policies.decide import SETTLED, DecisionState
from policies.node_plan import PoolPlan, Verdict
from policies.policy.pool_policy import PoolPolicy
from policies.situation import GangDemand, NodeStage, PoolNode
from tests.policies.pools import NOW, pod, pool, round_of, texts

GANG = Workload(kind="JobSet", namespace="ml", name="tune")
SIZE, GPUS = 4, 8
MINUTE, BOOT = 60.0, 300.0
END = 90
"""Minutes."""


@dataclass(slots=True, kw_only=True)
class Machine:
    name: str
    ordered: float
    ready_at: float
    empty_since: float | None = None
    held_until: float | None = None
    has_pod: bool = False


@dataclass(slots=True, kw_only=True)
class World:
    """The pool, the gang, and the controller's memory."""

    ceiling: float = 40.0
    held_back: str | None = None
    now: float = NOW
    machines: list[Machine] = field(default_factory=list)
    bought: int = 0
    started: list[int] = field(default_factory=list)
    memory: DecisionState = SETTLED
    said: str = ""

    def minute(self) -> int:
        return round((self.now - NOW) / MINUTE)

    def buy(self, nodes: int) -> None:
        for _ in range(nodes):
            self.bought += 1
            name = f"m{self.bought}"
            self.machines.append(Machine(name=name, ordered=self.now, ready_at=self.now + BOOT))

    def lose(self, index: int) -> None:
        self.machines.pop(index)

    def turn(self, fault: Callable[["World"], None] | None) -> None:
        """One minute: what fails, what boots and goes, the gang's start, and a round."""
        if fault is not None:
            fault(self)
        ready = [one for one in self.machines if one.ready_at <= self.now]
        for one in ready:
            one.empty_since = None if one.has_pod else one.empty_since or self.now
        if self.held_back is not None:
            for one in ready:
                one.has_pod = False
        elif len(ready) == SIZE and not all(one.has_pod for one in ready):
            self.started.append(self.minute())
            for one in ready:
                one.has_pod, one.empty_since = True, None
        self._round()
        self.now += MINUTE

    def _round(self) -> None:
        running = sum(one.has_pod for one in self.machines)
        waiting = SIZE - running
        demand = GangDemand(
            workload=GANG,
            pods=SIZE,
            gpus_per_pod=GPUS,
            waiting_pods=waiting,
            # Kueue's gate hides those that never ran; what is made again, Karpenter sees.
            seen_pods=waiting if running else 0,
            held_back=self.held_back,
            admitted=True,
        )
        state = pool(
            *map(self._node, self.machines),
            gpus_per_node=GPUS,
            demand_gpus=0.0,
            usd_per_hour=10.0,
            gangs=(demand,),
        )
        policy = PoolPolicy(idle_usd_per_hour_max=self.ceiling)
        plan, self.memory = round_of(state, policy=policy, state=self.memory, now=self.now)
        self._carry_out(plan.pools[0], demand)

    def _carry_out(self, plan: PoolPlan, demand: GangDemand) -> None:
        self.said += texts(plan) + "\n"
        decided = {one.node: one for one in plan.nodes}
        for one in self.machines:
            one.held_until = decided[one.name].until_seconds
        held = [one for one in self.machines if one.held_until is not None and not one.has_pod]
        coming = [one for one in self.machines if one.ready_at > self.now]
        orders = sum(order.nodes for order in plan.orders)
        if held and not demand.started_in_part:
            assert len(held) + len(coming) + orders == SIZE, "all or none"
        self.machines = [one for one in self.machines if self._stays(one, decided[one.name])]
        self.buy(orders or (demand.seen_pods - len(coming) if demand.started_in_part else 0))
        assert len(self.machines) <= SIZE, "never more than the gang needs"

    def _stays(self, machine: Machine, decision: object) -> bool:
        idle = 0.0 if machine.empty_since is None else self.now - machine.empty_since
        released = getattr(decision, "verdict", None) is Verdict.RELEASE
        return not released and (machine.held_until is not None or idle < 2 * MINUTE)

    def _node(self, machine: Machine) -> PoolNode:
        ready = machine.ready_at <= self.now
        pods = (pod(machine.name, GPUS, workload=GANG),) if machine.has_pod else ()
        return PoolNode(
            name=machine.name,
            uid=machine.name,
            gpus=GPUS,
            usd_per_hour=10.0,
            stage=NodeStage.INITIALIZED if ready else NodeStage.LAUNCHED,
            stage_since_seconds=machine.ready_at if ready else machine.ordered,
            ordered_seconds=machine.ordered,
            cancellable=True,
            pods=pods,
            empty_since_seconds=machine.empty_since,
            held_by_us_until_seconds=machine.held_until,
        )


def late(minutes: float) -> Callable[[World], None]:
    """The last machine takes so much longer."""

    def happens(world: World) -> None:
        world.machines[-1].ready_at += minutes * MINUTE

    return happens


def loses(index: int) -> Callable[[World], None]:
    return lambda world: world.lose(index)


def quota_withdrawn(world: World) -> None:
    world.held_back = "Kueue's queue research (WaitingForQuota, evicted)"


def quota_back(world: World) -> None:
    world.held_back = None


def ceiling_falls(world: World) -> None:
    world.ceiling = 39.0


def controller_dies(world: World) -> None:
    world.memory = DecisionState()


@pytest.mark.parametrize(
    ("faults", "bought", "started", "left", "said"),
    [
        pytest.param({}, 4, [5], 4, "needs 4 nodes at once", id="nothing fails"),
        pytest.param({2: loses(1)}, 5, [7], 4, "and 3 are free", id="a launch fails"),
        pytest.param({1: late(20)}, 4, [25], 4, "one of 4 nodes", id="a node is registered late"),
        pytest.param(
            {1: late(1000)}, 4, [], 1, "did not start in 61 min", id="a node never registers"
        ),
        pytest.param(
            # Three are ready at 5, the last at 15; the lost one is ordered again at 8.
            {1: late(10), 8: loses(0)},
            5,
            [15],
            4,
            "and 3 are free",
            id="a ready node is lost before the start",
        ),
        pytest.param(
            {20: loses(0)},
            5,
            [5, 25],
            4,
            "is started in part: 3 of 4 pods have a node",
            id="a node is lost under the running gang",
        ),
        pytest.param(
            {3: quota_withdrawn},
            4,
            [],
            0,
            "waits for Kueue's queue research (WaitingForQuota, evicted): 32 GPUs, $40.00/h",
            id="the quota is withdrawn",
        ),
        pytest.param(
            {3: quota_withdrawn, 20: quota_back}, 8, [25], 4, "", id="the quota comes back"
        ),
        pytest.param({0: ceiling_falls}, 0, [], 0, "gets none of its 4", id="the cap is too low"),
        pytest.param(
            {1: late(10), 6: ceiling_falls}, 4, [], 0, "keeps none of its 3", id="the cap falls"
        ),
        pytest.param({3: controller_dies}, 4, [5], 4, "", id="the controller dies"),
        pytest.param(
            {1: late(10), 7: controller_dies}, 4, [15], 4, "", id="it dies while nodes are held"
        ),
    ],
)
def test_a_gang_of_4_x_8_gpus_gets_all_its_nodes_or_none_whatever_fails(
    faults: dict[int, Callable[[World], None]],
    bought: int,
    started: list[int],
    left: int,
    said: str,
) -> None:
    world = World()
    for minute in range(END):
        world.turn(faults.get(minute))
    assert (world.bought, world.started) == (bought, started)
    assert len(world.machines) == left
    assert said in world.said
