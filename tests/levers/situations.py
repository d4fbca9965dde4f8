"""Any pool with any objects, plans and policies, for what must hold of the levers in all."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from fleet.cluster.nodes import CapacityType
from fleet.reasons import Reason
from policies.levers.change import Address
from policies.levers.discovery import Discovery
from policies.levers.objects import PRIORITY_CLASS, node_address
from policies.node_plan import NodeDecision, NodeOrder, PoolPlan, Verdict
from policies.policy.pool_policy import Lever, Mode, PoolPolicy
from policies.situation import PoolNode, PoolState
from tests.levers.rounds import (
    BUFFER,
    DEPLOYMENT,
    POOL,
    TEMPLATE,
    decision,
    held,
    node_document,
    plan,
    released,
    world,
)
from tests.levers.toy_store import ToyStore
from tests.policies.pools import NOW, busy, coming, empty, pool

_KINDS = st.sampled_from([busy, empty, coming])
_MARKS = st.sampled_from(
    [
        {},
        {"argocd.argoproj.io/instance": "infra"},
        {"app.kubernetes.io/managed-by": "eks"},
        {"team": "llm"},
    ]
)
_OTHERS_TAINT = {"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round of levers, and after how many changes the controller dies."""

    plan: PoolPlan
    policy: PoolPolicy
    discovery: Discovery
    dies_after: int | None
    """None = it lives."""


@dataclass(kw_only=True)
class Scene:
    """A pool with its objects, and what was done before."""

    state: PoolState
    store: ToyStore
    before: list[Round] = field(default_factory=list)
    now: Round


@st.composite
def scenes(draw: Any) -> Scene:
    """A pool of up to four nodes, some of them marked by others."""
    nodes = tuple(_node(draw, name) for name in "abcd"[: draw(st.integers(0, 4))])
    state = pool(
        *nodes,
        demand_gpus=float(draw(st.integers(0, 5))),
        static=draw(st.booleans()),
    )
    store = world(state)
    labels = draw(_MARKS)
    manager = "argocd-controller" if draw(st.booleans()) else "kubectl"
    document = store.documents[POOL]
    store.put(POOL, {**document, "metadata": {**document["metadata"], "labels": labels}}, manager)
    for node in state.nodes:
        _mark_node(draw, store, node)
    for address in draw(
        st.lists(st.sampled_from([BUFFER, DEPLOYMENT, TEMPLATE, PRIORITY_CLASS]), unique=True)
    ):
        if draw(st.booleans()):
            metadata = {"namespace": "foresail", "labels": {"team": "llm"}}
            store.put(address, {"metadata": metadata, "spec": {"replicas": 3}})
    before = [_round(draw, state, dies=True) for _ in range(draw(st.integers(0, 3)))]
    return Scene(state=state, store=store, before=before, now=_round(draw, state, dies=False))


def _node(draw: Any, name: str) -> PoolNode:
    return draw(_KINDS)(name, capacity_type=draw(st.sampled_from([None, *CapacityType])))


def _mark_node(draw: Any, store: ToyStore, node: PoolNode) -> None:
    address = node_address(f"node-{node.name}")
    kept = {"karpenter.sh/do-not-disrupt": "true"} if draw(st.booleans()) else {}
    document = node_document(annotations=kept)
    document["spec"] = {"taints": [_OTHERS_TAINT]} if draw(st.booleans()) else {}
    store.put(address, document)
    for pod in node.pods:
        metadata = {"uid": pod.uid, "namespace": "llm", "annotations": {}}
        spec = {
            "nodeName": f"node-{node.name}",
            "containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": "1"}}}],
        }
        name = pod.name.partition("/")[2]
        one = Address(kind="Pod", resource="pods", namespace="llm", name=name)
        store.put(one, {"metadata": metadata, "spec": spec})


def _round(draw: Any, state: PoolState, *, dies: bool) -> Round:
    decisions = tuple(_decision(draw, node) for node in state.nodes)
    orders = tuple(
        NodeOrder(
            nodes=draw(st.integers(1, 3)),
            reason=draw(st.sampled_from([Reason.PRE_WARM, Reason.GANG])),
            capacity_type=draw(st.sampled_from([None, CapacityType.ON_DEMAND])),
        )
        for _ in range(draw(st.integers(0, 2)))
    )
    pods = [pod.uid for node in state.nodes for pod in node.pods]
    costs = {uid: draw(st.integers(1, 3)) for uid in pods if draw(st.booleans())}
    name = draw(st.sampled_from(["deletion_costs", "disruption_costs"]))
    levers = draw(st.sets(st.sampled_from(list(Lever))))
    act = draw(st.sampled_from([True, True, True, False]))
    return Round(
        plan=plan(*decisions, orders=orders, act=act, **{name: costs}),
        policy=PoolPolicy(
            policy="balanced",
            mode=Mode.ACT if act else Mode.ADVISE,
            levers=frozenset(levers | draw(st.sampled_from([set(), set(Lever)]))),
            quiet_until_seconds=draw(st.sampled_from([None, NOW + 1800.0, NOW + 3600.0])),
        ),
        discovery=Discovery(capacity_buffers=draw(st.booleans()), pool_scale=draw(st.booleans())),
        dies_after=draw(st.sampled_from([None, 0, 1, 2, 3])) if dies else None,
    )


def _decision(draw: Any, node: PoolNode) -> NodeDecision:
    match draw(st.sampled_from(list(Verdict))):
        case Verdict.HOLD:
            reason = draw(st.sampled_from([Reason.FORECAST_HOLD, Reason.VETO, Reason.GANG]))
            return held(node, NOW + draw(st.sampled_from([300.0, 900.0])), reason=reason)
        case Verdict.RELEASE:
            return released(node)
        case other:
            return decision(node, other)
