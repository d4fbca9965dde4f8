"""What an Event about a decision on a node is attached to."""

import pytest

from fleet.cluster.kinds import Kind, record_of
from fleet.cluster.reading import Cluster
from fleet.reasons import Reason
from foresail.controller.node_events import decisions_of
from policies.node_plan import NodeDecision, NodePlan, PoolPlan, Step, Verdict


@pytest.mark.parametrize(
    ("node", "about"),
    [
        pytest.param(None, ("NodeClaim", "h100-a", "u-claim"), id="it has no node yet"),
        pytest.param("ip-10", ("Node", "ip-10", "u-node"), id="its node"),
    ],
)
def test_a_node_that_is_called_off_is_told_where_it_can_be_found(
    node: str | None, about: tuple[str, str, str]
) -> None:
    claim = {"metadata": {"name": "h100-a", "uid": "u-claim"}, "status": {"nodeName": node}}
    claims = [record_of(Kind.NODE_CLAIM, claim)]
    nodes = [record_of(Kind.NODE, {"metadata": {"name": "ip-10", "uid": "u-node"}})]
    cluster = Cluster.of("test", {Kind.NODE_CLAIM: claims, Kind.NODE: nodes})
    released = NodeDecision(
        node="h100-a",
        uid="u-claim",
        verdict=Verdict.RELEASE,
        reason=Reason.UNINITIALIZED,
        steps=(Step(rule="cancel", text="ordered 3 min ago"),),
    )
    plan = NodePlan(at_seconds=0.0, pools=(PoolPlan(pool="h100", act=True, nodes=(released,)),))
    (found,) = decisions_of(plan, cluster, acts=True)
    assert (found.about["kind"], found.about["name"], found.about["uid"]) == about
    assert (found.reason, found.note) == (
        "Releasing",
        "release: uninitialized; ordered 3 min ago",
    )
