"""A reading, policies and the past become a plan, and what is remembered goes on over restarts."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fleet.account.lead_times import learned
from fleet.account.loading import Load, PodLoad
from fleet.account.startups import StartUps
from fleet.cluster.kinds import Kind, record_of
from fleet.cluster.owners import Workload
from fleet.cluster.reading import Cluster
from fleet.snapshot import snapshot_of
from policies.node_plan import NodeOrder, Verdict
from policies.planning.demand import STEP_SECONDS, PoolDemand
from policies.planning.node_planning import NodePlanning, NodeRound, PlanningState, RoundInput
from policies.planning.state_bytes import StateRefusedError, decode_state, encode_state
from policies.planning.tuning import Evidence, NoChoice, TuningRecord
from policies.policy.documents import policies_in
from policies.policy.resolve import policy_for
from policies.policy.schema import CapacityPolicy
from policies.rounds import Emptied
from policies.rules.constants import RuleConstants
from replay.cluster.shipped import ShippedRules
from replay.pool_forecast import forecast_of
from scaler.forecast.maximum.forecaster import RunningMaximumForecaster
from scaler.forecast.running_maximum import MaximumForecast
from tests.cluster.gang_documents import job_set
from tests.policies.test_assess import KNOWN, NOW, Json, claim, initialized, node, owned, pod, pool

CHAT = Workload(kind="Deployment", namespace="llm", name="chat")
CHATS = owned("ReplicaSet", "chat-1", {"pod-template-hash": "1"})


ACT = "mode: act, idleCeiling: {usdPerHour: 1000}"


def policies(spec: str = ACT, name: str = "all") -> tuple[CapacityPolicy, ...]:
    text = (
        "apiVersion: foresail.io/v1alpha1\nkind: CapacityPolicy\n"
        f"metadata: {{name: {name}}}\nspec: {{{spec}}}\n"
    )
    return policies_in({f"{name}.yaml": text})


def given(objects: dict[Kind, list[Json]], now: float = NOW, **values: Any) -> RoundInput:
    records = {kind: [record_of(kind, one) for one in all_] for kind, all_ in objects.items()}
    cluster = Cluster.of("test", records)
    startups = StartUps().read(cluster, KNOWN, now)
    defaults: dict[str, Any] = {
        "snapshot": snapshot_of(cluster, KNOWN, None, now),
        "lead_times": learned(startups, now),
        "policies": policies(),
        "prices": KNOWN.prices,
    }
    return RoundInput(cluster=cluster, now_seconds=now, **(defaults | values))


def two_nodes(**second: Any) -> dict[Kind, list[Json]]:
    """Node `a` full of one pod of chat, and node `b` empty."""
    return {
        Kind.NODE_POOL: [pool("h100")],
        Kind.NODE_CLAIM: [initialized("h100-a", "a"), initialized("h100-b", "b")],
        Kind.NODE: [node("a"), node("b", **second)],
        Kind.POD: [pod("x", 8, "a", **CHATS)],
    }


def only(found: NodeRound) -> Any:
    (state,) = found.situation.pools
    return state


def test_the_demand_of_a_reading_is_in_the_forecast() -> None:
    planning = NodePlanning()
    for step in range(120):
        planning.learn(NOW - (120 - step) * STEP_SECONDS, {"h100": 16.0 if step % 10 < 5 else 8.0})
    found = planning.plan(given(two_nodes()))
    forecast = only(found).forecast
    assert (only(found).demand_gpus, forecast.last_value) == (8.0, 8.0)
    assert forecast.probability_of_reaching(16.0 - 2, 1) > 0.5  # it went there every 20 minutes


def test_in_a_phase_of_its_own_a_node_goes_once_a_forecast_knows_that_demand_fell() -> None:
    """The first round of a step comes 1 s after its beginning, and 15 s after the node's last pod.

    Its forecast is of the highest reading since the one before, which saw that pod.
    """
    planning, begin = NodePlanning(), NOW - NOW % STEP_SECONDS
    for step in range(120, 3, -1):
        planning.learn(begin - step * STEP_SECONDS, {"h100": 8.0})
    used, cheap = two_nodes(), policies(f"{ACT}, delayedMinuteWorth: {{gpuMinutes: 1}}")
    used[Kind.POD].append(pod("y", 8, "b", **CHATS))
    verdicts = []
    for seconds in (-239, -119, -60, 1, 121):
        objects = used if seconds < -14 else two_nodes()
        last = {"b": Emptied(at_seconds=begin - 14, replaced_until_seconds=begin + 1)}
        emptied = {} if seconds < -14 else last
        found = planning.plan(given(objects, begin + seconds, policies=cheap, emptied=emptied))
        verdicts.append(found.plan.pools[0].nodes[1].verdict)
    assert verdicts == [Verdict.LEAVE] * 4 + [Verdict.RELEASE]


def test_the_pods_of_a_pool_have_the_gpus_that_they_had_last() -> None:
    planning, objects = NodePlanning(), two_nodes()
    assert only(planning.plan(given(objects))).gpus_per_pod == 8
    objects[Kind.POD] = []
    assert only(planning.plan(given(objects, NOW + 120))).gpus_per_pod == 8


@pytest.mark.parametrize(
    ("steps", "gpus"),
    [
        pytest.param(60, 8.0, id="two hours of past"),
        pytest.param(3 * 720, 0.0, id="three days in which no GPU of it was wanted"),
    ],
)
def test_a_pool_that_has_shown_too_little_has_no_forecast(steps: int, gpus: float) -> None:
    demand = PoolDemand(RunningMaximumForecaster())
    for step in range(steps):
        demand.take(NOW - (steps - step) * STEP_SECONDS, gpus)
    assert demand.forecast() is None


def test_a_peak_between_two_samples_is_not_lost() -> None:
    forecaster = RunningMaximumForecaster()
    demand = PoolDemand(forecaster)
    begin = 1_800_000_000.0  # a whole number of steps
    for seconds, gpus in ((0.0, 8.0), (30.0, 24.0), (60.0, 8.0), (120.0, 8.0)):
        demand.take(begin + seconds, gpus)
    newest = forecaster.forecast()
    assert newest is not None
    assert (newest.made_at_seconds, newest.last_value) == (begin + 120, 24.0)


def test_planned_replicas_count_before_their_pods_are_there() -> None:
    found = NodePlanning().plan(given(two_nodes(), planned={CHAT: 3.0}))
    assert only(found).demand_gpus == 24.0
    assert "16 GPUs of its demand are of planned replicas" in only(found).remarks[-1]


def test_fewer_planned_replicas_than_pods_take_nothing_away() -> None:
    found = NodePlanning().plan(given(two_nodes(), planned={CHAT: 0.0}))
    assert only(found).demand_gpus == 8.0


def test_without_plans_that_are_expected_no_forecast_counts() -> None:
    found = NodePlanning().plan(given(two_nodes(), plans_missing="no plan was heard for 10m"))
    assert (only(found).forecast, only(found).demand_gpus) == (None, 8.0)
    assert found.remarks == ("no plan was heard for 10m",)
    assert found.plan.pools[0].orders == ()


def largest(*quantiles: float) -> MaximumForecast:
    """Of the replicas of a workload that wants one now: the .5 and the .9 quantile."""
    return MaximumForecast(
        made_at_seconds=NOW,
        last_value=1.0,
        windows_seconds=(600.0,),
        levels=(0.5, 0.9),
        quantiles=(quantiles,),
    )


def test_a_pool_without_a_past_is_forecast_from_the_plans_of_its_workloads() -> None:
    found = NodePlanning().plan(given(two_nodes(), planned_maxima={CHAT: largest(1.0, 3.0)}))
    forecast = only(found).forecast
    assert (forecast.last_value, forecast.windows_seconds) == (8.0, (600.0,))
    # Demand grows by whole replicas of 8 GPUs: two are half of the way from the .5 to the .9, and
    # four are beyond the .9 by half of what it is beyond the .5, where the chance falls to a fifth.
    chances = [forecast.probability_of_reaching(gpus, 0) for gpus in (9, 16, 17, 24, 25, 32)]
    assert chances == pytest.approx([0.3, 0.3, 0.1, 0.1, 0.1 / 5**0.5, 0.1 / 5**0.5])
    assert "the plans of its workloads give it" in only(found).remarks[-1]


def test_demand_that_no_plan_tells_of_is_taken_to_stay() -> None:
    objects = two_nodes()
    objects[Kind.POD].append(pod("other", 8, "b"))
    forecasts = {CHAT: largest(1.0, 3.0)}
    forecast = only(NodePlanning().plan(given(objects, planned_maxima=forecasts))).forecast
    assert forecast.last_value == 16.0
    assert forecast.probability_of_reaching(17, 0) == pytest.approx(0.3)


def test_planned_replicas_are_in_the_forecast_of_the_plans_once() -> None:
    found = NodePlanning().plan(
        given(two_nodes(), planned={CHAT: 3.0}, planned_maxima={CHAT: largest(2.0, 3.0)})
    )
    forecast = only(found).forecast
    assert (only(found).demand_gpus, forecast.last_value) == (24.0, 24.0)
    assert forecast.probability_of_reaching(25, 0) == pytest.approx(0.1 / 5)


def test_a_new_controller_orders_for_a_burst_that_the_plans_foresee() -> None:
    def orders(*quantiles: float) -> tuple[NodeOrder, ...]:
        later = NOW + 1200  # soon after its start it orders nothing
        maxima = {CHAT: replace(largest(*quantiles), made_at_seconds=later)} if quantiles else {}
        planning = NodePlanning()
        planning.plan(given(two_nodes()))
        return planning.plan(given(two_nodes(), later, planned_maxima=maxima)).plan.pools[0].orders

    (order,) = orders(4.0, 4.0)
    assert order.nodes == 2  # of four replicas one runs, and one gets the empty node
    assert orders() == ()


def test_a_pool_with_a_past_is_forecast_from_it_whatever_plans_say() -> None:
    planning = NodePlanning()
    for step in range(120):
        planning.learn(NOW - (120 - step) * STEP_SECONDS, {"h100": 8.0})
    found = planning.plan(given(two_nodes(), planned_maxima={CHAT: largest(4.0, 4.0)}))
    assert only(found).forecast.windows_seconds == (600.0, 1200.0, 2400.0, 4800.0, 9600.0)
    assert only(found).remarks == ()


def test_a_workload_at_zero_counts_where_it_was_last_seen() -> None:
    planning = NodePlanning()
    planning.plan(given(two_nodes()))
    at_zero = {kind: all_ for kind, all_ in two_nodes().items() if kind is not Kind.POD}
    later = given(at_zero, NOW + 3600, planned={CHAT: 1.0})
    assert only(planning.plan(later)).demand_gpus == 8.0
    found = NodePlanning().plan(later)  # it never saw a pod of chat
    assert only(found).demand_gpus == 0.0
    assert (
        "Deployment llm/chat: 1 replicas are planned, and no pod of it was seen"
        in (found.remarks[0])
    )


def test_a_loading_pod_holds_its_node_no_longer_than_it_is_believed() -> None:
    objects = two_nodes()
    objects[Kind.POD] = [pod("x", 8, "a", ready=False)]
    load = PodLoad(
        pod="llm/x",
        uid="uid-x",
        node="a",
        workload=None,
        load=Load.LOADING,
        since_seconds=NOW - 1800,
        usual_seconds=90.0,
        believed_until_seconds=NOW + 90,
    )
    longer = policies(f"{ACT}, modelLoadingVeto: {{longest: 1h}}")
    found = NodePlanning().plan(given(objects, loads=(load,), policies=longer))
    held_until = {one.node: one.until_seconds for one in found.plan.pools[0].nodes}
    assert held_until["h100-a"] == NOW + 90


def test_a_pool_that_two_policies_want_is_left_alone_and_named() -> None:
    by_name = policies("pools: {names: [h100]}", "one")
    by_label = policies("pools: {generations: [H100]}", "two")
    found = NodePlanning().plan(given(two_nodes(), policies=(*by_name, *by_label)))
    assert found.policies == {}
    (remark,) = found.remarks
    assert "pool 'h100' is in the policies 'one' and 'two'" in remark
    assert remark.endswith("the pool is left alone")
    assert {one.verdict.value for one in found.plan.pools[0].nodes} == {"leave"}


def of_team(objects: dict[Kind, list[Json]], namespace: str) -> dict[Kind, list[Json]]:
    """The same with all pods in another namespace."""
    moved = [
        {**one, "metadata": {**one["metadata"], "namespace": namespace}}
        for one in objects[Kind.POD]
    ]
    return {**objects, Kind.POD: moved}


CHATS_ONLY = "workloads: {namespaces: [llm]}"
CHAT_ONLY = policies(f"{ACT}, {CHATS_ONLY}", "chat-only")


def after_bursts(given_policies: tuple[CapacityPolicy, ...], namespace: str) -> NodeRound:
    """The pool wanted a second node in turns of half an hour, and has it empty now."""
    planning = NodePlanning()
    begin = NOW - NOW % STEP_SECONDS
    for step in range(91):
        objects = of_team(day(step), namespace)
        found = planning.plan(
            given(objects, begin + (step - 90) * STEP_SECONDS, policies=given_policies)
        )
    return found


def test_no_node_is_held_for_demand_of_workloads_that_the_policy_is_not_about() -> None:
    covered, theirs = after_bursts(CHAT_ONLY, "llm"), after_bursts(CHAT_ONLY, "batch")
    assert [one.verdict for one in covered.plan.pools[0].nodes] == [Verdict.LEAVE, Verdict.HOLD]
    assert [one.verdict for one in theirs.plan.pools[0].nodes] == [Verdict.LEAVE, Verdict.LEAVE]
    assert (only(theirs).demand_gpus, only(theirs).forecast) == (8.0, None)
    assert "8 GPUs of its demand are of workloads that the policy is not about" in (
        only(theirs).remarks
    )


def test_demand_of_other_workloads_fills_nodes_and_is_taken_to_stay() -> None:
    objects = two_nodes()
    objects[Kind.POD].append(pod("batch", 8, "b"))
    objects[Kind.POD][1]["metadata"]["namespace"] = "batch"
    planning = NodePlanning()
    for step in range(120):
        planning.learn(NOW - (120 - step) * STEP_SECONDS, {"h100": 8.0})
    found = planning.plan(given(objects, policies=CHAT_ONLY))
    assert (only(found).demand_gpus, only(found).forecast.last_value) == (16.0, 16.0)
    assert planning.tuning_input(found, "h100", NOW).past.gpus[-1] == 8.0


def test_planned_replicas_count_where_the_policy_is_about_their_workload() -> None:
    by_label = policies(f"{ACT}, workloads: {{matchLabels: {{app: chat}}}}")
    for labels, gpus in (({"app": "chat"}, 24.0), ({"app": "batch"}, 8.0)):
        objects = two_nodes()
        objects[Kind.POD][0]["metadata"]["labels"] = {"pod-template-hash": "1", **labels}
        planning = NodePlanning()
        wanted = given(
            objects, policies=by_label, planned={CHAT: 3.0}, planned_maxima={CHAT: largest(4, 4)}
        )
        found = planning.plan(wanted)
        assert only(found).demand_gpus == gpus
        assert (only(found).forecast is not None) == (labels == {"app": "chat"})
        # What its pods' labels were is known after they are gone, and after a restart.
        restarted = NodePlanning(decode_state(encode_state(planning.state)))
        empty = {kind: all_ for kind, all_ in objects.items() if kind is not Kind.POD}
        later = given(empty, NOW + 120, policies=by_label, planned={CHAT: 2.0})
        assert only(restarted.plan(later)).demand_gpus == gpus - 8.0


def test_a_pod_that_loads_keeps_its_node_only_where_the_policy_is_about_it() -> None:
    for namespace, verdict in (("llm", Verdict.HOLD), ("batch", Verdict.LEAVE)):
        objects = two_nodes()
        objects[Kind.POD] = [pod("x", 8, "a", ready=False, **CHATS)]
        longer = policies(f"{ACT}, {CHATS_ONLY}, modelLoadingVeto: {{longest: 1h}}")
        found = NodePlanning().plan(given(of_team(objects, namespace), policies=longer))
        assert found.plan.pools[0].nodes[0].verdict is verdict


def test_replicas_of_other_workloads_keep_their_own_order() -> None:
    objects = two_nodes()
    objects[Kind.POD] += [pod("y", 4, "b", **CHATS), pod("z", 2, "b", **CHATS)]
    objects[Kind.POD][2]["metadata"]["namespace"] = "batch"
    found = NodePlanning().plan(given(objects, policies=CHAT_ONLY))
    assert found.plan.pools[0].deletion_costs.keys() == {"uid-x", "uid-y"}


def test_a_gang_of_another_workload_gets_no_nodes_and_fills_those_that_it_has() -> None:
    job = owned("Job", "tune-0", {"jobset.sigs.k8s.io/jobset-name": "tune"})
    for namespace, gangs, demand in (("llm", 1, 0.0), ("batch", 0, 8.0)):
        objects = two_nodes()
        objects[Kind.POD] = [pod("t", 8, "a", **job)]
        found = NodePlanning().plan(given(of_team(objects, namespace), policies=CHAT_ONLY))
        assert (len(only(found).gangs), only(found).demand_gpus) == (gangs, demand)
        verdict = found.plan.pools[0].nodes[0].verdict
        assert (verdict is Verdict.HOLD) == (gangs == 1)


def test_of_two_policies_that_name_one_workload_each_counts_in_its_own_pools() -> None:
    objects = two_nodes()
    objects[Kind.NODE_POOL].append(pool("a100"))
    objects[Kind.NODE_CLAIM].append(initialized("a100-c", "c"))
    objects[Kind.NODE_CLAIM][-1]["metadata"]["labels"]["karpenter.sh/nodepool"] = "a100"
    objects[Kind.NODE].append(node("c", pool="a100"))
    objects[Kind.POD].append(pod("y", 8, "c", ready=False, **CHATS))
    objects[Kind.POD][0]["status"]["conditions"][0]["status"] = "False"  # `x` on h100 loads too
    one, two = (
        f"{CHATS_ONLY}, modelLoadingVeto: {veto}, pools: {{names: [{name}]}}"
        for name, veto in (("h100", "{longest: 1h}"), ("a100", "{enabled: false}"))
    )
    both = (*policies(one, "one"), *policies(two, "two"))
    found = NodePlanning().plan(given(objects, policies=both))
    by_node = {node.node: node.verdict for one in found.plan.pools for node in one.nodes}
    assert (by_node["h100-a"], by_node["a100-c"]) == (Verdict.HOLD, Verdict.LEAVE)
    assert {name: one.policy for name, one in found.policies.items()} == {
        "h100": "one",
        "a100": "two",
    }


def held(reason: str, until: str) -> dict[str, str]:
    return {
        "karpenter.sh/do-not-disrupt": "true",
        "foresail.io/kept-because": reason,
        "foresail.io/kept-until": until,
    }


def test_a_machine_on_its_way_beyond_the_demand_costs_and_one_for_it_does_not() -> None:
    objects = two_nodes()
    objects[Kind.NODE_CLAIM].append(claim("h100-c", "Launched", pool="h100"))
    planning = NodePlanning()
    planning.plan(given(objects))
    # One node is used and one is empty without a hold of ours; the third is on its way for nobody.
    assert planning.state.spending.usd_per_hour == {"all": pytest.approx(55.04)}
    objects[Kind.POD] += [pod("y", 8, **CHATS), pod("z", 8, **CHATS)]
    planning.plan(given(objects, NOW + 60))
    assert planning.state.spending.usd_per_hour == {"all": 0.0}


@pytest.mark.parametrize(
    ("annotations", "spec", "usd"),
    [
        # An 8-GPU p5.48xlarge costs $55.04 an hour on the list.
        pytest.param(held("forecast hold", "2100-01-01T00:00:00Z"), ACT, 5.504, id="hold"),
        pytest.param(held("forecast hold", "2100-01-01T00:00:00Z"), "mode: advise", 0, id="advice"),
        pytest.param(held("forecast hold", "2000-01-01T00:00:00Z"), ACT, 0, id="ended"),
        pytest.param(held("gang", "2100-01-01T00:00:00Z"), ACT, 0, id="for a gang"),
        pytest.param({}, ACT, 0, id="not ours"),
    ],
)
def test_what_our_holds_cost_counts_for_the_month(
    annotations: dict[str, str], spec: str, usd: float
) -> None:
    planning = NodePlanning()
    objects = two_nodes(annotations=annotations)
    planning.plan(given(objects, policies=policies(spec)))
    found = planning.plan(given(objects, NOW + 360, policies=policies(spec)))
    spent = found.situation.spending.month_usd_by_policy
    assert spent["all"] == pytest.approx(usd)


@pytest.mark.parametrize(
    ("gang", "on_b"),
    [
        pytest.param([], None, id="no gang"),
        pytest.param([job_set("tune", suspend=True)], None, id="a suspended gang"),
        pytest.param([], "b", id="a gang that runs on another node"),
    ],
)
def test_nodes_ordered_ahead_cost_the_month_whatever_gangs_there_are(
    gang: list[Json], on_b: str | None
) -> None:
    objects = two_nodes()
    objects[Kind.NODE_CLAIM] += [claim("h100-c"), claim("h100-d")]
    objects[Kind.JOB_SET] = gang
    if on_b is not None:
        of = {"jobset.sigs.k8s.io/jobset-name": "tune"}
        objects[Kind.POD].append(pod("tune-0", 8, on_b, labels=of, namespace="ml"))
    planning = NodePlanning()
    first = planning.plan(given(objects))
    assert len(only(first).gangs) == (1 if gang or on_b else 0)
    spent = planning.plan(given(objects, NOW + 360)).situation.spending.month_usd_by_policy
    assert spent["all"] == pytest.approx(2 * 5.504)


def test_a_new_month_begins_at_nothing_in_the_policys_time_zone() -> None:
    objects = two_nodes(annotations=held("forecast hold", "2100-01-01T00:00:00Z"))
    tokyo = policies(f"{ACT}, timeZone: Asia/Tokyo")
    begin = 1_795_964_400.0  # 2026-11-30 00:00 in Tokyo
    planning = NodePlanning()
    for minutes in range(0, 30, 6):
        planning.plan(given(objects, begin + 60 * minutes, policies=tokyo))
    before = planning.state.spending.policies["all"]
    assert (before.month, before.usd) == ("2026-11", pytest.approx(4 * 5.504))
    planning.plan(given(objects, begin + 86_400, policies=tokyo))
    after = planning.state.spending.policies["all"]
    # Ten minutes at most are counted of a gap.
    assert (after.month, after.usd) == ("2026-12", pytest.approx(55.04 / 6))


def test_planning_goes_on_from_its_state() -> None:
    first = NodePlanning()
    for step in range(300):
        first.learn(NOW - (300 - step) * STEP_SECONDS, {"h100": float(8 + step % 7)})
    first.plan(given(two_nodes(), planned={CHAT: 2.0}))
    second = NodePlanning(decode_state(encode_state(first.state)))
    assert second.refused == ()
    later = given(two_nodes(), NOW + 120)
    assert second.plan(later) == first.plan(later)


MOVED = TuningRecord(
    at_seconds=NOW - 3600,
    before=RuleConstants(),
    after=RuleConstants(hold_factor=0.5),
    evidence=(
        Evidence(hold_factor=0.7, order_factor=0.6, cost=100.0),
        Evidence(hold_factor=0.5, order_factor=0.6, cost=90.0),
    ),
)


def day(step: int) -> dict[Kind, list[Json]]:
    """Chat has one replica of 8 GPUs or two, in turns of half an hour, on two nodes."""
    objects = two_nodes()
    if step // 15 % 2:
        objects[Kind.POD].append(pod("y", 8, "b", **CHATS))
    return objects


@pytest.mark.parametrize("spec", [ACT, f"{ACT}, tuning: nightly"])
def test_replay_plans_as_the_controller_does_on_the_same_records(spec: str) -> None:
    production, begin, steps = NodePlanning(), NOW - NOW % STEP_SECONDS, 90
    verdicts: set[Verdict] = set()
    wanted = [16.0 if step // 15 % 2 else 8.0 for step in range(steps)]
    for step, gpus in enumerate(wanted):
        production.learn(begin + (step - steps) * STEP_SECONDS, {"h100": gpus})
    replayed = ShippedRules(lambda pool, at: policy_for(policies(spec), pool, at))
    forecast = forecast_of(np.array(wanted), np.array(wanted[:28]), begin_seconds=begin)
    for step in range(28):
        now = begin + step * STEP_SECONDS
        found = production.plan(given(day(step), now, policies=policies(spec)))
        assert only(found).forecast == forecast(now)
        plan = replayed.decide(found.situation)
        if step > 12:  # what a start without a state makes careful has passed
            assert plan == found.plan
            verdicts |= {node.verdict for node in plan.pools[0].nodes}
    assert verdicts >= {Verdict.HOLD, Verdict.LEAVE}


NIGHTLY = policies(f"{ACT}, tuning: nightly")


def tuning_of(found: NodeRound) -> list[str]:
    (pool_,) = found.plan.pools
    return [step.text for step in pool_.steps if step.rule == "tuning"]


def test_chosen_constants_are_in_force_from_the_next_round_on_and_after_a_restart() -> None:
    first = NodePlanning()
    before = first.plan(given(two_nodes(), policies=NIGHTLY))
    assert before.constants == {"h100": RuleConstants()}
    assert tuning_of(before) == ["no night has chosen yet: the constants are as they ship"]
    first.take_night("h100", MOVED)
    second = NodePlanning(decode_state(encode_state(first.state)))
    for planning in (first, second):
        found = planning.plan(given(two_nodes(), NOW + 120, policies=NIGHTLY))
        assert found.constants == {"h100": RuleConstants(hold_factor=0.5)}
        assert found.tuned.records == {"h100": MOVED}
        (text,) = tuning_of(found)
        assert "hold factor 0.7 and order factor 0.6 are left for hold 0.5" in text


def test_where_the_policy_does_not_tune_the_constants_are_as_they_ship() -> None:
    planning = NodePlanning()
    planning.take_night("h100", MOVED)
    found = planning.plan(given(two_nodes()))
    assert found.constants == {"h100": RuleConstants()}
    assert (found.tuned.records, tuning_of(found)) == ({}, [])


def test_a_night_without_a_choice_leaves_the_constants_and_is_named() -> None:
    planning = NodePlanning()
    planning.take_night("h100", MOVED)
    planning.take_night("h100", NoChoice(at_seconds=NOW, why="its past covers 1.0 days"))
    found = planning.plan(given(two_nodes(), NOW + 120, policies=NIGHTLY))
    assert found.constants == {"h100": RuleConstants(hold_factor=0.5)}
    (text,) = tuning_of(found)
    assert text.endswith("no choice, its past covers 1.0 days")


def test_a_state_without_choices_is_as_programs_before_it_wrote_and_read_it() -> None:
    planning = NodePlanning()
    planning.plan(given(two_nodes()))
    content = encode_state(planning.state)
    assert b"tuned" not in content
    assert decode_state(content).tuned.records == {}


def test_a_night_is_given_what_the_pool_kept_and_how_its_pods_are() -> None:
    planning = NodePlanning()
    for step in range(10):
        planning.learn(NOW - (10 - step) * STEP_SECONDS, {"h100": 16.0})
    found = planning.plan(given(two_nodes(), policies=policies("tuning: nightly")))
    night = planning.tuning_input(found, "h100", NOW)
    assert night.past.gpus == (16.0,) * 10 + (8.0,)
    assert night.past.times_seconds[-1] - night.past.times_seconds[0] == 10 * STEP_SECONDS
    assert (night.gpus_per_node, night.gpus_per_pod) == (8, 8)
    assert (night.rho, night.constants) == (10.0, RuleConstants())


@pytest.mark.parametrize(("gap", "minutes"), [(300.0, 5.0), (3600.0, 0.0)])
def test_after_a_long_gap_nodes_count_as_empty_from_now_on(gap: float, minutes: float) -> None:
    first = NodePlanning()
    first.plan(given(two_nodes()))
    second = NodePlanning(decode_state(encode_state(first.state)))
    found = second.plan(given(two_nodes(), NOW + gap))
    (empty,) = [one for one in only(found).nodes if not one.pods]
    assert empty.empty_since_seconds == NOW + gap - 60 * minutes


def test_after_a_long_gap_what_was_seen_of_last_pods_before_it_does_not_count() -> None:
    """It may have been used meanwhile."""
    last = Emptied(at_seconds=NOW - 30, replaced_until_seconds=NOW - 15)
    planning, emptied = NodePlanning(), {"b": last}
    for seconds in (0, 3600):
        planning.plan(given(two_nodes(), NOW + seconds, emptied=emptied))
    later = planning.plan(given(two_nodes(), NOW + 3720, emptied=emptied))
    (_, empty) = only(later).nodes
    assert (empty.empty_since_seconds, empty.replaced_until_seconds) == (NOW + 3600, None)


def test_a_damaged_forecaster_is_learned_anew_and_the_rest_stays() -> None:
    first = NodePlanning()
    first.plan(given(two_nodes()))
    text = encode_state(first.state)
    (saved,) = first.state.demand.values()
    state = first.state
    broken = PlanningState(
        decisions=state.decisions,
        seen=state.seen,
        demand={"h100": type(saved)(forecaster=b"no", step=saved.step, highest_gpus=0.0)},
    )
    second = NodePlanning(broken)
    (why,) = second.refused
    assert why.startswith("pool h100: its demand is learned anew")
    assert second.state.seen == state.seen
    assert decode_state(text).demand.keys() == {"h100"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"{", "EOF", id="damaged"),
        pytest.param(b'{"format": 2}', "format 2; this program reads 1", id="newer"),
        pytest.param(b'{"format": 1}', "started_seconds", id="not whole"),
    ],
)
def test_other_bytes_are_refused(content: bytes, why: str) -> None:
    with pytest.raises(StateRefusedError, match=why):
        decode_state(content)


def test_a_pool_that_was_not_read_has_a_gap() -> None:
    planning = NodePlanning()
    planning.plan(given(two_nodes()))
    unread = two_nodes()
    del unread[Kind.POD]
    records = {kind: [record_of(kind, one) for one in all_] for kind, all_ in unread.items()}
    cluster = Cluster.of("test", {**records, Kind.POD: None})
    later = given(unread, NOW + 120)
    blind = RoundInput(
        cluster=cluster,
        snapshot=snapshot_of(cluster, KNOWN, None, NOW + 120),
        lead_times=later.lead_times,
        loads=None,
        policies=later.policies,
        now_seconds=NOW + 120,
    )
    found = planning.plan(blind)
    assert found.situation.pools == ()
    assert "pool h100 is left alone" in found.remarks[0]
    assert planning.state.demand["h100"].step == int(NOW // STEP_SECONDS)
