"""The nodes under given replicas: what is counted, what a policy is shown, what it may spend."""

from dataclasses import replace

import numpy as np
import pytest

from fleet.reasons import Reason
from policies.node_plan import NodePlan
from policies.policy.shipped_policies import shipped
from policies.situation import Situation
from replay.cluster.settings import NodeStartUp, Pool
from replay.cluster.shipped import ShippedRules
from replay.node_demand import demand_of, node_start_up, pod_seconds
from replay.node_run import (
    BEGIN_SECONDS,
    NodeOutcome,
    NodeRuns,
    NodeSite,
    ReplicaDemand,
    acting,
)
from replay.replay_input import ReplayInput
from replay.simulate import Move
from replay.start_up import FIVE_MINUTES, Stage, StartUp
from tests.replay.small import as_shipped, small_input

START_UP = NodeStartUp(boot_seconds=(100, 100), failure_share=0, pull_seconds=20)
SITE = NodeSite(
    pool=Pool(
        name="gpu",
        gpus_per_node=2,
        start_up=START_UP,
        consolidate_after_seconds=600,
        usd_per_node_hour=12.0,
    ),
    pod_seconds=30,
)


def demand(*changes: tuple[int, int], seconds: int = 7200, judged_from: int = 0) -> ReplicaDemand:
    return ReplicaDemand(
        rule="r",
        changes=changes,
        past=np.zeros(0),
        seconds=seconds,
        judged_from_seconds=judged_from,
    )


def alone(asked: ReplicaDemand, site: NodeSite = SITE) -> NodeOutcome:
    return NodeRuns(demand=asked, site=site).of({"alone": None})["alone"]


def test_hours_by_reason_add_up_to_the_bill() -> None:
    # Two replicas fill one node for two hours. The third comes after an hour, in a second node that
    # is ordered 1 s later and boots in 100 s: 3499 s of its two GPUs, of which one is in use from
    # the end of the boot on.
    found = alone(demand((0, 2), (3600, 3)))

    assert found.used_gpu_hours == pytest.approx((2 * 7200 + 3499) / 3600)
    assert found.idle_gpu_hours == pytest.approx(
        {Reason.UNINITIALIZED: 2 * 100 / 3600, Reason.FRAGMENTATION: 3499 / 3600}
    )
    assert found.usd == pytest.approx(found.gpu_hours * 6.0)


def test_a_pod_waits_from_its_creation_until_its_node_has_the_images() -> None:
    found = alone(demand((0, 2), (3600, 3)))

    assert (found.pods, found.delayed_pods, found.nodes_launched) == (1, 1, 1)
    assert found.longest_wait_seconds == 121  # 1 s of batching, 100 s of boot, 20 s of pull
    assert found.delayed_minutes == pytest.approx(121 / 60)


def test_what_was_before_judging_began_is_not_counted() -> None:
    found = alone(demand((0, 2), (1200, 3), (6000, 4), judged_from=3600))

    assert (found.pods, found.delayed_pods, found.nodes_launched) == (1, 0, 0)
    assert found.gpu_hours == pytest.approx(4.0)
    assert [minute.at_seconds for minute in found.minutes][:2] == [3660, 3720]


def test_minutes_show_orders_ends_and_what_is_wanted() -> None:
    found = alone(demand((0, 2), (3600, 3), (5000, 1)))
    ordered = [minute.at_seconds for minute in found.minutes if minute.ordered]
    gone = [minute.at_seconds for minute in found.minutes if minute.gone]

    assert ordered == [3660]
    # Of three pods a ReplicaSet removes the two that share a node, which is empty at 5000 s:
    # consolidateAfter ends at 5600 s, validation 15 s and the drain 5 s later.
    assert gone == [5640]
    wanted = {minute.at_seconds: minute.wanted_gpus for minute in found.minutes}
    assert (wanted[3600], wanted[3660], wanted[5040]) == (2.0, 3.0, 1.0)


class Watcher:
    """Keeps what it is shown, and lets the shipped rules decide."""

    def __init__(self, rules: ShippedRules) -> None:
        self.seen: list[Situation] = []
        self._rules = rules

    def decide(self, situation: Situation) -> NodePlan:
        self.seen.append(situation)
        return self._rules.decide(situation)


def floor_of(usd_per_month: float) -> Watcher:
    """A policy with a warm node that nobody uses, and a ceiling."""
    policy = shipped("latency-first")
    ceiling = policy.spec.idle_ceiling
    assert ceiling is not None
    spec = policy.spec.model_copy(
        update={"idle_ceiling": ceiling.model_copy(update={"usd_per_month": usd_per_month})}
    )
    return Watcher(ShippedRules(acting([policy.model_copy(update={"spec": spec})])))


def test_a_policy_is_shown_what_its_idle_nodes_have_cost_this_month() -> None:
    watcher = floor_of(40000)
    eight = 8 * 3600
    asked = demand((0, 3), (eight, 0), seconds=12 * 3600)
    outcome = NodeRuns(demand=asked, site=SITE).of({"p": watcher})["p"]

    spent = [one.spending.month_usd for one in watcher.seen]
    held = {Reason.WARM_FLOOR, Reason.FORECAST_HOLD, Reason.PRE_WARM}
    idle_usd = 6.0 * sum(outcome.idle_gpu_hours.get(reason, 0.0) for reason in held)
    assert spent[0] == 0
    assert spent == sorted(spent)
    assert spent[-1] == pytest.approx(idle_usd, abs=12.0 * 2 * 120 / 3600)


def test_the_month_s_ceiling_ends_holds_in_a_replay_too() -> None:
    eight = 8 * 3600
    asked = demand((0, 3), (eight, 0), seconds=14 * 3600)
    outcome = NodeRuns(demand=asked, site=SITE).of({"p": floor_of(24.0)})["p"]

    held = (Reason.WARM_FLOOR, Reason.FORECAST_HOLD, Reason.PRE_WARM)
    idle_usd = 6.0 * sum(outcome.idle_gpu_hours.get(reason, 0.0) for reason in held)
    assert 12.0 < idle_usd <= 24.0


def test_a_policy_that_only_advises_acts_in_a_replay() -> None:
    assert shipped("balanced").spec.mode == "advise"
    asked = demand((0, 2), (1800, 6), (3600, 2), (4200, 6), (5400, 2), (6000, 6))
    outcomes = NodeRuns(demand=asked, site=SITE).of(
        {"alone": None, "policy": ShippedRules(acting([shipped("latency-first")]))}
    )

    assert Reason.FORECAST_HOLD not in outcomes["alone"].idle_gpu_hours
    assert outcomes["policy"].idle_gpu_hours[Reason.FORECAST_HOLD] > 0


def asked_by(*moves: Move, replay_input: ReplayInput | None = None) -> ReplicaDemand:
    """The demand of a rule that made these moves."""
    replay_input = replay_input or small_input()
    result = replace(as_shipped("static-mean", replay_input), moves=moves)
    return demand_of(replay_input, result)


def test_the_replicas_of_a_rule_become_the_demand_of_nodes() -> None:
    found = asked_by(
        Move(at_seconds=60, before=4, after=7, why=""),
        Move(at_seconds=7205, before=7, after=5, why=""),
    )

    assert found.changes == ((0, 4), (60, 7), (7205, 5))
    assert found.each_round()[[0, 1, 60, 61]].tolist() == [4, 7, 7, 5]
    assert len(found.past) == 18  # each two minutes of the 36 before
    assert (found.seconds, found.judged_from_seconds) == (10800, 600)
    assert found.begin_seconds == BEGIN_SECONDS


def test_the_past_of_a_pool_is_what_its_traffic_needed_by_a_load_test() -> None:
    replay_input = small_input()
    one = replay_input.replica_requests_per_second
    rates = np.full(len(replay_input.past.requests_per_second), 2.5 * one)
    rates[-1] = 3.5 * one
    past = replace(replay_input.past, requests_per_second=rates)
    found = asked_by(replay_input=replace(replay_input, past=past))

    assert found.past[-2:].tolist() == [3, 4]


def test_stages_once_a_node_are_its_boot_and_the_others_the_pod_s() -> None:
    fixed = StartUp(
        stages=(
            Stage(name="node", median_seconds=90, log_sigma=0, once_a_node=True),
            Stage(name="weights", median_seconds=75, log_sigma=0),
            Stage(name="warm-up", median_seconds=25, log_sigma=0),
        )
    )
    assert node_start_up(fixed).boot_seconds == (90, 90)
    assert pod_seconds(fixed) == 100
    low, high = node_start_up(FIVE_MINUTES).boot_seconds
    assert low < 170 < high  # 80 + 30 + 60 s
    with pytest.raises(ValueError, match="no stage"):
        node_start_up(StartUp(stages=(Stage(name="x", median_seconds=9, log_sigma=0),)))
