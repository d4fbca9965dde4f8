"""What holds in any schedule of demand, failures, prices, clock jumps and restarts."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.cluster.nodes import CapacityType
from fleet.reasons import Reason
from policies.decide import SETTLED, DecisionState, decide
from policies.node_plan import NodePlan, PoolPlan, Verdict
from policies.policy.pool_policy import PoolPolicy, SpotHedge
from policies.rules.draft import SPECULATIVE
from policies.situation import NodeStage, PoolState, Situation
from tests.policies.pools import NOW, round_of
from tests.policies.toy_cluster import CAPACITY, Cluster

EXAMPLES = 60
ROUND_SECONDS = 120.0
QUIET_SECONDS = 360.0 + 480.0  # K + w of the toy cluster's lead time
AHEAD = frozenset({Reason.PRE_WARM, Reason.WARM_FLOOR})


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What happens before one round."""

    demand: int
    spread: float | None = 1.0
    fails: int | None = None
    """The place of a machine that vanishes."""
    usd: float = 2.0
    floor: int = 0
    gang: int = 0
    clock: float = 0.0
    """Seconds by which the wall clock is set."""
    restarts: bool = False
    refuses: bool = False
    """After it no node goes that is to go."""


rounds = st.builds(
    Round,
    demand=st.integers(0, 12),
    spread=st.sampled_from([None, 0.0, 0.3, 1.0, 2.0]),
    fails=st.sampled_from([None, None, None, 0, 1, 3]),
    usd=st.sampled_from([2.0, 2.0, 1.0, 5.0]),
    floor=st.sampled_from([0, 0, 2, 4]),
    gang=st.sampled_from([0, 0, 0, 1, 3, 6]),
    clock=st.sampled_from([0.0] * 8 + [-7200.0, 7200.0]),
    restarts=st.sampled_from([False] * 9 + [True]),
    refuses=st.sampled_from([False, False, True]),
)
schedules = st.lists(rounds, min_size=3, max_size=25)
steady = schedules.map(lambda all_: [replace(one, clock=0.0, restarts=False) for one in all_])
calm = st.lists(st.tuples(rounds, st.integers(1, 15)), min_size=1, max_size=5).map(
    lambda spells: [
        one if i == 0 else replace(one, fails=None, clock=0.0, restarts=False)
        for one, length in spells
        for i in range(length)
    ]
)
"""Each event is followed by a spell of rounds without another."""
policies = st.builds(
    PoolPolicy,
    rho=st.sampled_from([1.0, 10.0, 30.0, 100.0]),
    trust=st.sampled_from([0.3, 1.0]),
    idle_usd_per_hour_max=st.sampled_from([None, 0.0, 5.0, 20.0]),
    idle_usd_per_month_max=st.sampled_from([None, 3.0, 50.0]),
    spot_hedge=st.sampled_from([SpotHedge(), SpotHedge(on_demand_share=0.5, spare_nodes=1)]),
)
sizes = st.sampled_from([1, 4])
limits = st.sampled_from([None, 6])


@dataclass(slots=True, kw_only=True)
class Run:
    """A schedule as it goes: each round is shown to `watch`."""

    policy: PoolPolicy
    cluster: Cluster
    state: DecisionState = SETTLED
    monotonic: float = 0.0
    month_usd: float = 0.0
    seen: list[str] = field(default_factory=list)

    def play(self, schedule: list[Round], watch: "Watch") -> None:
        for one in schedule:
            self.happen(one)
            before, policy = self.cluster.state(), replace(self.policy, warm_floor_nodes=one.floor)
            plan, self.state = round_of(
                before,
                policy=policy,
                state=self.state,
                now=self.cluster.now,
                month_usd=self.month_usd,
            )
            watch(self, one, before, plan.pools[0])
            self.cluster.carry_out(plan.pools[0])
            self._pay(plan)

    def happen(self, one: Round) -> None:
        cluster = self.cluster
        self.monotonic += ROUND_SECONDS
        cluster.now += ROUND_SECONDS + one.clock
        cluster.demand, cluster.spread, cluster.gang_nodes = one.demand, one.spread, one.gang
        cluster.usd_per_gpu_hour, cluster.refuses = one.usd, one.refuses
        if one.fails is not None and one.fails < len(cluster.machines):
            del cluster.machines[one.fails]
        if one.restarts:
            self.state = DecisionState()
        cluster.settle(ROUND_SECONDS)

    def _pay(self, plan: NodePlan) -> None:
        held = {one.node for one in plan.pools[0].nodes if one.reason in SPECULATIVE}
        paid = sum(one.usd_per_hour for one in self.cluster.machines if one.name in held)
        self.month_usd += paid * ROUND_SECONDS / 3600


Watch = Callable[[Run, Round, PoolState, PoolPlan], None]


def begin(
    policy: PoolPolicy, gpus: int, nodes_max: int | None = None, *, spare_of_others: int = 0
) -> Run:
    cluster = Cluster(
        name="pool",
        gpus_per_node=gpus,
        now=NOW,
        nodes_max=nodes_max,
        spare_of_others=spare_of_others,
    )
    for capacity_type in CAPACITY:
        cluster.buy(1, capacity_type)
    return Run(policy=policy, cluster=cluster)


def speculative_usd(before: PoolState, plan: PoolPlan) -> float:
    """Dollars an hour that holds and orders ahead of demand commit."""
    usd = {node.uid: node.usd_per_hour or 0.0 for node in before.nodes}
    held = sum(
        usd[one.uid]
        for one in plan.nodes
        if one.verdict is Verdict.HOLD and one.reason in SPECULATIVE
    )
    orders = sum(one.nodes for one in plan.orders if one.reason in SPECULATIVE)
    return held + orders * (before.usd_per_hour or 0.0)


@given(schedule=schedules, policy=policies, gpus=sizes, nodes_max=limits)
@settings(max_examples=EXAMPLES, deadline=None)
def test_only_nodes_without_a_pod_are_released_and_none_that_costs_nothing(
    schedule: list[Round], policy: PoolPolicy, gpus: int, nodes_max: int | None
) -> None:
    def watch(_run: Run, _one: Round, before: PoolState, plan: PoolPlan) -> None:
        nodes = {node.uid: node for node in before.nodes}
        for decision in plan.nodes:
            if decision.verdict is Verdict.RELEASE:
                node = nodes[decision.uid]
                assert not node.pods
                starts = node.stage is not NodeStage.INITIALIZED
                assert starts or node.empty_since_seconds is not None
                assert node.capacity_type is not CapacityType.RESERVED

    begin(policy, gpus, nodes_max).play(schedule, watch)


@given(schedule=schedules, policy=policies, gpus=sizes, nodes_max=limits)
@settings(max_examples=EXAMPLES, deadline=None)
def test_no_start_is_cancelled_that_demand_a_floor_or_a_gang_may_need(
    schedule: list[Round], policy: PoolPolicy, gpus: int, nodes_max: int | None
) -> None:
    def watch(_run: Run, one: Round, before: PoolState, plan: PoolPlan) -> None:
        released = [node for node in plan.nodes if node.verdict is Verdict.RELEASE]
        # What a ceiling does not allow goes after that, whoever wants it.
        gone = {node.uid for node in released if node.reason is not Reason.BUDGET}
        starts = {node.uid for node in before.nodes if node.stage is not NodeStage.INITIALIZED}
        if gone & starts:
            bound = sum(len(node.pods) for node in before.nodes)
            assert bound >= one.demand
            assert one.gang == 0
            assert len(before.nodes) - len(gone) >= one.floor
            assert (len(before.nodes) - len(gone)) * gpus >= one.demand

    begin(policy, gpus, nodes_max).play(schedule, watch)


@given(schedule=calm, policy=policies, gpus=sizes, spare=st.integers(0, 2))
@settings(max_examples=EXAMPLES, deadline=None)
def test_what_others_buy_after_a_release_is_not_let_go_at_once(
    schedule: list[Round], policy: PoolPolicy, gpus: int, spare: int
) -> None:
    """Unless pods waited, or it has had pods; what the pool ordered is not of others.

    A clock that is set, or a start without a state, ends it too.
    """
    released, waited, ordered = -QUIET_SECONDS, -QUIET_SECONDS, 0
    known: set[str] = set()
    bought: dict[str, float] = {}

    def watch(run: Run, one: Round, before: PoolState, plan: PoolPlan) -> None:
        nonlocal released, waited, ordered
        now = run.monotonic
        if one.clock or one.restarts:
            released = -QUIET_SECONDS
            bought.clear()
        if one.gang or waits(before):
            waited = now
        new = {node.uid for node in before.nodes} - known
        known.update(new)
        others = sorted(new)[min(len(new), ordered) :]
        ordered = sum(order.nodes for order in plan.orders)
        if now - released < QUIET_SECONDS <= now - waited:
            bought.update(dict.fromkeys(others, now))
        for node in before.nodes:
            if node.pods:
                bought.pop(node.uid, None)
        gone = {node.uid for node in plan.nodes if node.verdict is Verdict.RELEASE}
        assert all(now - bought[uid] >= QUIET_SECONDS for uid in gone & bought.keys())
        if gone:
            released = now

    begin(policy, gpus, spare_of_others=spare).play(schedule, watch)


@given(schedule=schedules, policy=policies, gpus=sizes, nodes_max=limits)
@settings(max_examples=EXAMPLES, deadline=None)
def test_no_pool_orders_and_releases_in_one_round(
    schedule: list[Round], policy: PoolPolicy, gpus: int, nodes_max: int | None
) -> None:
    def watch(_run: Run, _one: Round, before: PoolState, plan: PoolPlan) -> None:
        assert [one.uid for one in plan.nodes] == [node.uid for node in before.nodes]
        assert not (plan.orders and any(one.verdict is Verdict.RELEASE for one in plan.nodes))
        total = len(before.nodes) + sum(one.nodes for one in plan.orders)
        assert nodes_max is None or not plan.orders or total <= nodes_max

    begin(policy, gpus, nodes_max).play(schedule, watch)


@given(schedule=schedules, policy=policies, gpus=sizes)
@settings(max_examples=EXAMPLES, deadline=None)
def test_what_is_held_and_ordered_stays_within_the_ceilings(
    schedule: list[Round], policy: PoolPolicy, gpus: int
) -> None:
    hour, month = policy.idle_usd_per_hour_max, policy.idle_usd_per_month_max

    def watch(run: Run, _one: Round, before: PoolState, plan: PoolPlan) -> None:
        usd = speculative_usd(before, plan)
        assert hour is None or usd <= hour + 1e-6
        lease = usd * policy.hold_lease_seconds / 3600
        assert month is None or usd == 0 or run.month_usd + lease <= month + 1e-6

    begin(policy, gpus).play(schedule, watch)


@given(schedule=schedules, policy=policies, gpus=sizes)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_released_node_is_not_ordered_again_before_it_could_have_been_used(
    schedule: list[Round], policy: PoolPolicy, gpus: int
) -> None:
    """Unless demand rose above what the forecast's .99 quantile gave then.

    Time is the monotonic clock's, so that a wall clock that goes back shortens nothing; a jump
    forward is time that has passed for all the cluster's records too. What is to go and stays does
    not count.
    """
    quiet: dict[str, float] = {}
    to_go: set[str] = set()
    expected = 0.0

    def watch(run: Run, one: Round, before: PoolState, plan: PoolPlan) -> None:
        nonlocal expected
        if gone_of(to_go, before):
            quiet["expected"] = expected
            quiet["forecast"] = quiet["schedule"] = run.monotonic - ROUND_SECONDS + QUIET_SECONDS
        if one.clock > 0:
            quiet.clear()
        if one.restarts:
            quiet.pop("schedule", None)
        for order in plan.orders:
            if order.reason in AHEAD:
                kind = "schedule" if order.reason is Reason.WARM_FLOOR else "forecast"
                until = quiet.get(kind, 0.0)
                assert run.monotonic >= until or before.demand_gpus > quiet["expected"]
        expected = highest(before)
        if one.restarts:
            quiet["expected"] = expected
            quiet["forecast"] = run.monotonic + QUIET_SECONDS
        to_go.clear()
        to_go.update(released_by(plan))

    begin(policy, gpus).play(schedule, watch)


@given(schedule=steady, policy=policies, gpus=sizes)
@settings(max_examples=EXAMPLES, deadline=None)
def test_nothing_but_a_node_that_went_holds_up_orders(
    schedule: list[Round], policy: PoolPolicy, gpus: int
) -> None:
    to_go: set[str] = set()
    until = 0.0

    def watch(run: Run, _one: Round, before: PoolState, plan: PoolPlan) -> None:
        nonlocal until
        if gone_of(to_go, before):
            until = run.monotonic - ROUND_SECONDS + QUIET_SECONDS
        assert run.monotonic < until or all(step.rule != "no-flap" for step in plan.steps)
        to_go.clear()
        to_go.update(released_by(plan))

    begin(policy, gpus).play(schedule, watch)


def released_by(plan: PoolPlan) -> set[str]:
    return {one.uid for one in plan.nodes if one.verdict is Verdict.RELEASE}


def gone_of(to_go: set[str], before: PoolState) -> set[str]:
    return to_go - {node.uid for node in before.nodes}


def waits(before: PoolState) -> bool:
    return before.demand_gpus > sum(pod.gpus for node in before.nodes for pod in node.pods)


def highest(before: PoolState) -> float:
    """The .99 quantile of the window that K + w lies in, as the toy's forecast has it."""
    return before.demand_gpus if before.forecast is None else before.forecast.quantiles[1][-1]


@given(schedule=schedules, policy=policies, gpus=sizes, nodes_max=limits)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_gang_has_nodes_for_all_its_pods_or_none(
    schedule: list[Round], policy: PoolPolicy, gpus: int, nodes_max: int | None
) -> None:
    def watch(_run: Run, one: Round, before: PoolState, plan: PoolPlan) -> None:
        held = sum(
            node.verdict is Verdict.HOLD and node.reason is Reason.GANG for node in plan.nodes
        )
        coming = sum(node.reason is Reason.UNINITIALIZED for node in plan.nodes)
        ordered = sum(order.nodes for order in plan.orders if order.reason is Reason.GANG)
        if held or ordered:
            assert held + ordered <= one.gang <= held + ordered + coming
        assert len(before.nodes) == len(plan.nodes)

    begin(policy, gpus, nodes_max).play(schedule, watch)


@given(schedule=schedules, policy=policies, gpus=sizes)
@settings(max_examples=EXAMPLES, deadline=None)
def test_the_same_situation_gives_the_same_plan(
    schedule: list[Round], policy: PoolPolicy, gpus: int
) -> None:
    def watch(run: Run, one: Round, before: PoolState, plan: PoolPlan) -> None:
        again, state = round_of(
            before,
            policy=replace(policy, warm_floor_nodes=one.floor),
            state=run.state,
            now=run.cluster.now,
            month_usd=run.month_usd,
        )
        assert again.pools[0] == plan
        assert state == run.state

    begin(policy, gpus).play(schedule, watch)


@given(schedule=schedules, policy=policies, gpus=sizes)
@settings(max_examples=EXAMPLES, deadline=None)
def test_at_constant_input_no_hold_comes_and_goes(
    schedule: list[Round], policy: PoolPolicy, gpus: int
) -> None:
    """Rounds of ten seconds after any past: a node's verdict changes once at most."""
    run = begin(policy, gpus)
    run.play(schedule, lambda *_: None)
    last, now = schedule[-1], run.cluster.now
    before, state = run.cluster.state(), run.state
    changes: dict[str, list[Verdict]] = {}
    for i in range(12):
        # The policy's month goes on with the clock, and nothing else does.
        plan, state = round_of(
            before,
            policy=replace(policy, warm_floor_nodes=last.floor),
            state=state,
            now=now + 10 * i,
            month_usd=run.month_usd,
        )
        for one in plan.pools[0].nodes:
            seen = changes.setdefault(one.uid, [])
            if not seen or seen[-1] is not one.verdict:
                seen.append(one.verdict)
    assert all(len(seen) <= 2 for seen in changes.values())


@given(schedule=schedules, policy=policies, gpus=sizes)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_start_without_a_state_releases_nothing_and_keeps_what_is_affordable(
    schedule: list[Round], policy: PoolPolicy, gpus: int
) -> None:
    run = begin(replace(policy, idle_usd_per_hour_max=None, idle_usd_per_month_max=None), gpus)
    run.play(schedule, lambda *_: None)
    run.happen(Round(demand=0))
    before = run.cluster.state()
    plan, _ = decide(
        Situation(now_seconds=run.cluster.now, pools=(before,)),
        lambda _pool, _at: run.policy,
        DecisionState(),
    )
    for node, decision in zip(before.nodes, plan.pools[0].nodes, strict=True):
        assert decision.verdict is not Verdict.RELEASE
        stands = (node.held_by_us_until_seconds or 0.0) > run.cluster.now
        if stands and node.empty_since_seconds is not None:
            assert decision.verdict is Verdict.HOLD


@pytest.mark.parametrize("fields", [{"rho": 1e6}, {"rho": 1e-6}, {"trust": 0.0}])
def test_extreme_policies_end(fields: dict[str, float]) -> None:
    run = begin(PoolPolicy(**fields), 1)
    run.play([Round(demand=5), Round(demand=9, spread=2.0)], lambda *_: None)
    assert len(run.cluster.machines) < 200
