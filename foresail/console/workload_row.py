"""A plan of the Plans API as a row of the console's list."""

from hashlib import blake2b
from typing import Final

from foresail.console.records import Level, State, WorkloadRow
from foresail.plans_api.plan import Plan
from scaler.decision.answers import Reference
from scaler.durations import format_duration
from scaler.message_text import printable
from scaler.signals import Signal, Value
from scaler.trigger import Mode

_KEY_BYTES: Final = 6


def key_of(workload: Reference) -> str:
    """A short name for addresses: of a trigger, because a ScaledObject may have several."""
    text = repr((workload.namespace, workload.name, workload.metadata))
    return blake2b(text.encode(errors="replace"), digest_size=_KEY_BYTES).hexdigest()


def row_of(plan: Plan, *, usd_per_hour: float | None) -> WorkloadRow:
    """The row of a workload.

    Args:
        plan: the newest one.
        usd_per_hour: what its GPUs cost now; None = not known.
    """
    return WorkloadRow(
        key=key_of(plan.workload),
        namespace=printable(plan.workload.namespace),
        name=printable(plan.workload.name),
        model=None if plan.model is None else printable(plan.model),
        mode=mode_of(plan),
        demand=demand_of(plan),
        planned=None if plan.plan is None else plan.plan.planned,
        ready=ready_of(plan),
        state=state_of(plan),
        objective_kept=objective_kept(plan),
        usd_per_hour=usd_per_hour,
    )


def mode_of(plan: Plan) -> str | None:
    """Its mode, or that KEDA does not ask."""
    if plan.on_watch_list:
        return "watch list"
    return None if plan.mode is None else plan.mode.value


def demand_of(plan: Plan) -> float | None:
    """Tokens a second of both kinds; None where one of them is not measured."""
    if plan.demand is None:
        return None
    prompt, generated = plan.demand.prompt_tokens, plan.demand.generated_tokens
    return None if prompt is None or generated is None else prompt + generated


def measured(plan: Plan, signal: Signal) -> float | None:
    """A signal's value; None while it is stale or absent."""
    reading = plan.signals.get(signal.value)
    return reading.value if isinstance(reading, Value) else None


def ready_of(plan: Plan) -> int | None:
    """Replicas that report."""
    ready = measured(plan, Signal.REPLICAS)
    return None if ready is None else round(ready)


def objective_kept(plan: Plan) -> bool | None:
    """Whether both latencies are within their limits; None while that is not known."""
    if plan.objective is None:
        return None
    limits = (
        (measured(plan, Signal.TTFT), plan.objective.ttft_seconds),
        (measured(plan, Signal.ITL), plan.objective.itl_seconds),
    )
    if any(value is not None and value > limit for value, limit in limits):
        return False
    return None if any(value is None for value, _ in limits) else True


def state_of(plan: Plan) -> State:
    """What a person should know first."""
    return _trouble(plan) or _shortage(plan) or State(level=Level.OK, text=_calm(plan))


def _trouble(plan: Plan) -> State | None:
    """Why nothing current is known."""
    if plan.refused is not None:
        text = f"KEDA gets an error: {plan.refused.message}"
    elif plan.failure is not None:
        text = f"not read: {plan.failure}"
    elif plan.plan is None:
        text = "no plan yet"
    elif plan.valid_for_seconds is None:
        age = (
            "" if plan.age_seconds is None else f", {format_duration(round(plan.age_seconds))} old"
        )
        text = f"the last plan stands no longer{age}"
    else:
        return None
    return State(level=Level.BAD, text=printable(text))


def _shortage(plan: Plan) -> State | None:
    """What is served late, or could be."""
    assert plan.plan is not None
    beyond = next((step for step in plan.plan.steps if step.rule == "objective"), None)
    if beyond is not None:
        return State(level=Level.BAD, text=printable(beyond.text))
    if plan.learned_lead is not None and plan.learned_lead.stuck_replicas:
        text = f"{plan.learned_lead.stuck_replicas} replicas were ordered and never got ready"
        return State(level=Level.WATCH, text=text)
    if objective_kept(plan) is False:
        return State(level=Level.WATCH, text=f"late: {latency_text(plan)}")
    if plan.plan.partly_measured:
        return State(level=Level.WATCH, text="a signal that the plan rests on is not measured")
    return None


def latency_text(plan: Plan) -> str:
    """The latencies that miss their limits."""
    assert plan.objective is not None
    found = [
        f"{name} p95 {value:.3g} s of {limit:g} s"
        for name, value, limit in (
            ("TTFT", measured(plan, Signal.TTFT), plan.objective.ttft_seconds),
            ("ITL", measured(plan, Signal.ITL), plan.objective.itl_seconds),
        )
        if value is not None and value > limit
    ]
    return ", ".join(found)


def _calm(plan: Plan) -> str:
    assert plan.plan is not None
    ready, planned = ready_of(plan), plan.plan.planned
    if plan.mode is Mode.ADVISE or plan.on_watch_list:
        return "only advised"
    if ready is None or ready == planned:
        return "as planned"
    return f"{planned - ready} starting" if ready < planned else f"{ready - planned} to go"
