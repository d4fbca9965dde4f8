"""The sentences about nodes name dollars and waits together, and say who is dearer."""

import pytest

from fleet.reasons import Reason
from foresail.replaying.node_question import NodeQuestion
from foresail.replaying.nodes import KARPENTER, NodeReport, NodeRow, governed_pool
from foresail.replaying.nodes_verdict import node_verdict
from foresail.replaying.plan import ReplayPlan
from replay.node_run import NodeOutcome

POLICY = "policy balanced"


def row(rule: str, by: str, usd: float, minutes: float) -> NodeRow:
    outcome = NodeOutcome(
        used_gpu_hours=usd / 12,
        idle_gpu_hours={Reason.NONE: usd / 12},
        usd=usd,
        nodes_launched=3,
        pods=20,
        delayed_pods=10,
        delayed_minutes=minutes,
        longest_wait_seconds=300.0,
        minutes=(),
    )
    return NodeRow(rule=rule, by=by, outcome=outcome)


def verdict(*rows: NodeRow) -> list[str]:
    """At $6 a GPU-hour a delayed minute is worth $1 under the policy balanced."""
    question = NodeQuestion(policy="balanced", usd_per_node_hour=6.0)
    governed = governed_pool(question, ReplayPlan())
    return list(node_verdict(NodeReport(governed=governed, rows=rows)))


@pytest.mark.parametrize(
    ("usd", "minutes", "first", "second"),
    [
        pytest.param(
            900, 40, "$100 (10.0%) less than", "the policy is cheaper by $110.", id="better in both"
        ),
        pytest.param(
            1100, 40, "$100 (10.0%) MORE than", "the policy is dearer by $90.00.",
            id="dearer than its waits are worth",
        ),
        pytest.param(
            1008, 40, "$8.00 (0.8%) MORE than", "the policy is cheaper by $2.00.",
            id="dearer and worth it",
        ),
        pytest.param(
            900, 250, "$100 (10.0%) less than", "the policy is dearer by $100.",
            id="cheaper and pods wait too long",
        ),
        pytest.param(
            1100, 60, "$100 (10.0%) MORE than",
            "the policy is dearer by $110. It is dearer, and pods wait longer.",
            id="worse in both",
        ),
        pytest.param(
            1000.2, 50, ": as much as Karpenter alone", "is dearer by $0.20.", id="the same"
        ),
    ],
)  # fmt: skip
def test_a_policy_is_weighed_by_dollars_and_by_waits(
    usd: float, minutes: float, first: str, second: str
) -> None:
    told = verdict(row("foresail", KARPENTER, 1000, 50), row("foresail", POLICY, usd, minutes))

    assert len(told) == 2
    assert first in told[0]
    assert told[1].startswith("A delayed pod-minute is worth $1.00 by the policy;")
    assert told[1].endswith(second)


def test_today_is_set_against_replicas_and_nodes_of_foresail_together() -> None:
    told = verdict(
        row("foresail", KARPENTER, 1000, 50),
        row("foresail", POLICY, 900, 40),
        row("hpa-inflight", KARPENTER, 1500, 70),
        row("hpa-inflight", POLICY, 1400, 60),
    )

    assert len(told) == 5
    assert told[4] == (
        "Replicas and nodes together: hpa-inflight with Karpenter alone costs $1,500 and 70 delayed"
        " pod-minutes; foresail with policy balanced costs $900 and 40 delayed pod-minutes."
    )
