"""Plans of one workload, as the Plans API sends them."""

from typing import Any

from foresail.plans_api.plan import Plan, plan_of
from scaler.rpc.foresail.v1 import plans_pb2 as pb

NOW = 1_796_000_000.0


def signal(name: str, value: float) -> pb.SignalReading:
    state = pb.DATA_STATE_VALUE if value else pb.DATA_STATE_ZERO
    return pb.SignalReading(signal=name, state=state, value=value, at_seconds=NOW)


def plan(
    name: str = "chat",
    *,
    at: float = NOW,
    planned: int | None = 5,
    demand: tuple[float | None, float | None] | None = (3000.0, 500.0),
    signals: dict[str, float] | None = None,
    steps: tuple[pb.PlanStep, ...] = (),
    **fields: Any,
) -> Plan:
    """A plan in mode act that stands; 5 replicas planned and ready, latencies within limits."""
    measured = {"replicas": 5.0, "ttft": 0.8, "itl": 0.03} if signals is None else signals
    message = pb.WorkloadPlan(
        workload=pb.Workload(namespace="llm", name=name),
        model="llama-70b",
        looked_at_seconds=at,
        signals=[signal(one, value) for one, value in measured.items()],
        valid_for_seconds=200.0,
        age_seconds=4.0,
        objective=pb.Objective(ttft_seconds=2.0, itl_seconds=0.06, attainment=0.99),
    )
    message.mode = pb.MODE_ACT
    if demand is not None:
        message.demand.CopyFrom(pb.DemandRates(prompt_tokens=demand[0], generated_tokens=demand[1]))
    if planned is not None:
        message.plan.CopyFrom(
            pb.ReplicaPlan(
                at_seconds=at, desired=planned, planned=planned, active=True, steps=steps
            )
        )
    for field, value in fields.items():
        if value is None:
            message.ClearField(field)  # type: ignore[arg-type]
        elif isinstance(value, str | float | int):
            setattr(message, field, value)
        else:
            getattr(message, field).CopyFrom(value)
    return plan_of(message)
