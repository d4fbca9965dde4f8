"""What the controller keeps through gaps, reclaims and drift, and what it lets go."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleet.annotations import KEPT_BECAUSE, KEPT_UNTIL
from fleet.reasons import Reason
from foresail.clock import wall_clock
from policies.levers.quiet_hours import QUIET
from policies.node_plan import Verdict
from tests.e2e.karpenter import ONE_GPU
from tests.e2e.nodes.controller_run import (
    Policies,
    annotations,
    buffers,
    controller_run,
    write_past,
)
from tests.e2e.nodes.documents import Document
from tests.e2e.nodes.node_cluster import HOLD, NodeCluster, holds

pytestmark = pytest.mark.looptime(False)  # processes live in real time

IN_AND_OUT = [1.0 if step % 10 < 5 else 0.0 for step in range(100)]
"""Some hours in which a GPU is wanted for ten minutes of every twenty."""
ROUND_SECONDS = 120.0


def held(nodes: NodeCluster, pool: str) -> set[str]:
    """Names of the pool's nodes that Karpenter must leave alone."""
    return {
        one["metadata"]["name"]
        for one in nodes.nodes(pool)
        if annotations(one).get(HOLD) == "true" and KEPT_UNTIL in annotations(one)
    }


async def test_a_node_is_held_through_a_gap_and_deleted_when_demand_stays_away(
    nodes: NodeCluster, controller_kubeconfig: Path, policies: Policies, tmp_path: Path
) -> None:
    pool = nodes.pool("gap")
    chat = nodes.deploy("chat", pool, replicas=1)
    nodes.wait_running(chat, 1)
    nodes.scale(chat, 0)
    (node,) = nodes.names(pool)
    policies.set(pool)
    write_past(tmp_path, pool, IN_AND_OUT)

    async with controller_run(controller_kubeconfig, state=tmp_path) as run:
        await run.until(lambda: held(nodes, pool), "a hold")
        assert annotations(nodes.nodes(pool)[0])[KEPT_BECAUSE] == Reason.FORECAST_HOLD.value
        held_seconds = run.last_seconds
        # Karpenter never consolidates this pool: the controller deletes the NodeClaim.
        await run.until(
            lambda: not held(nodes, pool), "the hold to end", each_seconds=ROUND_SECONDS
        )
        assert run.last_seconds - held_seconds >= 5 * ROUND_SECONDS
        await run.until(
            lambda: not nodes.claims(pool), "the node to be let go", each_seconds=ROUND_SECONDS
        )
        verdicts = {
            one.verdict
            for made in run.rounds
            for plan in made.decided.plan.pools
            for one in plan.nodes
            if plan.pool == pool
        }
        assert Verdict.RELEASE in verdicts
        for _ in range(3):
            run.later(ROUND_SECONDS)
            await run.round()
    assert not nodes.claims(pool)
    assert not buffers(nodes)
    assert node not in nodes.names(pool)


def budgets(nodes: NodeCluster, pool: str) -> list[Document]:
    found: list[Document] = _node_pool(nodes, pool)["spec"]["disruption"]["budgets"]
    return found


def _node_pool(nodes: NodeCluster, pool: str) -> Document:
    return nodes.bed.read(f"/apis/karpenter.sh/v1/nodepools/{pool}")


async def test_karpenter_replaces_nothing_in_quiet_hours_where_the_operator_opts_in(
    nodes: NodeCluster, controller_kubeconfig: Path, policies: Policies
) -> None:
    pool = nodes.pool("quiet")
    nodes.wait_running(nodes.deploy("chat", pool, replicas=1), 1)
    (node,) = nodes.names(pool)
    now = datetime.fromtimestamp(wall_clock(), UTC)
    hours = [{"cron": f"{now.minute} {now.hour} * * *", "lasts": "1h"}]
    before = budgets(nodes, pool)
    policies.set(pool, quietHours=hours)

    async with controller_run(controller_kubeconfig) as run:
        await run.round()
        assert "not written, because the policy does not opt in" in await run.said_by_levers(pool)
        assert budgets(nodes, pool) == before

        policies.set(pool, quietHours=hours, levers={"quietHours": True})
        await run.until(lambda: len(budgets(nodes, pool)) == len(before) + 1, "the budget")
        *first, ours = budgets(nodes, pool)
        assert first == before
        assert (ours["nodes"], ours["reasons"]) == ("0", ["Underutilized", "Drifted"])
        assert annotations(_node_pool(nodes, pool))[QUIET].endswith(ours["schedule"])

        nodes.change_template(pool)
        nodes.wait(lambda: holds(nodes.claims(pool)[0], "Drifted"), "the node to drift")
        nodes.wait(lambda: nodes.allowed(pool, "Drifted") == 0, "Karpenter to find no budget")
        assert nodes.names(pool) == {node}

        run.later(3600)
        await run.until(lambda: budgets(nodes, pool) == before, "the hours to end")
        assert QUIET not in annotations(_node_pool(nodes, pool))
    nodes.wait(lambda: node not in nodes.names(pool), "Karpenter to replace the node")


async def test_a_spare_node_takes_the_pod_of_a_reclaimed_spot_machine(
    nodes: NodeCluster, controller_kubeconfig: Path, policies: Policies, tmp_path: Path
) -> None:
    pool = nodes.pool("spot", capacity_types=("spot",))
    chat = nodes.deploy("chat", pool, replicas=1)
    (pod,) = nodes.wait_running(chat, 1)
    lost = pod["spec"]["nodeName"]
    policies.set(pool, spotHedge={"spareNodes": 1})
    prices = tmp_path / "prices.yaml"
    prices.write_text(f"{ONE_GPU}/spot: 2.75\n")
    write_past(tmp_path, pool, [])

    async with controller_run(controller_kubeconfig, state=tmp_path, prices=prices) as run:
        await run.until(lambda: held(nodes, pool), "a spare node that is held")
        (spare,) = held(nodes, pool)
        marks = [annotations(one) for one in nodes.nodes(pool) if HOLD in annotations(one)]
        assert [one[KEPT_BECAUSE] for one in marks] == [Reason.PRE_WARM.value]
        # The cloud takes the machine, and Karpenter deletes its NodeClaim; a hold is no help.
        (claim,) = [one for one in nodes.claims(pool) if one["status"]["nodeName"] == lost]
        nodes.delete_claim(claim["metadata"]["name"], uid=claim["metadata"]["uid"])
        await run.until(
            lambda: {one["spec"]["nodeName"] for one in nodes.running(chat)} == {spare},
            "the pod on the spare",
        )
        await run.until(lambda: held(nodes, pool) - {spare}, "the next spare")
        assert len(nodes.names(pool) - {lost}) == 2


async def test_a_held_node_outlasts_the_drift_of_its_pool_until_the_hold_ends(
    nodes: NodeCluster, controller_kubeconfig: Path, policies: Policies
) -> None:
    pool = nodes.pool("drift")
    chat = nodes.deploy("chat", pool, replicas=1)
    nodes.wait_running(chat, 1)
    nodes.scale(chat, 0)
    (node,) = nodes.names(pool)
    policies.set(pool, floor=1)

    async with controller_run(controller_kubeconfig) as run:
        await run.until(lambda: held(nodes, pool) == {node}, "a hold")
        nodes.change_template(pool)
        nodes.wait(lambda: holds(nodes.claims(pool)[0], "Drifted"), "the node to drift")
        nodes.wait_emptiness_passes(1)
        await run.round()
        assert nodes.names(pool) == {node}
        assert not buffers(nodes)

        policies.set(pool)
        await run.until(lambda: not held(nodes, pool), "the hold to end", each_seconds=120)
        await run.until(lambda: node not in nodes.names(pool), "Karpenter to replace it")
        assert not buffers(nodes)


async def test_the_replacement_of_a_drifted_node_is_not_let_go(
    nodes: NodeCluster, controller_kubeconfig: Path, policies: Policies, tmp_path: Path
) -> None:
    pool = nodes.pool("drift")
    chat = nodes.deploy("chat", pool, replicas=1)
    nodes.wait_running(chat, 1)
    (old,) = nodes.names(pool)
    policies.set(pool)
    write_past(tmp_path, pool, [1.0] * 100)

    async with controller_run(controller_kubeconfig, state=tmp_path) as run:
        await run.round()
        nodes.change_template(pool)
        await run.until(lambda: old not in nodes.names(pool), "the old node to go")
        await run.until(lambda: nodes.running(chat), "the pod on the new one")
        assert nodes.created(pool) == 2
        assert not buffers(nodes)
    (pod,) = nodes.running(chat)
    assert nodes.names(pool) == {pod["spec"]["nodeName"]}
