"""When the controller makes rounds, what it carries out, and what becomes of faults."""

import asyncio
from itertools import pairwise

import pytest

from bench._faults_row import Observe
from fleet.annotations import RELEASE_TAINT
from fleet.cluster.kinds import Kind
from fleet.reasons import Reason
from foresail.controller.known_plans import KnownPlans, TriggerPlan
from foresail.controller.rounds import ControllerState
from policies.node_plan import Verdict
from policies.planning.demand import STEP_SECONDS
from policies.planning.node_planning import NodePlanning
from policies.rounds import SETTLE_SECONDS
from tests.foresail.controller.memory_leases import MemoryLeases
from tests.foresail.controller.stage import KeptStates, Stage, acting, clock, stage
from tests.policies.capacity_policies import policy
from tests.policies.test_assess import NOW, Json, claim, pod
from tests.policies.test_node_planning import CHATS, held, two_nodes


def verdicts(one: Stage) -> dict[str, str]:
    assert one.controller.last is not None
    (pool,) = one.controller.last.decided.plan.pools
    return {node.node: node.verdict.value for node in pool.nodes}


def with_past() -> ControllerState:
    """Of a pool that wanted 8 GPUs for four hours: it has a forecast."""
    planning = NodePlanning()
    for ago in range(120, 0, -1):
        planning.learn(NOW - ago * STEP_SECONDS, {"h100": 8.0})
    return ControllerState(planning=planning.state)


def begun(one: Stage) -> None:
    one.show_all(two_nodes())
    one.say(acting())


async def test_a_round_is_made_as_soon_as_all_is_read_and_then_each_two_minutes() -> None:
    async with stage() as one:
        assert one.controller.trouble is not None
        await asyncio.sleep(30)
        assert one.controller.last is None
        begun(one)
        await asyncio.sleep(6)
        assert one.executor.seconds[0] <= 36
        await asyncio.sleep(600)
        regular = one.executor.seconds[1:]
        assert [round(second - first) for first, second in pairwise(regular)] == [120] * 4


async def test_regular_rounds_begin_with_the_steps_of_forecasts_also_after_others() -> None:
    async with stage() as one:
        await asyncio.sleep(47)
        begun(one)
        await asyncio.sleep(150)
        one.put(Kind.POD, pod("new", 8, **CHATS))
        await asyncio.sleep(300)
        into = [round(made.at_seconds % STEP_SECONDS, 1) for made in one.executor.rounds]
        assert [at for at in into if at != 0.5] == [into[0], into[2]]
        assert len(into) == 6


async def test_with_pods_that_come_and_go_it_rests_as_long_as_a_round_takes() -> None:
    async with stage() as one:
        one.executor.takes_seconds = 20.0
        begun(one)
        await asyncio.sleep(30)
        for at in range(300):
            one.put(Kind.POD, pod(f"new-{at}", 8, **CHATS))
            await asyncio.sleep(1)
        ends = one.executor.seconds
        assert len(ends) >= 6
        assert all(second - first >= 40 for first, second in pairwise(ends))


async def test_with_pods_that_come_and_go_the_state_is_not_written_each_round() -> None:
    store = KeptStates()
    async with stage(store=store) as one:
        begun(one)
        for at in range(600):
            one.put(Kind.POD, pod(f"new-{at}", 8, **CHATS))
            await asyncio.sleep(1)
        assert len(one.executor.rounds) >= 100
        assert 6 <= len(store.states) <= 12
        await asyncio.sleep(20)
        learned = one.rounds.state
    assert store.states[-1] == learned


async def test_a_pod_that_waits_for_gpus_is_answered_at_once_and_a_burst_once() -> None:
    async with stage() as one:
        begun(one)
        await asyncio.sleep(60)
        assert len(one.executor.rounds) == 1
        for at in range(4):
            one.put(Kind.POD, pod(f"new-{at}", 8, **CHATS))
            await asyncio.sleep(0.5)
        await asyncio.sleep(10)
        assert len(one.executor.rounds) <= 3
        (pool,) = one.executor.rounds[-1].decided.situation.pools
        assert pool.demand_gpus == 40.0
        assert one.executor.seconds[1] - 60 <= 2


async def test_a_pod_without_gpus_wakes_nobody() -> None:
    async with stage() as one:
        begun(one)
        await asyncio.sleep(60)
        plain: Json = pod("web", 1)
        del plain["spec"]["containers"][0]["resources"]
        one.put(Kind.POD, plain)
        await asyncio.sleep(30)
        assert len(one.executor.rounds) == 1


async def test_a_node_that_became_empty_is_looked_at_when_it_may_be_tainted_and_then_let_go() -> (
    None
):
    async with stage() as one:
        begun(one)
        await asyncio.sleep(50)
        before, gone = len(one.executor.rounds), clock()
        one.drop(Kind.POD, "llm/x")
        await asyncio.sleep(35)
        assert len(one.executor.rounds) == before + 1
        looked = one.executor.seconds[-1]
        assert 15 <= looked - gone <= 17
        (pool,) = one.executor.rounds[-1].decided.situation.pools
        emptied = next(node for node in pool.nodes if node.name == "h100-a")
        assert emptied.empty_since_seconds == pytest.approx(NOW + gone - one.begin, abs=2)
        tainted = two_nodes()[Kind.NODE][0]
        value = str(int(NOW + looked - one.begin))
        tainted["spec"]["taints"] = [{"key": RELEASE_TAINT, "value": value, "effect": "NoSchedule"}]
        seen = clock()
        one.put(Kind.NODE, tainted)
        await asyncio.sleep(20)
        assert len(one.executor.rounds) == before + 2
        assert SETTLE_SECONDS <= one.executor.seconds[-1] - seen <= SETTLE_SECONDS + 2


@pytest.mark.parametrize(
    ("takes", "rounds"),
    [
        pytest.param(0.0, [20, 35, 50, 65], id="15 s apart"),
        pytest.param(2.0, [40], id="a twentieth of the time, from begin to begin"),
    ],
)
async def test_pods_that_leave_a_node_to_others_call_for_rounds_that_are_not_too_close(
    takes: float, rounds: list[float]
) -> None:
    objects = two_nodes()
    objects[Kind.POD] = [pod(f"x-{at}", 1, "a", **CHATS) for at in range(8)]
    async with stage() as one:
        one.executor.takes_seconds = takes
        one.show_all(objects)
        one.say(acting())
        await asyncio.sleep(20)
        first = one.executor.seconds[0] - takes
        for at in range(7):
            one.drop(Kind.POD, f"llm/x-{at}")
            await asyncio.sleep(7)
        assert [round(end - takes - first) for end in one.executor.seconds[1:]] == rounds


async def test_a_pod_that_waits_no_longer_is_seen_after_a_while_and_not_at_once() -> None:
    """The pod that takes its place may wait in a moment: its start must not be called off."""
    async with stage() as one:
        begun(one)
        one.put(Kind.POD, pod("new", 8, **CHATS))
        await asyncio.sleep(50)
        before, gone = len(one.executor.rounds), clock()
        one.drop(Kind.POD, "llm/new")
        await asyncio.sleep(35)
        assert len(one.executor.rounds) == before + 1
        assert 15 <= one.executor.seconds[-1] - gone <= 17


async def test_a_pod_that_gets_a_node_calls_for_no_round() -> None:
    async with stage() as one:
        begun(one)
        one.put(Kind.POD, pod("new", 8, **CHATS))
        await asyncio.sleep(60)
        before = len(one.executor.rounds)
        one.put(Kind.POD, pod("new", 8, "b", **CHATS))
        await asyncio.sleep(40)
        assert len(one.executor.rounds) == before


async def test_nothing_is_decided_on_old_news() -> None:
    async with stage() as one:
        begun(one)
        await asyncio.sleep(10)
        one.cut_off(Kind.POD, "/api/v1/pods: HTTP 410: too old")
        await asyncio.sleep(900)
        assert len(one.executor.rounds) == 1
        assert one.controller.trouble == "/api/v1/pods: HTTP 410: too old"
        assert one.count("unreadable") >= 1
        one.show(Kind.POD, *two_nodes()[Kind.POD])
        await asyncio.sleep(6)
        assert len(one.executor.rounds) == 2
        assert one.controller.trouble is None


async def test_the_cost_of_time_without_a_reading_is_unknown_after_ten_minutes() -> None:
    async with stage() as one:
        begun(one)
        await asyncio.sleep(10)
        one.cut_off(Kind.POD, "/api/v1/pods: HTTP 410: too old")
        await asyncio.sleep(2 * 3600)
        one.show(Kind.POD, *two_nodes()[Kind.POD])
        await asyncio.sleep(6)
        assert one.controller.last is not None
        hours = one.controller.last.costs.gpu_hours.totals.items()
        unknown = sum(cost.gpu_hours for of, cost in hours if of.reason is Reason.UNKNOWN)
        assert unknown == pytest.approx(16 * (2 - 1 / 6), abs=0.1)


async def test_a_kind_that_the_cluster_does_not_have_is_no_old_news() -> None:
    async with stage() as one:
        begun(one)
        one.cut_off(Kind.BUFFER, "forbidden")  # it is not needed either
        await asyncio.sleep(10)
        assert len(one.executor.rounds) == 1


async def test_without_policies_that_were_read_nothing_is_decided() -> None:
    async with stage() as one:
        one.show_all(two_nodes())
        await asyncio.sleep(200)
        assert one.controller.trouble == "policies: not read yet"
        one.say()
        await asyncio.sleep(6)
        assert verdicts(one) == {"h100-a": "leave", "h100-b": "leave"}


async def test_mere_advice_posts_events_once_a_change_and_carries_nothing_out() -> None:
    async with stage(acts=False, state=with_past()) as one:
        begun(one)
        await asyncio.sleep(900)
        assert one.executor.rounds == []
        assert one.posted.reasons == [("b", "WouldRelease")]
        note = one.posted.events[0]["note"]
        assert note.startswith("release: no reason; empty for")
        assert one.count("advised") >= 7


async def test_events_are_bounded_and_the_rest_comes_in_later_rounds() -> None:
    async with stage(acts=False, state=with_past()) as one:
        objects = two_nodes()
        many = {
            kind: [
                *objects[kind],
                *(
                    _renamed(each, f"n{at}")
                    for at in range(200)
                    for each in objects[kind]
                    if each["metadata"]["name"] in {"b", "h100-b"}
                ),
            ]
            for kind in (Kind.NODE, Kind.NODE_CLAIM)
        }
        one.show_all({**objects, **many})
        one.say(acting())
        await asyncio.sleep(100)
        assert len(one.posted.events) <= 100
        await asyncio.sleep(900)
        assert len({name for name, _ in one.posted.reasons}) == 201
        assert len(one.posted.events) == 201


def _renamed(document: Json, name: str) -> Json:
    of_claim = document["metadata"]["name"].startswith("h100-")
    renamed = f"h100-{name}" if of_claim else name
    metadata = {**document["metadata"], "name": renamed, "uid": f"uid-{renamed}"}
    status = {**document["status"], **({"nodeName": name} if of_claim else {})}
    return {**document, "metadata": metadata, "status": status}


@pytest.mark.parametrize("seconds", [-7200.0, 7200.0])
async def test_after_the_wall_clock_was_set_one_round_is_not_carried_out(
    observed: Observe, seconds: float
) -> None:
    async with stage() as one:
        begun(one)
        await asyncio.sleep(10)
        one.wall_off = seconds
        await asyncio.sleep(120)
        acted = [len(one.executor.rounds)]
        await asyncio.sleep(120)
        acted.append(len(one.executor.rounds))
    observed(
        f"rounds carried out: {acted[0]} when it was set, {acted[1]} two rounds later",
        lost=2 - acted[1],
        recovered_seconds=240.0,
    )
    assert acted == [1, 2]


async def test_of_two_replicas_one_acts_and_both_learn() -> None:
    leases = MemoryLeases()
    async with stage(leases=leases, name="a") as a, stage(leases=leases, name="b") as b:
        for one in (a, b):
            begun(one)
        await asyncio.sleep(1000)
        first, second = sorted((a, b), key=lambda one: -len(one.executor.rounds))
        assert len(first.executor.rounds) >= 8
        assert second.executor.rounds == []
        assert second.posted.events == []
        assert second.count("waiting") >= 8
        assert second.controller.last is not None
        assert (second.controller.last.costs.gpu_hours.first_seconds or 0) > NOW - 1


@pytest.mark.parametrize(
    ("calls_off", "counted"),
    [
        pytest.param(frozenset({"uid-new"}), True, id="it was deleted"),
        pytest.param(frozenset[str](), False, id="the delete was refused"),
    ],
)
async def test_a_start_that_ends_is_called_off_where_the_executor_has_done_it(
    calls_off: frozenset[str], counted: bool
) -> None:
    """Else it failed by itself, whatever the plan wanted, and the share of failures learns it."""
    async with stage(state=with_past()) as one:
        one.executor.calls_off = calls_off
        begun(one)
        one.put(Kind.NODE_CLAIM, claim("new", "Launched"))
        await asyncio.sleep(250)
        assert verdicts(one)["new"] == "release"
        one.drop(Kind.NODE_CLAIM, "new")
        await asyncio.sleep(240)
        ended = {start.uid: start for start in one.rounds.state.startups.nodes.ended}
        assert ended["uid-new"].called_off is counted


async def test_what_was_called_off_stays_so_in_rounds_whose_reading_lags() -> None:
    """The claim is not seen to be going, and nothing is left to do for the executor."""
    async with stage(state=with_past()) as one:
        one.executor.calls_off = frozenset({"uid-new"})
        begun(one)
        one.put(Kind.NODE_CLAIM, claim("new", "Launched"))
        await asyncio.sleep(250)
        one.executor.calls_off = frozenset()
        await asyncio.sleep(360)
        one.drop(Kind.NODE_CLAIM, "new")
        await asyncio.sleep(240)
        ended = {start.uid: start for start in one.rounds.state.startups.nodes.ended}
        assert ended["uid-new"].called_off


async def test_a_replica_that_comes_to_lead_makes_a_round_at_once() -> None:
    leases = MemoryLeases()
    async with stage(leases=leases, name="b") as b:
        async with stage(leases=leases, name="a") as a:
            for one in (a, b):
                begun(one)
            await asyncio.sleep(10)
            leader, other = (a, b) if a.controller.leading else (b, a)
            assert not other.controller.leading
        # The context of `a` has ended: its Lease was given back if it led.
        ended = clock()
        await asyncio.sleep(40)
        assert b.controller.leading
        if leader is a:
            assert b.executor.seconds[0] - ended <= 10


async def test_a_leader_that_loses_the_lease_in_the_middle_stops() -> None:
    async with stage(leases=MemoryLeases()) as one:
        begun(one)
        await asyncio.sleep(60)
        acted = len(one.executor.rounds)
        assert one.leases is not None
        one.leases.hangs = True
        one.executor.takes_seconds = 25.0  # a leader acts for 20 s from its last renewal
        one.put(Kind.POD, pod("new", 8, **CHATS))
        await asyncio.sleep(60)
        assert (len(one.executor.rounds), one.executor.stopped) == (acted, 1)


async def test_planned_replicas_count_and_silence_orders_nothing(observed: Observe) -> None:
    plans = KnownPlans()
    async with stage(plans=plans, state=with_past()) as one:
        begun(one)
        scaled = {
            "metadata": {"namespace": "llm", "name": "chat-scaler", "uid": "s"},
            "spec": {"scaleTargetRef": {"name": "chat"}},
        }
        one.show(Kind.SCALED_OBJECT, scaled)
        await asyncio.sleep(6)
        assert one.controller.last is not None
        assert "no plan was heard yet" in one.controller.last.decided.remarks[0]
        plan = TriggerPlan(
            trigger="t", scaled_object="llm/chat-scaler", replicas=3.0, valid_for_seconds=200.0
        )
        plans.all_are([plan], clock())
        await asyncio.sleep(120)
        (pool,) = one.controller.last.decided.situation.pools
        assert pool.demand_gpus == 24.0
        assert pool.forecast is not None
        await asyncio.sleep(120)
        (pool,) = one.controller.last.decided.situation.pools
        assert (pool.demand_gpus, pool.forecast is None) == (8.0, False)
        await asyncio.sleep(240)
        (pool,) = one.controller.last.decided.situation.pools
        assert pool.forecast is None
        (planned,) = one.controller.last.decided.plan.pools
        assert planned.orders == ()
        assert any("no plan was heard for" in text for text in one.controller.last.decided.remarks)
    observed(
        f"forecast unknown: {pool.forecast is None}; demand {pool.demand_gpus:g} GPUs of pods, "
        f"{len(planned.orders)} orders",
        wrong_scale_downs=sum(node.verdict is Verdict.RELEASE for node in planned.nodes),
        lost=len(planned.orders),
    )


async def test_a_start_with_the_state_of_before_goes_on() -> None:
    objects = two_nodes(annotations=held("forecast hold", "2100-01-01T00:00:00Z"))
    async with stage() as one:
        one.show_all(objects)
        one.say(acting())
        await asyncio.sleep(365)
        state: ControllerState = one.rounds.state
        (before,) = state.planning.spending.policies.values()
        assert before.usd == pytest.approx(55.04 / 10, rel=0.02)
    async with stage(state=state) as two:
        two.show_all(objects)
        two.say(acting())
        await asyncio.sleep(6)
        last = two.controller.last
        assert last is not None
        assert last.decided.situation.spending.month_usd_by_policy["all"] >= before.usd
        assert last.costs.gpu_hours.first_seconds == state.costs.gpu_hours.first_seconds


async def test_why_a_policy_is_not_in_force_is_told_with_the_plan() -> None:
    async with stage() as one:
        one.show_all(two_nodes())
        one.say(acting(), policy("another"))
        await asyncio.sleep(6)
        assert one.controller.last is not None
        decided = one.controller.last.decided
        assert "match the same pools" in decided.remarks[0]
        assert decided.policies == {}
