"""Pools and policies for the tests of rules; a test states only what it is about."""

from collections.abc import Callable
from typing import Any

from fleet.cluster.owners import Workload
from policies.decide import SETTLED, DecisionState, decide
from policies.node_plan import NodePlan, PoolPlan, Verdict
from policies.policy.pool_policy import PoolPolicy
from policies.situation import (
    LeadTime,
    NodePod,
    NodeStage,
    PoolNode,
    PoolState,
    Situation,
    Spending,
)
from scaler.forecast.running_maximum import MaximumForecast

NOW = 1_800_000_000.0
SERVICE = Workload(kind="Deployment", namespace="llm", name="chat")
LEAD = LeadTime(boot_seconds=360.0, boot_seconds_p90=480.0, pull_seconds=120.0)


def pod(name: str, gpus: float = 1, **fields: Any) -> NodePod:
    defaults: dict[str, Any] = {
        "workload": SERVICE,
        "ready": True,
        "created_seconds": NOW - 36_000,
    }
    return NodePod(uid=f"uid-{name}", name=f"llm/{name}", gpus=gpus, **(defaults | fields))


def node(name: str, gpus: int = 1, **fields: Any) -> PoolNode:
    defaults: dict[str, Any] = {
        "stage": NodeStage.INITIALIZED,
        "stage_since_seconds": NOW - 30_000,
        "ordered_seconds": NOW - 30_400,
        "usd_per_hour": 2.0 * gpus,
    }
    return PoolNode(name=name, uid=f"uid-{name}", gpus=gpus, **(defaults | fields))


def busy(name: str, gpus: int = 1, used: int | None = None, **fields: Any) -> PoolNode:
    pods = tuple(pod(f"{name}-{i}") for i in range(gpus if used is None else used))
    return node(name, gpus, **({"pods": pods} | fields))


def empty(name: str, gpus: int = 1, minutes: float = 10, **fields: Any) -> PoolNode:
    return node(name, gpus, **({"empty_since_seconds": NOW - 60 * minutes} | fields))


def coming(name: str, gpus: int = 1, **fields: Any) -> PoolNode:
    return node(name, gpus, **({"stage": NodeStage.LAUNCHED, "cancellable": True} | fields))


def pool(*nodes: PoolNode, **fields: Any) -> PoolState:
    defaults: dict[str, Any] = {
        "name": "h100",
        "gpus_per_node": 1,
        "usd_per_hour": 2.0,
        "demand_gpus": 4.0,
        "lead_time": LEAD,
        "consolidate_after_seconds": 600.0,
    }
    return PoolState(nodes=nodes, **(defaults | fields))


def forecast(
    *quantiles: tuple[float, ...], last: float = 4.0, windows: tuple[float, ...] = (600.0,)
) -> MaximumForecast:
    """Of levels .5, .9 and .99, a row a window."""
    return MaximumForecast(
        made_at_seconds=NOW,
        last_value=last,
        windows_seconds=windows,
        levels=(0.5, 0.9, 0.99),
        quantiles=quantiles,
    )


def round_of(
    *pools: PoolState,
    policy: PoolPolicy | Callable[[PoolState, float], PoolPolicy | None] = PoolPolicy(),  # noqa: B008
    state: DecisionState = SETTLED,
    now: float = NOW,
    month_usd: float = 0.0,
) -> tuple[NodePlan, DecisionState]:
    policy_of = policy if callable(policy) else lambda _pool, _at: policy
    spending = Spending(month_usd=month_usd)
    return decide(Situation(now_seconds=now, pools=pools, spending=spending), policy_of, state)


def plan_of(only: PoolState, policy: PoolPolicy = PoolPolicy(), **options: Any) -> PoolPlan:  # noqa: B008
    """The plan of the only pool."""
    return round_of(only, policy=policy, **options)[0].pools[0]


def verdicts(plan: PoolPlan) -> dict[str, str]:
    """By the node's name, its verdict and reason."""
    return {
        one.node: f"{one.verdict.value}: {one.reason.value if one.reason else 'serves'}"
        for one in plan.nodes
    }


def named(plan: PoolPlan, verdict: Verdict) -> list[str]:
    return [one.node for one in plan.nodes if one.verdict is verdict]


def ordered(plan: PoolPlan) -> list[tuple[int, str]]:
    return [(one.nodes, one.reason.value) for one in plan.orders]


def texts(plan: PoolPlan) -> str:
    """All steps of the plan, a line each."""
    steps = [*plan.steps]
    for one in plan.nodes:
        steps += one.steps
    for order in plan.orders:
        steps += order.steps
    return "\n".join(f"{step.rule}: {step.text}" for step in steps)


FOUR = tuple(busy(f"busy-{i}") for i in range(4))
FOUR_WANTED = forecast((4.0, 4.1, 4.2))
