"""Pools with their API objects, and one round of levers on them; a test states what it is about."""

from typing import Any

from fleet.reasons import Reason
from policies.levers.change import Change
from policies.levers.discovery import Discovery
from policies.levers.ladder import Actions, LeverInput, actions
from policies.levers.objects import (
    Objects,
    buffer_address,
    claim_address,
    deployment_address,
    node_address,
    pool_address,
    template_address,
)
from policies.node_plan import NodeDecision, NodeOrder, NodePlan, PoolPlan, Step, Verdict
from policies.policy.pool_policy import Mode, PoolPolicy
from policies.situation import PoolNode, PoolState
from tests.levers.toy_store import Document, ToyStore
from tests.policies.pools import NOW

NAMESPACE = "foresail"
LEASE = 900.0
ALL = Discovery(capacity_buffers=True, pool_scale=True)
ACT = PoolPolicy(policy="balanced", mode=Mode.ACT)
POD_SPEC: Document = {
    "containers": [
        {
            "name": "vllm",
            "image": "registry.example/vllm:1",
            "resources": {
                "requests": {"cpu": "3500m", "memory": "8Gi"},
                "limits": {"nvidia.com/gpu": "1", "memory": "8Gi"},
            },
        }
    ],
    "nodeSelector": {"team": "llm"},
    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
}
BUFFER = buffer_address(NAMESPACE, "foresail-h100")
TEMPLATE = template_address(NAMESPACE, "foresail-h100")
DEPLOYMENT = deployment_address(NAMESPACE, "foresail-h100")
POOL = pool_address("h100")


def at(seconds: float) -> str:
    """A time of the simulation, as annotations have it."""
    minutes, left = divmod(int(seconds - NOW), 60)
    hours, minutes = divmod(minutes, 60)
    return f"2027-01-15T{8 + hours:02}:{minutes:02}:{left:02}Z"


def order(nodes: int = 2, reason: Reason = Reason.PRE_WARM, **fields: Any) -> NodeOrder:
    return NodeOrder(nodes=nodes, reason=reason, **fields)


def decision(node: PoolNode, verdict: Verdict, **fields: Any) -> NodeDecision:
    defaults: dict[str, Any] = {"steps": (Step(rule="test", text="as the test has it"),)}
    return NodeDecision(node=node.name, uid=node.uid, verdict=verdict, **(defaults | fields))


def held(node: PoolNode, until: float = NOW + LEASE, **fields: Any) -> NodeDecision:
    fields = {"reason": Reason.FORECAST_HOLD, "until_seconds": until} | fields
    return decision(node, Verdict.HOLD, **fields)


def released(node: PoolNode) -> NodeDecision:
    return decision(node, Verdict.RELEASE, reason=Reason.NONE)


def plan(*nodes: NodeDecision, orders: tuple[NodeOrder, ...] = (), **fields: Any) -> PoolPlan:
    return PoolPlan(**({"pool": "h100", "act": True, "nodes": nodes, "orders": orders} | fields))


def world(state: PoolState, **node_pool: Any) -> ToyStore:
    """The objects of a pool's nodes, with a NodeClaim each; node `a` is the Node `node-a`."""
    store = ToyStore()
    spec = {"replicas": len(state.nodes)} if state.static else {}
    disruption = {"disruption": {"budgets": [{"nodes": "10%"}]}}
    metadata = {"annotations": {"karpenter.sh/nodepool-hash": "1"}}
    store.put(POOL, {"metadata": metadata, "spec": {**spec, **disruption}, **node_pool})
    for node in state.nodes:
        claim = {"metadata": {"uid": node.uid}, "status": {"nodeName": f"node-{node.name}"}}
        store.put(claim_address(node.name), claim)
        store.put(node_address(f"node-{node.name}"), node_document(gpus=node.gpus))
    return store


def node_document(gpus: int = 1, **metadata: Any) -> Document:
    labels = {"karpenter.sh/nodepool": "h100"}
    return {
        "metadata": {"labels": labels, "annotations": {}, **metadata},
        "spec": {},
        "status": {"allocatable": {"nvidia.com/gpu": str(gpus)}},
    }


def acted(state: PoolState, wanted: PoolPlan, store: ToyStore, **given: Any) -> Actions:
    """What the levers do in one round; `policy=None` leaves the pool without one."""
    return actions(lever_input(state, wanted, store.objects(), **given))


def lever_input(state: PoolState, wanted: PoolPlan, objects: Objects, **given: Any) -> LeverInput:
    policy, pod_spec = given.get("policy", ACT), given.get("pod_spec", POD_SPEC)
    return LeverInput(
        plan=NodePlan(at_seconds=given.get("now", NOW), pools=(wanted,)),
        pools={state.name: state},
        policies={} if policy is None else {state.name: policy},
        discovery=given.get("discovery", ALL),
        objects=objects,
        pod_specs={} if pod_spec is None else {state.name: pod_spec},
        namespace=NAMESPACE,
    )


def body_of(change: Change) -> Any:
    return change.body


def short(changes: tuple[Change, ...]) -> list[str]:
    """A line a change."""
    return [
        f"{one.verb.value} {one.address}{f' {one.subresource}' if one.subresource else ''}"
        for one in changes
    ]


def words(done: Actions) -> str:
    """All steps of the pool, a line each."""
    return "\n".join(f"{step.rule}: {step.text}" for step in done.steps.get("h100", ()))


def carry_out(store: ToyStore, changes: tuple[Change, ...]) -> None:
    for one in changes:
        store.take(one)
